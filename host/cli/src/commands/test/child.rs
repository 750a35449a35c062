//! One host of the harness, in a process of its own: makes the data that the cases begin with, or runs the saga until it
//! has ended and everything that it began is settled. Faults and failpoints come from the environment, as for every host.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use weft_durable::{By, Phase, Resolution, SagaEvent, SagaFilter, Sagas, Status};

use super::job::{Ended, Job, Prepare, Prepared, Run, Signal, Step, Telling};
use crate::assemble::{self, Dialect, Place};
use crate::exit::{Exit, UsageError};
use crate::host::Host;
use crate::invoker::invoke_in;

/// What `weft test saga-run` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do
    job: PathBuf,
    /// Where to say what became of it
    report: PathBuf,
}

/// A saga in which nothing has happened for so long waits.
const QUIET: Duration = Duration::from_secs(1);
/// Between two looks whether deliveries are settled.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// The most sagas that are looked through.
const SAGAS: usize = 1000;

/// Does the job.
///
/// # Errors
/// Why it cannot be done. That a saga fails is no error.
pub async fn run(args: &Args, place: &Place) -> anyhow::Result<Exit> {
    let job = std::fs::read(&args.job).with_context(|| format!("cannot read {}", args.job.display()))?;
    let place = place.clone();
    let host = tokio::task::spawn_blocking(move || assemble::assemble(&place, Dialect::Weft));
    let host = Arc::new(host.await.context("assembling the host was cut short")??);
    let report = match serde_json::from_slice(&job)? {
        Job::Prepare(job) => serde_json::to_vec(&prepare(&host, job).await?)?,
        Job::Run(job) => serde_json::to_vec(&ended(&host, &job).await?)?,
    };
    host.shutdown().await?;
    std::fs::write(&args.report, report).with_context(|| format!("cannot write {}", args.report.display()))?;
    Ok(Exit::Success)
}

async fn prepare(host: &Arc<Host>, job: Prepare) -> anyhow::Result<Prepared> {
    let (component, function) = named(host, &job.saga, job.function.as_deref())?;
    host.start().await?;
    let mut answers = Vec::new();
    for (number, call) in job.calls.iter().enumerate() {
        let what = || format!("line {} of the setup, {}", number + 1, call.function);
        let arguments = filled(&call.args, &answers).with_context(what)?;
        let timeout = Duration::from_millis(job.timeout_ms);
        let arguments = serde_json::to_string(&arguments)?;
        let answer = invoke_in(host, &call.component, &call.function, &arguments, timeout).await;
        let answer = answer.map_err(|error| UsageError(format!("{}: {error}", what())))?;
        if answer.is_error {
            bail!("{} answered {}", what(), answer.wave);
        }
        answers.push(answer.json);
    }
    let settled = tokio::time::timeout(Duration::from_millis(job.timeout_ms), settle(host, None)).await;
    settled.context("the deliveries of the setup have not ended in time")?;
    let unfinished = unfinished(&host.parts().sagas);
    Ok(Prepared { component, function, input: filled(&job.input, &answers)?, unfinished })
}

/// The saga's component and its function.
fn named(host: &Host, saga: &str, function: Option<&str>) -> Result<(String, String), UsageError> {
    let engine = &host.parts().engine;
    let manifest = host.manifest();
    let durable: Vec<&str> =
        manifest.running().filter(|component| component.durable).map(|component| &*component.id).collect();
    let of = |component: &str| {
        let functions = engine.exported(component).into_iter();
        functions.filter(|name| !name.starts_with("weft:durable/")).collect::<Vec<_>>()
    };
    let found: Vec<(String, String)> = if saga.contains('#') {
        let signature = |id: &&str| Some(((*id).to_owned(), engine.signature(id, saga).ok()?.name()));
        durable.iter().filter_map(signature).collect()
    } else if !durable.contains(&saga) {
        let known = durable.join(", ");
        return Err(UsageError(format!("there is no saga {saga:?}; the durable components are {known}")));
    } else if let Some(function) = function {
        let signature = engine.signature(saga, function).map_err(|error| UsageError(error.to_string()))?;
        vec![(saga.to_owned(), signature.name())]
    } else {
        of(saga).into_iter().map(|name| (saga.to_owned(), name)).collect()
    };
    match <[_; 1]>::try_from(found) {
        Ok([one]) => Ok(one),
        Err(none) if none.is_empty() => Err(UsageError(format!("no durable component exports {saga:?}"))),
        Err(several) => {
            let several: Vec<_> = several.iter().map(|(component, name)| format!("{component} {name}")).collect();
            Err(UsageError(format!("{saga:?} may be {}; say which with --function", several.join(", "))))
        }
    }
}

