//! `example:planted/saga`: takes an order in four steps. It makes the mistake that it is asked for, so that `weft test
//! saga` can be seen to find it.

use example_bindings::exports::planted_saga::{Error, Guest, Mistake, Order};
use example_bindings::planted::effects;
use weft_guest::saga::{self, Saga};

const RUN: &str = "example:planted/saga@1.0.0#run";

struct Component;

impl Guest for Component {
    async fn run(key: String, order: Order) -> Result<u32, Error> {
        saga::run(RUN, key, order, steps).await
    }
}

async fn steps(saga: Saga, order: Order) -> Result<u32, Error> {
    note(&saga, "accept").await?;
    if order.mistake == Mistake::Twice {
        let count = saga.step("count", |_| effects::count_blindly(1));
        count.undo(|_, _| effects::count_blindly(-1)).await.map_err(refused)?;
    } else {
        let count = saga.step("count", effects::count);
        count.undo(|key, _| effects::uncount(key)).await.map_err(refused)?;
    }
    if order.needs_approval && !saga.signal::<bool>("approval").await.map_err(Error::Unavailable)? {
        return Err(Error::Refused);
    }
    if order.mistake == Mistake::Forgetful {
        saga.step("ship", |key| effects::note(key, "ship".into())).await.map_err(refused)?;
    } else {
        note(&saga, "ship").await?;
    }
    note(&saga, "bill").await?;
    Ok(4)
}

async fn note(saga: &Saga, what: &'static str) -> Result<(), Error> {
    let step = saga.step(what, move |key| effects::note(key, what.into()));
    step.undo(|key, _| effects::erase(key)).await.map_err(refused)
}

fn refused(error: effects::Error) -> Error {
    match error {
        effects::Error::Revoked => Error::Refused,
        effects::Error::Unavailable(failure) => Error::Unavailable(failure),
    }
}

weft_guest::resumable!(RUN => steps);
example_bindings::exports::planted_saga::export!(Component);
