//! Waiting for a time and for a signal, being seen, and running out of time.

use std::pin::pin;

use example_durable_bindings::exports::orders::{Error, Order};
use example_durable_bindings::shop;
use weft_guest::futures::future::{Either, select};
use weft_guest::saga::Saga;

use crate::refused;

// docs: sleep
pub async fn remind(saga: Saga, after_ms: u64) -> Result<String, Error> {
    saga.sleep("until-due", after_ms).await.map_err(Error::Unavailable)?;
    saga.step("remind", |key| shop::reserve(key, "reminder".to_string())).await.map_err(refused)
}
// docs: end

// docs: signal
pub async fn approve(saga: Saga, order: Order) -> Result<String, Error> {
    saga.set_attribute("item", &order.item).await.map_err(Error::Unavailable)?;
    saga.step("reserve", |key| shop::reserve(key, order.item.clone()))
        .undo(|key, _| shop::take_back(key))
        .await
        .map_err(refused)?;
    saga.expose("state", &"waits for approval").await.map_err(Error::Unavailable)?;
    let approved: bool = match saga.signal("approval").await {
        Ok(approved) => approved,
        Err(failure) => {
            // Cancelled, by a person or by the deadline: what follows may tell so, but begins nothing.
            saga.expose("state", &failure.message).await.map_err(Error::Unavailable)?;
            return Err(Error::Unavailable(failure));
        }
    };
    saga.expose("state", &"decided").await.map_err(Error::Unavailable)?;
    if approved { Ok("approved".to_string()) } else { Err(Error::Refused("not approved".to_string())) }
}
// docs: end

// docs: signal-within
pub async fn approve_within(saga: Saga, timeout_ms: u64) -> Result<String, Error> {
    let answer = saga.signal_within::<bool>("approval", timeout_ms).await.map_err(Error::Unavailable)?;
    match answer {
        Some(true) => Ok("approved".to_string()),
        Some(false) => Err(Error::Refused("not approved".to_string())),
        None => Err(Error::Refused("nobody answered in time".to_string())),
    }
}
// docs: end

// docs: deadline
pub async fn hurry(saga: Saga, deadline_ms: u64) -> Result<String, Error> {
    saga.set_deadline_ms(deadline_ms).await.map_err(Error::Unavailable)?;
    saga.step("reserve", |key| shop::reserve(key, "seat".to_string()))
        .undo(|key, _| shop::take_back(key))
        .await
        .map_err(refused)?;
    let paid: bool = saga.signal("paid").await.map_err(Error::Unavailable)?;
    if paid { Ok("sold".to_string()) } else { Err(Error::Refused("not paid".to_string())) }
}
// docs: end

/// How often `go` came before the pause was over, of three times.
pub async fn laps(saga: Saga, pause_ms: u64) -> Result<u32, Error> {
    saga.signal::<bool>("begin").await.map_err(Error::Unavailable)?;
    let mut in_time = 0;
    for _ in 0..3 {
        let (go, pause) = (pin!(saga.signal::<bool>("go")), pin!(saga.sleep("pause", pause_ms)));
        match select(go, pause).await {
            Either::Left((go, _)) => in_time += u32::from(go.map_err(Error::Unavailable)?),
            Either::Right((slept, _)) => slept.map_err(Error::Unavailable)?,
        }
    }
    saga.expose("state", &"counted").await.map_err(Error::Unavailable)?;
    saga.signal::<bool>("end").await.map_err(Error::Unavailable)?;
    Ok(in_time)
}
