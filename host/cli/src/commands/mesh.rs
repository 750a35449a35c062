//! `weft mesh`: the policy on calls to each component and service of a running host, as it holds now, and how it stands.

use crate::assemble::Place;
use crate::control::api::{PolicyEntry, RetryEntry, RuleEntry};
use crate::control::client::Client;
use crate::exit::{Exit, UsageError};
use crate::output;

/// What `weft mesh` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One component or service, with all there is to say of it
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Asks the running host and prints what it says.
///
/// # Errors
/// If no host is running, or there is no such component or service.
pub async fn run(args: &Args, place: &Place) -> anyhow::Result<Exit> {
    let client = Client::require(&place.data).await?;
    let entries = client.policies().await?;
    let Some(name) = &args.name else {
        if args.json {
            output::json(&entries)?;
        } else {
            let header =
                ["CALLEE", "KIND", "DEADLINE", "RUNNING", "WAITING", "BREAKER", "RETRIES", "RULES", "VERSIONS"];
            output::table(header, &entries.iter().map(row).collect::<Vec<_>>())?;
        }
        return Ok(Exit::Success);
    };
    let Some(entry) = entries.iter().find(|entry| entry.is_called(name)) else {
        return Err(UsageError(format!("there is no component or service {name:?}")).into());
    };
    if args.json {
        output::json(entry)?;
    } else {
        for (what, says) in told(entry) {
            output::line(&format!("{what:<12}{says}"))?;
        }
    }
    Ok(Exit::Success)
}

fn row(one: &PolicyEntry) -> [String; 9] {
    [
        one.name.clone(),
        one.kind.clone(),
        format!("{} ms", one.deadline_ms),
        format!("{} of {}", one.running, one.max_concurrent),
        format!("{} of {}", one.pending, one.max_pending),
        one.now.state.clone(),
        one.retry.as_ref().map_or_else(none, |retry| format!("{}, {} left", retry.max_retries, retry.budget_left)),
        one.rules.len().to_string(),
        one.versions.len().to_string(),
    ]
}

fn none() -> String {
    "none".to_owned()
}

/// Line by line, what it is about and what is said.
fn told(one: &PolicyEntry) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("callee", format!("{} ({}{})", one.name, one.kind, if one.durable { ", durable" } else { "" })),
        ("deadline", format!("{} ms", one.deadline_ms)),
        ("running", format!("{} of {}", one.running, one.max_concurrent)),
        ("waiting", format!("{} of {}", one.pending, one.max_pending)),
        ("breaker", breaker(one)),
        ("retry", one.retry.as_ref().map_or_else(none, retry)),
        ("hedge", one.hedge_after_ms.map_or_else(none, |ms| format!("after {ms} ms"))),
        ("callers", if one.callers.is_empty() { none() } else { one.callers.join(", ") }),
    ];
    lines.extend(one.rules.iter().map(|one| ("rule", rule(one))));
    lines.extend(one.versions.iter().map(|share| ("version", format!("{}, {} %", share.version, share.percent))));
    lines.extend(one.halves.iter().map(|half| ("half", format!("{half}, behind middleware"))));
    let now = &one.now;
    let counts = format!("{}, {} failed, {} made again, {} hedged", now.calls, now.failures, now.retries, now.hedges);
    lines.push(("calls", counts));
    lines
}

fn breaker(one: &PolicyEntry) -> String {
    let Some(policy) = &one.breaker else { return none() };
    let (now, forced) = (&one.now, if one.now.forced { " by hand" } else { "" });
    let of_what = if policy.http { "calls and requests" } else { "calls" };
    format!(
        "{}{forced}, {} of {} failed; opens at {} failures, {} {of_what} and {} % within {} ms, for {} ms, closes after {}",
        now.state,
        now.window_failures,
        now.window_calls,
        policy.failure_threshold,
        policy.volume_threshold,
        policy.error_rate_percent,
        policy.window_ms,
        policy.reset_after_ms,
        policy.success_threshold,
    )
}

fn retry(one: &RetryEntry) -> String {
    let mut text = format!(
        "{} times, after up to {} ms, {} % of that each time, at most {} ms; {} % of calls, {} left",
        one.max_retries, one.base_ms, one.factor_percent, one.cap_ms, one.budget_percent, one.budget_left
    );
    if let Some(ms) = one.attempt_timeout_ms {
        text.push_str(&format!("; {ms} ms for each attempt"));
    }
    if !one.idempotent.is_empty() {
        text.push_str(&format!("; idempotent: {}", one.idempotent.join(", ")));
    }
    text
}

fn rule(one: &RuleEntry) -> String {
    let mut text = one.action.clone();
    for (what, all) in
        [("callers", &one.callers), ("functions", &one.functions), ("methods", &one.methods), ("headers", &one.headers)]
    {
        if !all.is_empty() {
            text.push_str(&format!(" {what} {}", all.join(", ")));
        }
    }
    text
}
