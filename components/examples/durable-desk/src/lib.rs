//! `example:durable/desk`: sagas seen from outside, by a function that is no saga itself.

use example_durable_bindings::exports::desk::{Error, Guest, Order};
use example_durable_bindings::orders;
use weft_guest::Failure;
use weft_guest::json;
use weft_guest::saga::{self, handles};

struct Component;

impl Guest for Component {
    async fn decide(saga: String, id: String, approved: bool) -> Result<(), Error> {
        decide(saga, id, approved).await.map_err(refused)
    }

    async fn state(saga: String) -> Result<Option<String>, Error> {
        let state = handles::query(saga, "state".to_string()).await.map_err(refused)?;
        Ok(state.map(|state| String::from_utf8_lossy(&state).into_owned()))
    }

    async fn withdraw(saga: String, reason: String) -> Result<(), Error> {
        handles::cancel(saga, reason).await.map_err(refused)
    }

    // docs: start
    async fn place(key: String, order: Order) -> Result<(), Error> {
        let started = saga::start(&key, orders::buy(key.clone(), order)).await;
        started.map(drop).map_err(Error::Unavailable)
    }
    // docs: end
}

// docs: decide
async fn decide(saga: String, id: String, approved: bool) -> Result<(), handles::Error> {
    let payload = json::canonical(&approved).unwrap_or_default();
    handles::signal(saga, "approval".to_string(), id, payload).await
}
// docs: end

fn refused(error: handles::Error) -> Error {
    Error::Unavailable(Failure::not_attempted(format!("{error:?}")))
}

example_durable_bindings::exports::desk::export!(Component);