/// Texts `$2/ok/id` are replaced by what stands at `/ok/id` in the second answer.
fn filled(values: &[Value], answers: &[Value]) -> Result<Vec<Value>, UsageError> {
    values.iter().map(|value| fill(value, answers)).collect()
}

fn fill(value: &Value, answers: &[Value]) -> Result<Value, UsageError> {
    Ok(match value {
        Value::String(text) => match reference(text) {
            Some((number, pointer)) => {
                let answer = number.checked_sub(1).and_then(|number| answers.get(number));
                let found = answer.and_then(|answer| answer.pointer(pointer));
                found.cloned().ok_or_else(|| UsageError(format!("there is no {text} among the answers so far")))?
            }
            None => value.clone(),
        },
        Value::Array(items) => Value::Array(filled(items, answers)?),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| Ok((name.clone(), fill(value, answers)?)));
            Value::Object(fields.collect::<Result<_, UsageError>>()?)
        }
        other => other.clone(),
    })
}

fn reference(text: &str) -> Option<(usize, &str)> {
    let text = text.strip_prefix('$')?;
    let (number, pointer) = text.split_at(text.find('/').unwrap_or(text.len()));
    Some((number.parse().ok()?, pointer))
}

async fn ended(host: &Arc<Host>, job: &Run) -> anyhow::Result<Ended> {
    let sagas = &host.parts().sagas;
    let found = sagas.show(&job.key).ok();
    // Before anything goes on, so that nothing is missed.
    let (following, hurrying, telling) = (sagas.follow(), sagas.follow(), sagas.follow());
    host.start().await?;
    if job.resolve {
        let by = By { actor: "weft test".to_owned(), reason: "the fault is over".to_owned() };
        sagas.resolve(&job.key, &Resolution::Retry, &by).await?;
    }
    let began = found.is_some();
    let watching = async {
        tokio::select! {
            () = end(sagas, following, &job.key) => None,
            refusal = call(host, job, began) => Some(refusal),
            () = hurry(sagas, hurrying, &job.key) => None,
            () = tell(sagas, telling, job) => None,
        }
    };
    let timeout = Duration::from_millis(job.timeout_ms);
    let watched = tokio::time::timeout(timeout, watching).await;
    let steps = found.as_ref().map(|view| steps(&view.steps)).unwrap_or_default();
    let mut ended = Ended { status: "not started".to_owned(), found: steps, ..Ended::default() };
    match watched {
        Ok(Some(refusal)) => ended.error = Some(refusal),
        Ok(None) => ended.unsettled = tokio::time::timeout(timeout, settle(host, Some(&job.others))).await.is_err(),
        Err(_) => ended.timed_out = true,
    }
    if let Ok(view) = sagas.show(&job.key) {
        ended.status = view.status.as_str().to_owned();
        let answer = || Some(String::from_utf8_lossy(view.result.as_deref()?).into_owned());
        ended.error = view.error.clone().or_else(answer);
        ended.steps = self::steps(&view.steps);
    }
    Ok(ended)
}

fn steps(views: &[weft_durable::StepView]) -> Vec<Step> {
    let step = |view: &weft_durable::StepView| Step {
        name: view.name.clone(),
        occurrence: view.occurrence,
        undo: view.phase == Phase::Undo,
        status: view.status.to_owned(),
        attempts: view.attempts,
    };
    views.iter().map(step).collect()
}

/// Resolves when the saga has ended.
async fn end(sagas: &Sagas, mut events: Receiver<Arc<SagaEvent>>, key: &str) {
    let has_ended = |status: Status| !matches!(status, Status::Running | Status::Compensating | Status::Paused);
    while !sagas.show(key).is_ok_and(|view| has_ended(view.status)) {
        while next(&mut events, key).await.is_some_and(|event| !event.name.starts_with("saga.")) {}
    }
}

