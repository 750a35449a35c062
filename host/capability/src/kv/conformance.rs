//! What every key-value backend has to pass. It panics at the first broken rule, as a test does.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test suite that other crates run")]

use std::time::Duration;

use bytes::Bytes;

use super::{Error, MAX_BATCH, MAX_KEY_BYTES, MAX_VALUE_BYTES, Store, Swap, Write};

/// Opens the backend again on the same data; what was opened before is dropped first.
pub type Open<'a> = &'a dyn Fn() -> Box<dyn Store>;
/// Moves the backend's clock on.
pub type Advance<'a> = &'a dyn Fn(Duration);

/// Runs the whole suite on a backend that has no data yet.
///
/// # Panics
/// If the backend breaks a rule.
pub async fn run(open: Open<'_>, advance: Advance<'_>) {
    let store = open();
    reads_see_writes(&*store).await;
    stores_are_apart(&*store).await;
    batches_are_whole(&*store).await;
    time_to_live(&*store, advance).await;
    compare_and_set(&*store).await;
    increments(&*store).await;
    increments_add_up(&*store).await;
    listing(&*store).await;
    limits(&*store).await;
    store.set("durable", "k", text("kept"), None).await.unwrap();
    drop(store);
    let store = open();
    assert_eq!(value(&*store, "durable", "k").await, Some(text("kept")), "an answered write survives");
}

fn text(value: &str) -> Bytes {
    Bytes::copy_from_slice(value.as_bytes())
}

async fn value(store: &dyn Store, label: &str, key: &str) -> Option<Bytes> {
    let value = store.get(label, key).await.unwrap().map(|entry| entry.value);
    assert_eq!(store.exists(label, key).await.unwrap(), value.is_some());
    assert_eq!(store.get_cached(label, key).unwrap(), value, "the cached read agrees");
    value
}

async fn reads_see_writes(store: &dyn Store) {
    assert_eq!(value(store, "s", "a").await, None);
    for round in ["one", "two", ""] {
        store.set("s", "a", text(round), None).await.unwrap();
        assert_eq!(value(store, "s", "a").await, Some(text(round)));
    }
    store.delete("s", "a").await.unwrap();
    store.delete("s", "a").await.unwrap();
    assert_eq!(value(store, "s", "a").await, None);
    for key in ["", "ü/\u{0}/%_*", "A"] {
        store.set("s", key, text(key), None).await.unwrap();
        assert_eq!(value(store, "s", key).await, Some(text(key)), "any text is a key");
    }
    assert_eq!(value(store, "s", "a").await, None, "keys are told apart by case");
}

async fn stores_are_apart(store: &dyn Store) {
    store.set("left", "k", text("l"), None).await.unwrap();
    store.set("right", "k", text("r"), None).await.unwrap();
    store.delete("left", "k").await.unwrap();
    assert_eq!(value(store, "right", "k").await, Some(text("r")));
    assert!(store.list_keys("left", "", None, 10).await.unwrap().is_empty());
}

async fn batches_are_whole(store: &dyn Store) {
    let set = |key: &str, value: &str| Write::Set { key: key.to_owned(), value: text(value), ttl: None };
    let writes = vec![set("a", "1"), set("b", "1"), set("a", "2"), Write::Delete { key: "b".to_owned() }];
    store.write("batch", writes).await.unwrap();
    let keys = ["b", "a", "a", "c"].map(str::to_owned).to_vec();
    let values: Vec<_> = store.get_many("batch", keys).await.unwrap();
    let values: Vec<_> = values.into_iter().map(|entry| entry.map(|entry| entry.value)).collect();
    assert_eq!(values, [None, Some(text("2")), Some(text("2")), None], "answers stand in the order asked");

    let too_long = set(&"k".repeat(MAX_KEY_BYTES + 1), "1");
    assert!(store.write("batch", vec![set("c", "1"), too_long]).await.is_err());
    assert_eq!(value(store, "batch", "c").await, None, "nothing of a refused batch lands");
}

async fn time_to_live(store: &dyn Store, advance: Advance<'_>) {
    let second = Duration::from_secs(1);
    store.set("ttl", "k", text("v"), Some(second)).await.unwrap();
    store.set("ttl", "kept", text("v"), Some(second)).await.unwrap();
    store.set("ttl", "kept", text("w"), None).await.unwrap();
    advance(Duration::from_millis(999));
    assert_eq!(value(store, "ttl", "k").await, Some(text("v")));
    advance(Duration::from_millis(1));
    assert_eq!(value(store, "ttl", "k").await, None, "ended to the millisecond, in the cache as well");
    assert_eq!(value(store, "ttl", "kept").await, Some(text("w")), "a plain set takes the end away");
    assert_eq!(store.list_keys("ttl", "", None, 10).await.unwrap(), ["kept"]);
    assert_eq!(store.compare_and_set("ttl", "k", None, text("new"), None).await.unwrap(), Swap::Swapped);
    store.set("ttl", "n", text("5"), Some(second)).await.unwrap();
    assert_eq!(store.increment("ttl", "n", 1).await.unwrap(), 6);
    advance(second);
    assert_eq!(store.increment("ttl", "n", 1).await.unwrap(), 1, "an increment leaves the end where it was");
}

