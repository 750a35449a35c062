//! What all measured systems have in common: a door by which a client starts a saga under a key and waits for its end,
//! and processes that can be killed and started again on the same data.

use anyhow::Context as _;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;

use crate::load::{Exchange, Server};
use crate::sagas::steps::Steps;
use crate::target;

/// A durable system with the five-step saga in it.
pub trait System {
    /// Where it listens, and its processes.
    ///
    /// # Errors
    /// If it does not run.
    fn server(&self) -> anyhow::Result<Server>;

    /// Ends all its processes at once, as a power cut would.
    fn kill(&mut self);

    /// Starts what was killed, on the same data. It may return before everything answers.
    ///
    /// # Errors
    /// If it does not start.
    fn start(&mut self) -> anyhow::Result<()>;
}

/// How a saga is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Door {
    /// By a query parameter on this path.
    Query(&'static str),
    /// By a JSON body to this path.
    Body(&'static str),
}

/// One saga that is asked for. The key makes a repeated request the same saga.
#[derive(Clone, Debug)]
pub struct Saga {
    key: String,
    declines: bool,
}

impl Saga {
    /// One of ten declines at its last step.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self { key: Uuid::new_v4().to_string(), declines: number % 10 == 9 }
    }

    /// The request and what has to come back.
    #[must_use]
    pub fn exchange(&self, door: Door) -> Exchange {
        let declines = self.declines;
        let (path, body) = match door {
            Door::Query(path) => (format!("{path}?decline={declines}"), Bytes::new()),
            Door::Body(path) => (path.to_owned(), Bytes::from(json!({ "decline": declines }).to_string())),
        };
        Exchange {
            method: Method::POST,
            path,
            headers: vec![("content-type", "application/json".to_owned()), ("idempotency-key", self.key.clone())],
            body,
            is_right: Box::new(move |status, body| is_right(declines, status, body)),
        }
    }
}

/// 200 with the number of steps, or 409 that says why.
fn is_right(declines: bool, status: StatusCode, body: &[u8]) -> bool {
    if declines {
        return status == StatusCode::CONFLICT && String::from_utf8_lossy(body).contains("declined");
    }
    let body: Option<Value> = serde_json::from_slice(body).ok();
    status == StatusCode::OK && body.and_then(|body| body.get("steps").cloned()) == Some(json!(5))
}

/// Weft.
pub struct Weft {
    platform: Platform,
    options: Options,
}

impl Weft {
    /// Starts it on fresh data, and the service outside that the steps of one of its sagas call.
    ///
    /// # Errors
    /// If they do not start.
    pub fn start() -> anyhow::Result<(Self, Steps)> {
        let steps = Steps::start()?;
        let manifest = repository::root().join("tests/bench/sagas.toml");
        let options = Options { manifest, ..Options::default() };
        let options = options.env("SPIN_VARIABLE_STEPS_ADDRESS", &steps.address.to_string());
        Ok((Self { platform: Platform::start_with(&options), options }, steps))
    }
}

impl System for Weft {
    fn server(&self) -> anyhow::Result<Server> {
        target::server(&self.platform, true)
    }

    fn kill(&mut self) {
        self.platform.kill();
    }

    fn start(&mut self) -> anyhow::Result<()> {
        self.platform.run(&self.options).map_err(anyhow::Error::msg).context("the host does not start again")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_that_was_asked_for_is_right() {
        let (done, declined) = (br#"{"steps":5}"#, br#"{"type":"urn:weft:problem:declined"}"#);
        assert!(is_right(false, StatusCode::OK, done));
        assert!(is_right(true, StatusCode::CONFLICT, declined));
        assert!(!is_right(true, StatusCode::OK, done));
        assert!(!is_right(false, StatusCode::CONFLICT, declined));
        assert!(!is_right(false, StatusCode::OK, br#"{"steps":4}"#));
        assert!(!is_right(true, StatusCode::CONFLICT, b"another saga has this key"));
    }
}