/// The next event of this saga; none if some were missed.
async fn next(events: &mut Receiver<Arc<SagaEvent>>, key: &str) -> Option<Arc<SagaEvent>> {
    loop {
        match events.recv().await {
            Ok(event) if *event.saga == *key => return Some(event),
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return None,
            // The journal lives as long as the host.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Calls the function as a client does, if the journal does not know the saga; answers only if that begins no saga.
async fn call(host: &Host, job: &Run, began: bool) -> String {
    if !began {
        let timeout = Duration::from_millis(job.timeout_ms);
        let answer = invoke_in(host, &job.component, &job.function, &job.arguments, timeout).await;
        if host.parts().sagas.show(&job.key).is_err() {
            return match answer {
                Ok(answer) => format!("the function answered {} and began no saga {:?}", answer.wave, job.key),
                Err(error) => error.to_string(),
            };
        }
    }
    std::future::pending().await
}

/// Nobody wants to wait for the delays between attempts.
async fn hurry(sagas: &Sagas, mut events: Receiver<Arc<SagaEvent>>, key: &str) {
    loop {
        // It may have ended meanwhile.
        let _ = sagas.retry(key, None, &By::default()).await;
        while next(&mut events, key).await.is_some_and(|event| event.name != "step.retrying") {}
    }
}

/// Sends the signals, under ids of their own: who repeats them tells nothing new.
async fn tell(sagas: &Sagas, mut events: Receiver<Arc<SagaEvent>>, job: &Run) {
    while !job.signals.is_empty() && sagas.show(&job.key).is_err() {
        next(&mut events, &job.key).await;
    }
    for (number, signal) in job.signals.iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(signal.after_ms)).await;
        if job.telling == Telling::Late {
            while tokio::time::timeout(QUIET, next(&mut events, &job.key)).await.is_ok() {}
        }
        let times = if job.telling == Telling::Twice { 2 } else { 1 };
        for _ in 0..times {
            send(sagas, job, number, signal).await;
        }
    }
    std::future::pending().await
}

async fn send(sagas: &Sagas, job: &Run, number: usize, signal: &Signal) {
    let payload = signal.payload.to_string().into_bytes();
    // One that has ended needs no signal.
    let _ = sagas.signal(&job.key, &signal.name, &format!("test-{number}"), payload).await;
}

fn unfinished(sagas: &Sagas) -> Vec<String> {
    let of = |status| {
        let filter = SagaFilter { status: Some(status), ..SagaFilter::default() };
        sagas.list(&filter, SAGAS, None).items
    };
    let all = [Status::Running, Status::Compensating].into_iter().flat_map(of);
    // Choreographed sagas have no component; their deliveries tell when they are settled.
    all.filter(|saga| !saga.component.is_empty()).map(|saga| saga.key.to_string()).collect()
}

/// Resolves when all events are delivered and, but for `others`, all sagas have ended. Events begin sagas and sagas
/// publish events, so all is looked at twice.
async fn settle(host: &Host, others: Option<&[String]>) {
    let mut settled = 0;
    while settled < 2 {
        settled = if is_settled(host, others).await { settled + 1 } else { 0 };
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn is_settled(host: &Host, others: Option<&[String]>) -> bool {
    let parts = host.parts();
    for outbox in &parts.outboxes {
        if !outbox.pending(1).await.is_ok_and(|events| events.is_empty()) {
            return false;
        }
    }
    let delivered = parts.broker.status().iter().all(|subscription| {
        subscription.stopped.is_some()
            || (subscription.waiting == 0 && subscription.unread_bytes == 0 && subscription.in_flight == 0)
    });
    delivered && others.is_none_or(|others| unfinished(&parts.sagas).iter().all(|key| others.contains(key)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_of_the_setup_are_put_in() {
        let answers = [json!({"ok": {"id": "x", "n": 5}}), json!(7)];
        let values = [json!(["$1/ok/id", {"a": "$1/ok"}, "$2", "$x", "2", "$3x"])];
        let expected = json!(["x", {"a": {"id": "x", "n": 5}}, 7, "$x", "2", "$3x"]);
        assert_eq!(filled(&values, &answers).unwrap(), [expected]);
        for missing in ["$0", "$3", "$1/err"] {
            assert!(filled(&[json!(missing)], &answers).is_err(), "{missing}");
        }
    }
}
