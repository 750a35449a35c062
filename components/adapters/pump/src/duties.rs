//! The duties of a pump, one after the other; sagas at once, as they wait for one another and for time.

use std::cell::RefCell;

use adapter_guest::bindings::weft::adapter::work::{self, Taken};
use adapter_guest::bindings::weft::control::startup;
use adapter_guest::bindings::weft::durable::resumable;
use adapter_guest::bindings::weft::events::projection;
use adapter_guest::bindings::weft::messaging::{batch_handler, handler};
use adapter_settings::{Projection, Settings, Subscription};
use futures::future::join_all;
use weft_guest::clock;
use weft_guest::messaging::Refusal;

use crate::report::Report;

/// How many sagas are resumed at once.
const SAGAS: u32 = 16;
/// How many events of one subscription, and how many batches of one projection, one call of the pump takes.
const STEPS: u32 = 1_000;

type Shared = RefCell<Report>;

/// Whether there is time for more.
fn goes_on(until_ms: u64) -> bool {
    clock::now_ms() < until_ms
}

/// Does all that is due for the component of the settings.
pub(crate) async fn all(settings: &Settings, until_ms: u64, report: &Shared) {
    let component = &settings.component;
    if settings.startup.contains(component) {
        start(component, report).await;
    }
    if settings.durable.iter().any(|durable| durable.component == *component) {
        sagas(component, until_ms, report).await;
    }
    for subscription in settings.subscriptions.iter().filter(|known| known.component == *component) {
        deliver(subscription, until_ms, report).await;
    }
    for projection in settings.projections.iter().filter(|known| known.component == *component) {
        project(projection, until_ms, report).await;
    }
}

async fn start(component: &str, report: &Shared) {
    let what = "the startup function";
    match work::startup_due(component) {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => return report.borrow_mut().failed(what, &error),
    }
    let done = match startup::run().await {
        Ok(said) => {
            if let Some(said) = said {
                eprintln!("{component}: {said}");
            }
            work::startup_done(component)
        }
        Err(error) => Err(error),
    };
    let mut report = report.borrow_mut();
    match done {
        Ok(()) => {
            report.started = true;
            report.did(1);
        }
        Err(error) => report.failed(what, &error),
    }
}

async fn sagas(component: &str, until_ms: u64, report: &Shared) {
    while goes_on(until_ms) {
        let due = match work::due_sagas(component, SAGAS) {
            Ok(due) => due,
            Err(error) => return report.borrow_mut().failed("the sagas that are due", &error),
        };
        let resumed = join_all(due.iter().map(|key| async move { (key, resumable::resume(key.clone()).await) })).await;
        let mut report = report.borrow_mut();
        let mut went_on = false;
        for (key, result) in resumed {
            match result {
                Ok(()) => {
                    went_on = true;
                    report.sagas += 1;
                    report.did(1);
                }
                Err(error) => report.failed(&format!("the saga {key}"), &error),
            }
        }
        // What fails is due again at once; it waits for the next call.
        if !went_on {
            return;
        }
    }
}

async fn deliver(subscription: &Subscription, until_ms: u64, report: &Shared) {
    let Subscription { component, name, batch, .. } = subscription;
    let what = format!("the subscription {name}");
    let mut taken_in_all = 0;
    while taken_in_all < STEPS && goes_on(until_ms) {
        let taken = match work::take(component, name, (*batch).clamp(1, STEPS)) {
            Ok(taken) if taken.is_empty() => return,
            Ok(taken) => taken,
            Err(error) => return report.borrow_mut().failed(&what, &error),
        };
        taken_in_all += u32::try_from(taken.len()).unwrap_or(u32::MAX);
        for (position, outcome) in handled(*batch, taken).await {
            let refused = outcome.as_ref().err().map(reason);
            let settled = work::settle(component, name, position, outcome.as_ref().copied());
            let mut report = report.borrow_mut();
            match (settled, refused) {
                (Ok(()), None) => {
                    report.delivered += 1;
                    report.did(1);
                }
                (Ok(()), Some(why)) => report.failed(&what, &format!("the event at {position} was refused: {why}")),
                (Err(error), _) => report.failed(&what, &error),
            }
        }
    }
}

/// What the handler says of each, with its position.
async fn handled(batch: u32, taken: Vec<Taken>) -> Vec<(u64, Result<(), Refusal>)> {
    let positions: Vec<u64> = taken.iter().map(|one| one.position).collect();
    let deliveries = taken.into_iter().map(|one| one.delivery);
    if batch > 1 {
        let answers = batch_handler::handle_batch(deliveries.collect()).await;
        let missing = || Err(Refusal::Retry("the handler did not answer for it".to_owned()));
        let answers = answers.into_iter().chain(std::iter::repeat_with(missing));
        return positions.into_iter().zip(answers).collect();
    }
    let mut answers = Vec::with_capacity(positions.len());
    for (position, delivery) in positions.into_iter().zip(deliveries) {
        answers.push((position, handler::handle(delivery).await));
    }
    answers
}

fn reason(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Retry(message) | Refusal::Reject(message) => message.clone(),
        Refusal::RetryAfter(later) => later.message.clone(),
    }
}

async fn project(projection: &Projection, until_ms: u64, report: &Shared) {
    let Projection { component, name, .. } = projection;
    let what = format!("the projection {name}");
    let mut stood = None;
    for _ in 0..STEPS {
        if !goes_on(until_ms) {
            return;
        }
        let (events, position) = match work::pending(component, name) {
            Ok(pending) => pending,
            Err(error) => return report.borrow_mut().failed(&what, &error),
        };
        if events.is_empty() {
            // What was none of its own has been passed over; there may be more behind it.
            if stood == Some(position) {
                return;
            }
            stood = Some(position);
            continue;
        }
        let done = match projection::project(events).await {
            Ok(statements) => work::project(component, name, position, &statements),
            Err(error) => Err(error),
        };
        let mut report = report.borrow_mut();
        match done {
            Ok(()) => {
                report.projected += 1;
                report.did(1);
            }
            Err(error) => return report.failed(&what, &error),
        }
        stood = Some(position);
    }
}
