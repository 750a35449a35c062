//! `example:bench/saga5`: five steps, each one call of `example:bench/noop`. A saga that is asked to decline fails
//! after the fourth, which undoes four.

use example_bindings::bench::noop;
use example_bindings::exports::saga5::{Error, Guest};
use weft_guest::saga::{self, Saga};

const RUN: &str = "example:bench/saga5@1.0.0#run";

struct Component;

impl Guest for Component {
    async fn run(key: String, decline: bool) -> Result<u32, Error> {
        saga::run(RUN, key, decline, steps).await
    }
}

async fn steps(saga: Saga, decline: bool) -> Result<u32, Error> {
    for name in ["one", "two", "three", "four"] {
        saga.step(name, noop::run).undo(|key, _| noop::undo(key)).await.map_err(refused)?;
    }
    if decline {
        return Err(Error::Declined);
    }
    saga.step("five", noop::run).await.map_err(refused)?;
    Ok(5)
}

fn refused(error: noop::Error) -> Error {
    match error {
        noop::Error::Revoked => Error::Declined,
        noop::Error::Unavailable(failure) => Error::Unavailable(failure),
    }
}

weft_guest::resumable!(RUN => steps);
example_bindings::exports::saga5::export!(Component);
