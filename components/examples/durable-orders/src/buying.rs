//! Steps, one after another: what undoes them, how they are tried again, what they wait for.

use example_durable_bindings::exports::orders::{Error, Order};
use example_durable_bindings::shop;
use weft_guest::saga::{RetryPolicy, Saga, StepOutcome};

use crate::refused;

// docs: buy
pub async fn buy(saga: Saga, order: Order) -> Result<String, Error> {
    saga.step("reserve", |key| shop::reserve(key, order.item.clone()))
        .undo(|key, _| shop::take_back(key))
        .await
        .map_err(refused)?;
    charge(&saga, order.cents).await
}
// docs: end

// docs: options
async fn charge(saga: &Saga, cents: u32) -> Result<String, Error> {
    saga.step("charge", |key| shop::charge(key, cents))
        .timeout_ms(5_000)
        .retry(RetryPolicy { max_attempts: 5, base_ms: 200, factor_percent: 200, cap_ms: 10_000 })
        .limit("provider")
        .undo(refund)
        .undo_retry(RetryPolicy { max_attempts: 100, base_ms: 500, factor_percent: 200, cap_ms: 60_000 })
        .await
        .map_err(refused)
}

async fn refund(key: String, outcome: StepOutcome<String>) -> Result<(), shop::Error> {
    match outcome {
        // The receipt of the charge.
        StepOutcome::Success(_receipt) => shop::take_back(key).await,
        // It may have been charged or not, and may still be: the key says which charge is meant.
        StepOutcome::Unknown => shop::take_back(key).await,
    }
}
// docs: end
