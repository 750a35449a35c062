//! wrk, Debian's load generator for HTTP: it takes little of the machine that it shares with what it measures. What it
//! does not do, checking each answer, is done once before.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use weft_tests::http::Client;

use crate::load::Server;
use crate::process::Usage;
use crate::report::{Run, Stated};

/// What is answered to `?name=Ada`.
pub const GREETING: &str = "{\"message\":\"Hello, Ada!\"}";
const WARM_UP_S: u64 = 1;
const MEASURED_S: u64 = 4;

/// Loads a server for some seconds.
///
/// # Errors
/// If an answer is no success, a connection fails, or the first answer is wrong.
pub fn load(server: &Server, path: &str, connections: usize, token: Option<&str>) -> anyhow::Result<Run> {
    let url = format!("http://{}{path}?name=Ada", server.address);
    let client = Client::new(&format!("http://{}", server.address));
    let request = client.get(&format!("{path}?name=Ada"));
    let answer = token.into_iter().fold(request, |request, token| request.token(token)).try_send()?;
    ensure!(answer.text() == GREETING, "{url} was answered wrongly: {}", answer.text());
    run(&url, connections, WARM_UP_S, token)?;
    let before = Usage::of(&server.processes)?;
    let start = Instant::now();
    let said = run(&url, connections, MEASURED_S, token)?;
    let elapsed = start.elapsed();
    let after = Usage::of(&server.processes)?;
    let (count, stated) = read(&said)?;
    let run =
        Run { elapsed: elapsed.min(Duration::from_secs(MEASURED_S)), count, stated: Some(stated), ..Run::default() };
    Ok(run.with_usage(&before, &after, false))
}

fn run(url: &str, connections: usize, seconds: u64, token: Option<&str>) -> anyhow::Result<String> {
    let mut command = Command::new("wrk");
    command.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "--latency"]);
    if let Some(token) = token {
        command.args(["-H", &format!("authorization: Bearer {token}")]);
    }
    let output = command.arg(url).stdin(Stdio::null()).output().context("wrk cannot be run")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "wrk: {said}{}", String::from_utf8_lossy(&output.stderr));
    if let Some(line) = said.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors")) {
        bail!("{url}: {}", line.trim());
    }
    Ok(said)
}

/// How many requests were answered, and their latencies.
fn read(said: &str) -> anyhow::Result<(u64, Stated)> {
    let words = |start: &str| {
        let line = said.lines().map(str::trim).find(|line| line.starts_with(start));
        line.map(|line| line.split_whitespace().collect::<Vec<_>>())
            .with_context(|| format!("wrk said no {start:?}: {said}"))
    };
    let time = |start: &str| {
        let words = words(start)?;
        let text = words.get(1).with_context(|| format!("wrk said nothing after {start:?}"))?;
        milliseconds(text).with_context(|| format!("wrk said {text:?} for {start:?}"))
    };
    let count = said.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok());
    let count = count.with_context(|| format!("wrk counted no requests: {said}"))?;
    Ok((count, Stated { avg_ms: time("Latency")?, p50_ms: time("50%")?, p99_ms: time("99%")? }))
}

fn milliseconds(text: &str) -> Option<f64> {
    let unit = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let factor = match unit {
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 6e4,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_read() {
        let said = "Running 4s test @ http://127.0.0.1:1/\n  1 threads and 32 connections\n  Thread Stats   Avg      \
                    Stdev     Max   +/- Stdev\n    Latency     1.45ms  611.07us  11.77ms   89.99%\n    Req/Sec    \
                    22.37k     1.20k   24.04k    87.50%\n  Latency Distribution\n     50%    1.31ms\n     75%    1.55ms\n     \
                    90%    1.93ms\n     99%  500.00us\n  89060 requests in 4.00s, 13.42MB read\nRequests/sec:  22254.07\n";
        let (count, stated) = read(said).unwrap();
        assert_eq!(count, 89060);
        assert_eq!((stated.avg_ms, stated.p50_ms, stated.p99_ms), (1.45, 1.31, 0.5));
        assert!(read("nothing").is_err());
    }
}
