//! `saga-5-step` and `saga-5-step-sql`: sagas of five steps as a client sees them, from its request to the answer of the
//! saga that has ended. One of ten declines at the last step and runs four compensations. The function that a request
//! starts its saga by is reused, so that it is the saga that is measured and not what starts it.

use hyper::{Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use crate::load::{Exchange, drive};
use crate::report::{Label, Row, Settings};
use crate::rounds::{Contender, alternate};
use crate::target;

const IN_FLIGHT: [usize; 3] = [1, 16, 64];
/// The steps answer at once and write nothing, or make one keyed commit each.
const KINDS: [(&str, &str); 2] = [("saga-5-step", "/sagas"), ("saga-5-step-sql", "/sagas-sql")];

/// Measures both.
///
/// # Errors
/// If an answer is wrong.
pub fn measure() -> anyhow::Result<Vec<Row>> {
    let platform = target::examples();
    let server = target::server(&platform, true)?;
    let settings = Settings { reuse: "fresh", flush: "commit", limits: "manifest" };
    let mut contenders = Vec::new();
    for (bench, path) in KINDS {
        for concurrency in IN_FLIGHT {
            contenders.push(Contender {
                label: Label { bench, system: "weft", concurrency, settings: settings.clone() },
                run: Box::new(move || drive(server, concurrency, |number| saga(path, number))),
            });
        }
    }
    alternate(contenders)
}

fn saga(path: &str, number: u64) -> Exchange {
    let declines = number % 10 == 9;
    Exchange {
        method: Method::POST,
        path: format!("{path}?decline={declines}"),
        headers: vec![("idempotency-key", Uuid::new_v4().to_string())],
        is_right: Box::new(move |status, body| {
            let Ok(body) = serde_json::from_slice::<Value>(body) else { return false };
            if declines {
                status == StatusCode::CONFLICT
                    && body.get("type").is_some_and(|kind| kind == "urn:weft:problem:declined")
            } else {
                status == StatusCode::OK && body.get("steps").is_some_and(|steps| *steps == 5)
            }
        }),
    }
}
