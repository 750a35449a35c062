//! Does what is due for one component of an application, within bounds of time and amount: its startup function, its
//! sagas, the events of its subscriptions, its read models. Each failure is told and stops nothing else. What it calls
//! is the component behind it; what is due is known to the store.

mod duties;
mod report;

use std::cell::RefCell;
use std::rc::Rc;

use futures::channel::oneshot;
use futures::future::{Either, select};
use weft_guest::clock;
use weft_guest::http::{Problem, Request, Response};

use report::Report;

/// How long the work goes on, in milliseconds. What runs then goes on; nothing further begins.
const BUDGET_MS: u64 = 20_000;
/// How much longer the answer waits for what runs, in milliseconds.
const GRACE_MS: u64 = 2_000;

weft_guest::http_handler!(handle);

async fn handle(_request: Request) -> Result<Response, Problem> {
    let settings = adapter_guest::settings().map_err(|error| Problem::internal(&error))?;
    let report = Rc::new(RefCell::new(Report::new(&settings.component)));
    let until_ms = clock::now_ms().saturating_add(BUDGET_MS);
    let (ended, end) = oneshot::channel();
    // On a task of its own, so that what has begun is not cut off by the answer.
    let own = Rc::clone(&report);
    wit_bindgen::spawn_local(async move {
        duties::all(&settings, until_ms, &own).await;
        // Nobody waits any more if the answer has gone out.
        let _ = ended.send(());
    });
    let late = Box::pin(clock::sleep_ms(BUDGET_MS + GRACE_MS));
    if let Either::Right(_) = select(end, late).await {
        report.borrow_mut().unfinished = true;
    }
    let answer = Response::json(200, &*report.borrow());
    Ok(answer.header("cache-control", "no-store"))
}
