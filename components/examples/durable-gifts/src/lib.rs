//! `example:durable/gifts`: a saga whose child is a saga of another component.

use example_durable_bindings::exports::gifts::{Error, Guest, Order};
use example_durable_bindings::orders;
use weft_guest::saga::{self, Saga};

const WRAP: &str = "example:durable/gifts@1.0.0#wrap";

struct Component;

impl Guest for Component {
    async fn wrap(key: String, order: Order, approved: bool) -> Result<String, Error> {
        saga::run(WRAP, key, (order, approved), wrap).await
    }
}

// docs: child
async fn wrap(saga: Saga, (order, approved): (Order, bool)) -> Result<String, Error> {
    let bought = if approved {
        saga.child("buy", |key| orders::buy(key, order.clone())).await
    } else {
        saga.child("approve", |key| orders::approve(key, order.clone())).await
    };
    match bought {
        Ok(receipt) => Ok(format!("wrapped: {receipt}")),
        Err(orders::Error::Unavailable(failure)) => Err(Error::Unavailable(failure)),
        Err(orders::Error::SoldOut) => Err(Error::Refused("sold out".to_string())),
        Err(orders::Error::Refused(why)) => Err(Error::Refused(why)),
    }
}
// docs: end

// docs: resumable
weft_guest::resumable!(WRAP => wrap);
example_durable_bindings::exports::gifts::export!(Component);
// docs: end
