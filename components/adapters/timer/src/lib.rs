//! Calls the pumps of an application for as long as something is due, and answers how much was done. It is called after
//! requests that may have left work, and from outside, as by cron. It tells nothing but counts.

use adapter_guest::bindings::weft::adapter::work;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use weft_guest::clock;
use weft_guest::http::{Problem, Request, Response};

/// How long it goes on, in milliseconds.
const BUDGET_MS: u64 = 20_000;
/// How many pumps it calls at once.
const AT_ONCE: usize = 8;

weft_guest::http_handler!(handle);

/// What was done.
#[derive(Default, Serialize)]
struct Report {
    /// How often it was asked what is due.
    rounds: u32,
    /// Calls of pumps.
    pumps: u32,
    /// Startup functions, sagas, events and batches that they did.
    done: u64,
    /// What did not succeed, calls of pumps included.
    failed: u64,
    /// Nothing is due any more.
    idle: bool,
}

/// What a pump answers, as far as it matters here.
#[derive(Deserialize)]
struct Pumped {
    done: u64,
    failed: u64,
}

async fn handle(_request: Request) -> Result<Response, Problem> {
    let until_ms = clock::now_ms().saturating_add(BUDGET_MS);
    let mut report = Report::default();
    while clock::now_ms() < until_ms {
        let due = work::due().map_err(|error| {
            eprintln!("what is due cannot be told: {error}");
            Problem::new(503, "unavailable", "Service unavailable")
        })?;
        report.rounds += 1;
        if due.is_empty() {
            report.idle = true;
            break;
        }
        let before = report.done;
        for components in due.chunks(AT_ONCE) {
            for pumped in join_all(components.iter().map(|component| pump(component))).await {
                report.pumps += 1;
                report.done += pumped.done;
                report.failed += pumped.failed;
            }
        }
        // What is due and cannot be done now is not asked for again and again.
        if report.done == before {
            break;
        }
    }
    Ok(Response::json(200, &report).header("cache-control", "no-store"))
}

async fn pump(component: &str) -> Pumped {
    let pumped = match adapter_guest::call(component).await {
        Ok(answer) if answer.status == 200 => serde_json::from_slice(&answer.body).map_err(|error| error.to_string()),
        Ok(answer) => Err(format!("status {}", answer.status)),
        Err(error) => Err(error),
    };
    pumped.unwrap_or_else(|error| {
        eprintln!("the pump of {component}: {error}");
        Pumped { done: 0, failed: 1 }
    })
}
