//! `example:durable/orders`: one saga for each feature of durable functions. `docs/writing-sagas.md` shows the marked
//! parts; the tests of the platform run all of it.

mod buying;
mod endless;
mod together;
mod waiting;

use example_durable_bindings::exports::orders::{Error, Guest, Order, Reading};
use example_durable_bindings::shop;
use weft_guest::saga;

// docs: names
const BUY: &str = "example:durable/orders@1.0.0#buy";
const REMIND: &str = "example:durable/orders@1.0.0#remind";
// docs: end
const APPROVE: &str = "example:durable/orders@1.0.0#approve";
const APPROVE_WITHIN: &str = "example:durable/orders@1.0.0#approve-within";
const HURRY: &str = "example:durable/orders@1.0.0#hurry";
const LAPS: &str = "example:durable/orders@1.0.0#laps";
const BUNDLE: &str = "example:durable/orders@1.0.0#bundle";
const FIRST: &str = "example:durable/orders@1.0.0#first";
const RESTOCK: &str = "example:durable/orders@1.0.0#restock";
const BILL: &str = "example:durable/orders@1.0.0#bill";
const METER: &str = "example:durable/orders@1.0.0#meter";

struct Component;

impl Guest for Component {
    // docs: run
    async fn buy(key: String, order: Order) -> Result<String, Error> {
        saga::run(BUY, key, order, buying::buy).await
    }
    // docs: end

    async fn remind(key: String, after_ms: u64) -> Result<String, Error> {
        saga::run(REMIND, key, after_ms, waiting::remind).await
    }

    async fn approve(key: String, order: Order) -> Result<String, Error> {
        saga::run(APPROVE, key, order, waiting::approve).await
    }

    async fn approve_within(key: String, timeout_ms: u64) -> Result<String, Error> {
        saga::run(APPROVE_WITHIN, key, timeout_ms, waiting::approve_within).await
    }

    async fn hurry(key: String, deadline_ms: u64) -> Result<String, Error> {
        saga::run(HURRY, key, deadline_ms, waiting::hurry).await
    }

    async fn laps(key: String, pause_ms: u64) -> Result<u32, Error> {
        saga::run(LAPS, key, pause_ms, waiting::laps).await
    }

    async fn bundle(key: String, items: Vec<String>) -> Result<Vec<String>, Error> {
        saga::run(BUNDLE, key, items, together::bundle).await
    }

    async fn first(key: String, items: Vec<String>) -> Result<String, Error> {
        saga::run(FIRST, key, items, together::first).await
    }

    async fn restock(key: String, count: u32, at_most: u32) -> Result<u32, Error> {
        saga::run(RESTOCK, key, (count, at_most), together::restock).await
    }

    async fn bill(key: String, count: u32) -> Result<u32, Error> {
        saga::run(BILL, key, count, together::bill).await
    }

    async fn meter(key: String, reading: Reading) -> Result<u32, Error> {
        saga::run(METER, key, reading, endless::meter).await
    }
}

/// An error of the shop, in the words of the orders.
fn refused(error: shop::Error) -> Error {
    match error {
        shop::Error::SoldOut => Error::SoldOut,
        shop::Error::Revoked => Error::Refused("it was taken back".to_string()),
        shop::Error::Unavailable(failure) => Error::Unavailable(failure),
    }
}

weft_guest::resumable!(
    BUY => buying::buy,
    REMIND => waiting::remind,
    APPROVE => waiting::approve,
    APPROVE_WITHIN => waiting::approve_within,
    HURRY => waiting::hurry,
    LAPS => waiting::laps,
    BUNDLE => together::bundle,
    FIRST => together::first,
    RESTOCK => together::restock,
    BILL => together::bill,
    METER => endless::meter,
);
example_durable_bindings::exports::orders::export!(Component);
