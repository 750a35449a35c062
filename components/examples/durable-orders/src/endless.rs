//! Work without an end.

use example_durable_bindings::exports::orders::{Error, Reading};
use example_durable_bindings::shop;
use weft_guest::saga::Saga;

use crate::refused;

// docs: continue
pub async fn meter(saga: Saga, reading: Reading) -> Result<u32, Error> {
    saga.step("charge", |key| shop::charge(key, reading.period))
        .undo(|key, _| shop::take_back(key))
        .await
        .map_err(refused)?;
    saga.commit();
    if reading.period == reading.last {
        return Ok(reading.total + 1);
    }
    let next = Reading { period: reading.period + 1, total: reading.total + 1, last: reading.last };
    saga.continue_as_new(&next).await
}
// docs: end