async fn compare_and_set(store: &dyn Store) {
    let swap = |expected, to: &'static str| store.compare_and_set("cas", "k", expected, text(to), None);
    assert_eq!(swap(None, "1").await.unwrap(), Swap::Swapped);
    let first = store.get("cas", "k").await.unwrap().unwrap();
    assert_eq!(swap(None, "2").await.unwrap(), Swap::Conflict(Some(first.clone())));
    assert_eq!(swap(Some(first.version), "2").await.unwrap(), Swap::Swapped);
    assert!(matches!(swap(Some(first.version), "3").await.unwrap(), Swap::Conflict(Some(_))));
    store.delete("cas", "k").await.unwrap();
    assert_eq!(swap(Some(first.version), "3").await.unwrap(), Swap::Conflict(None));
    store.set("cas", "k", text("1"), None).await.unwrap();
    let again = store.get("cas", "k").await.unwrap().unwrap();
    assert_ne!(again.version, first.version, "a version is never used twice");

    let swaps = (0..20).map(|_| swap(Some(again.version), "won"));
    let results = futures::future::join_all(swaps).await;
    let won = results.into_iter().filter(|result| *result.as_ref().unwrap() == Swap::Swapped).count();
    assert_eq!(won, 1, "one of many wins");
}

async fn increments(store: &dyn Store) {
    assert_eq!(store.increment("n", "k", 5).await.unwrap(), 5);
    assert_eq!(store.increment("n", "k", -7).await.unwrap(), -2);
    assert_eq!(value(store, "n", "k").await, Some(text("-2")));
    store.set("n", "text", text("five"), None).await.unwrap();
    assert!(matches!(store.increment("n", "text", 1).await, Err(Error::NotANumber { .. })));
    store.set("n", "most", text(&i64::MAX.to_string()), None).await.unwrap();
    assert!(matches!(store.increment("n", "most", 1).await, Err(Error::NotANumber { .. })));
    assert_eq!(value(store, "n", "most").await, Some(text(&i64::MAX.to_string())));
}

async fn increments_add_up(store: &dyn Store) {
    let sums = futures::future::join_all((0..200).map(|_| store.increment("n", "race", 1))).await;
    let mut sums: Vec<i64> = sums.into_iter().map(|sum| sum.unwrap()).collect();
    sums.sort_unstable();
    assert_eq!(sums, (1..=200).collect::<Vec<_>>(), "each sum is answered once");
}

async fn listing(store: &dyn Store) {
    let mut expected: Vec<String> = (0..25).map(|n| format!("user/{n:02}")).collect();
    expected.push("user/\u{10ffff}".to_owned());
    for key in expected.iter().map(String::as_str).chain(["user", "user0", "z"]) {
        store.set("list", key, text("v"), None).await.unwrap();
    }
    let mut seen = Vec::new();
    loop {
        let page = store.list_keys("list", "user/", seen.last().map(String::as_str), 10).await.unwrap();
        assert!(page.len() <= 10);
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen, expected);
    assert_eq!(store.list_keys("list", "", None, 100).await.unwrap().len(), 29);
    assert_eq!(store.list_keys("list", "user/", Some("zz"), 10).await.unwrap(), Vec::<String>::new());
}

async fn limits(store: &dyn Store) {
    let (longest, largest) = ("k".repeat(MAX_KEY_BYTES), Bytes::from(vec![0; MAX_VALUE_BYTES]));
    store.set("limits", &longest, largest.clone(), None).await.unwrap();
    assert_eq!(value(store, "limits", &longest).await, Some(largest));
    let too_large = |result| matches!(result, Err(Error::TooLarge(_)));
    assert!(too_large(store.set("limits", &"k".repeat(MAX_KEY_BYTES + 1), text("v"), None).await));
    assert!(too_large(store.set("limits", "k", vec![0; MAX_VALUE_BYTES + 1].into(), None).await));
    assert!(too_large(store.write("limits", vec![Write::Delete { key: "k".to_owned() }; MAX_BATCH + 1]).await));
    assert!(too_large(store.get_many("limits", vec!["k".to_owned(); MAX_BATCH + 1]).await.map(|_| ())));
    assert!(too_large(store.list_keys("limits", "", None, MAX_BATCH + 1).await.map(|_| ())));
}
