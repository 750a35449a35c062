//! Steps that run at the same time.

use example_durable_bindings::exports::orders::Error;
use example_durable_bindings::shop;
use weft_guest::saga::Saga;

use crate::refused;

// docs: join
pub async fn bundle(saga: Saga, items: Vec<String>) -> Result<Vec<String>, Error> {
    let reserve = |(place, item): (usize, &String)| {
        let item = item.clone();
        saga.step(&format!("reserve-{place}"), move |key| shop::reserve(key, item.clone()))
            .undo(|key, _| shop::take_back(key))
    };
    saga.join(items.iter().enumerate().map(reserve)).await.map_err(refused)
}
// docs: end

// docs: race
pub async fn first(saga: Saga, items: Vec<String>) -> Result<String, Error> {
    let offers = items.into_iter().enumerate().map(|(place, item)| {
        saga.step(&format!("offer-{place}"), move |key| shop::reserve(key, item.clone()))
            .undo(|key, _| shop::take_back(key))
    });
    let (place, offer) = saga.race(offers).await.map_err(refused)?;
    Ok(format!("{place}: {offer}"))
}
// docs: end

// docs: for-each
pub async fn restock(saga: Saga, (count, at_most): (u32, u32)) -> Result<u32, Error> {
    let at_most = usize::try_from(at_most).unwrap_or(usize::MAX);
    let stocked = saga.for_each(0..count, at_most, async |place, item| {
        saga.step(&format!("stock-{place}"), |key| shop::reserve(key, format!("item {item}"))).await.map_err(refused)
    });
    Ok(u32::try_from(stocked.await?.len()).unwrap_or(u32::MAX))
}
// docs: end

/// Steps that share a limit.
pub async fn bill(saga: Saga, count: u32) -> Result<u32, Error> {
    let charges = (0..count).map(|place| {
        saga.step(&format!("charge-{place}"), move |key| shop::charge(key, place)).limit_for("per-customer", "ada")
    });
    Ok(u32::try_from(saga.join(charges).await.map_err(refused)?.len()).unwrap_or(u32::MAX))
}
