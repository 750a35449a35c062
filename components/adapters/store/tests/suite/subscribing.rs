//! Publishing and subscriptions: who gets what, in which order, how often, and what a crash leaves behind.

use adapter_settings::{Settings, Subscription};
use adapter_store::bindings::weft::messaging::deliveries::{Later, Refusal};
use adapter_store::bindings::weft::messaging::types::Error;
use adapter_store::bindings::weft::sql::types::OutgoingEvent;
use adapter_store::{LEASE_MS, Outgoing, Taken};

use crate::harness::*;

fn with(subscriptions: Vec<Subscription>) -> (File, Clock, Settings) {
    (File::new(), Clock::default(), Settings { subscriptions, ..settings() })
}

fn keyed(topic: &str, key: Option<&str>, data: &str) -> Outgoing {
    let event = OutgoingEvent { ordering_key: key.map(str::to_owned), ..outgoing(topic, data) };
    Outgoing { id: None, event }
}

fn publish(store: &mut TestStore, events: &[(Option<&str>, &str)]) {
    let events: Vec<_> = events.iter().map(|(key, data)| keyed("tested.a", *key, data)).collect();
    store.publish(&events).unwrap();
}

/// Data and attempt of what is taken.
fn told(taken: &[Taken]) -> Vec<(&str, u32)> {
    let told = |taken: &'_ Taken| taken.delivery.attempt;
    taken.iter().map(|one| (std::str::from_utf8(&one.delivery.event.data).unwrap(), told(one))).collect()
}

fn take(store: &mut TestStore, limit: u32) -> Vec<Taken> {
    store.take("c", "s", limit).unwrap()
}

fn settle(store: &mut TestStore, taken: &Taken, outcome: Result<(), Refusal>) {
    store.settle("c", "s", taken.position, outcome).unwrap();
}

fn retry() -> Result<(), Refusal> {
    Err(Refusal::Retry("again".to_owned()))
}

fn dead(store: &TestStore) -> usize {
    store.run("SELECT id FROM weft_dead_letters", &[]).unwrap().rows.len()
}

#[test]
fn publishing_is_checked_and_ids_are_taken_once() {
    let (mut store, _) = store();
    let mut event = keyed("tested.a", None, "1");
    event.id = Some("mine".to_owned());
    assert_eq!(store.publish(&[event.clone()]), Ok(vec!["mine".to_owned()]));
    assert_eq!(store.publish(&[event.clone()]), Ok(vec!["mine".to_owned()]), "it is the same event again");
    let two = store.publish(&[keyed("tested.b", None, "2"), keyed("tested.b", None, "3")]).unwrap();
    assert_ne!(two[0], two[1]);
    assert_eq!(log(&store).len(), 3);
    let refused = |change: &dyn Fn(&mut Outgoing)| {
        let mut event = event.clone();
        change(&mut event);
        [keyed("tested.c", None, "1"), event]
    };
    for events in [
        refused(&|event| event.event.topic = "a..b".to_owned()),
        refused(&|event| event.id = Some(String::new())),
        refused(&|event| event.event.subject = Some("x".repeat(256))),
        refused(&|event| event.event.data = b"{".to_vec()),
        refused(&|event| event.event.data = format!("\"{}\"", "x".repeat(256 * 1024)).into_bytes()),
        refused(&|event| event.event.priority = Some(10)),
        refused(&|event| event.event.delay_ms = Some(u64::MAX)),
    ] {
        assert!(matches!(store.publish(&events), Err(Error::Invalid(_))), "{events:?}");
    }
    assert_eq!(log(&store).len(), 3, "all are checked before any is taken");
}

#[test]
fn events_come_in_order_and_are_done_when_settled() {
    let (file, clock, settings) = with(vec![subscription("c", "s", "tested.*")]);
    let mut store = file.open(&clock, settings).unwrap();
    publish(&mut store, &[(None, "1"), (None, "2"), (None, "3")]);
    store.publish(&[keyed("other.a", None, "9")]).unwrap();
    assert_eq!(store.due(|_, _| Ok(false)), Ok(vec!["c".to_owned()]));
    let two = take(&mut store, 2);
    assert_eq!(told(&two), [("1", 1), ("2", 1)]);
    let event = &two[0].delivery.event;
    assert_eq!((event.topic.as_str(), event.type_.as_str(), event.source.as_str()), ("tested.a", "tested", "/tested"));
    assert_eq!(event.time, "2023-11-14T22:13:20.000Z");
    assert_eq!(told(&take(&mut store, 2)), [("3", 1)], "what is taken is not taken again");
    two.iter().for_each(|one| settle(&mut store, one, Ok(())));
    assert_eq!(store.due(|_, _| Ok(false)), Ok(vec![]));
    clock.advance(LEASE_MS);
    assert_eq!(store.due(|_, _| Ok(false)), Ok(vec!["c".to_owned()]));
    assert_eq!(told(&take(&mut store, 9)), [("3", 2)], "what nobody settled comes again");
    assert!(store.take("c", "unknown", 1).is_err());
}

#[test]
fn two_pumps_never_have_the_same_event() {
    let (file, clock, settings) = with(vec![subscription("c", "s", "#")]);
    let mut first = file.open(&clock, settings.clone()).unwrap();
    let mut second = file.open(&clock, settings).unwrap();
    publish(&mut first, &[(Some("a"), "1"), (Some("a"), "2"), (Some("b"), "3")]);
    let mine = take(&mut first, 1);
    assert_eq!(told(&mine), [("1", 1)]);
    assert_eq!(told(&take(&mut second, 9)), [("3", 1)], "the next of a key waits for the one before");
    clock.advance(LEASE_MS);
    let theirs = take(&mut second, 1);
    assert_eq!(told(&theirs), [("1", 2)], "a lease ends");
    settle(&mut first, &mine[0], retry());
    assert_eq!(told(&take(&mut first, 9)), [("3", 2)], "who lost the lease does not end that of another");
    settle(&mut second, &theirs[0], Ok(()));
    assert_eq!(told(&take(&mut first, 9)), [("2", 1)]);
}

#[test]
fn a_key_waits_for_its_retry_and_others_do_not() {
    let (file, clock, settings) = with(vec![subscription("c", "s", "#")]);
    let mut store = file.open(&clock, settings).unwrap();
    publish(&mut store, &[(Some("a"), "1"), (Some("a"), "2"), (Some("b"), "3"), (None, "4")]);
    let batch = take(&mut store, 9);
    assert_eq!(told(&batch), [("1", 1), ("3", 1), ("4", 1)], "no two of one key");
    settle(&mut store, &batch[0], retry());
    assert_eq!(take(&mut store, 9), []);
    clock.advance(99);
    assert_eq!(take(&mut store, 9), []);
    clock.advance(1);
    let second = take(&mut store, 9);
    assert_eq!(told(&second), [("1", 2)], "after the base");
    settle(&mut store, &second[0], retry());
    clock.advance(199);
    assert_eq!(take(&mut store, 9), []);
    clock.advance(1);
    let third = take(&mut store, 9);
    assert_eq!(told(&third), [("1", 3)], "doubled");
    settle(&mut store, &third[0], retry());
    assert_eq!((dead(&store), told(&take(&mut store, 9))), (1, vec![("2", 1)]), "then it is given up");
}

#[test]
fn without_an_order_all_go_at_once() {
    let unordered = Subscription { ordered: false, ..subscription("c", "s", "#") };
    let (file, clock, settings) = with(vec![unordered]);
    let mut store = file.open(&clock, settings).unwrap();
    publish(&mut store, &[(Some("a"), "1"), (Some("a"), "2")]);
    assert_eq!(told(&take(&mut store, 9)), [("1", 1), ("2", 1)]);
}

#[test]
fn a_rejected_event_is_a_dead_letter_and_a_later_one_comes_later() {
    let (file, clock, settings) = with(vec![subscription("c", "s", "#")]);
    let mut store = file.open(&clock, settings).unwrap();
    publish(&mut store, &[(None, "1"), (None, "2")]);
    let taken = take(&mut store, 9);
    settle(&mut store, &taken[0], Err(Refusal::Reject("never".to_owned())));
    let later = Later { message: "busy".to_owned(), delay_ms: 5_000 };
    settle(&mut store, &taken[1], Err(Refusal::RetryAfter(later)));
    let row = store.run("SELECT error, attempts FROM weft_dead_letters", &[]).unwrap().rows;
    assert_eq!(row[0][0], text("never"));
    clock.advance(4_999);
    assert_eq!(take(&mut store, 9), []);
    clock.advance(1);
    assert_eq!(told(&take(&mut store, 9)), [("2", 2)]);
}

#[test]
fn a_handler_that_never_answers_is_given_up() {
    let (file, clock, settings) = with(vec![subscription("c", "s", "#")]);
    publish(&mut file.open(&clock, settings.clone()).unwrap(), &[(None, "1")]);
    for attempt in 1..=3 {
        // A crash: the instance is gone, and nothing was settled.
        let mut store = file.open(&clock, settings.clone()).unwrap();
        assert_eq!(told(&take(&mut store, 9)), [("1", attempt)]);
        clock.advance(LEASE_MS);
    }
    let mut store = file.open(&clock, settings).unwrap();
    assert_eq!((take(&mut store, 9), dead(&store)), (vec![], 1));
}

#[test]
fn delays_ttl_and_priority_are_kept() {
    let bounded = Subscription { ttl_ms: Some(10_000), ..subscription("c", "s", "#") };
    let (file, clock, settings) = with(vec![bounded]);
    let mut store = file.open(&clock, settings).unwrap();
    let event = |data: &str, change: &dyn Fn(&mut OutgoingEvent)| {
        let mut event = keyed("tested.a", Some("k"), data);
        change(&mut event.event);
        event
    };
    let events = [
        event("1", &|event| event.delay_ms = Some(1_000)),
        event("2", &|event| (event.ordering_key, event.ttl_ms) = (None, Some(500))),
        event("3", &|event| event.ordering_key = Some("k".to_owned())),
        event("4", &|event| (event.ordering_key, event.priority) = (None, Some(9))),
    ];
    store.publish(&events).unwrap();
    let taken = take(&mut store, 9);
    assert_eq!(told(&taken), [("4", 1), ("2", 1), ("3", 1)], "a delayed event holds nobody up");
    taken.iter().for_each(|one| settle(&mut store, one, retry()));
    clock.advance(1_000);
    assert_eq!(told(&take(&mut store, 9)), [("4", 2), ("1", 1)]);
    assert_eq!(dead(&store), 1, "what comes too late is a dead letter");
    clock.advance(LEASE_MS);
    assert_eq!((take(&mut store, 9), dead(&store)), (vec![], 3), "the subscription's own time to live counts, too");
    assert_eq!((take(&mut store, 9), dead(&store)), (vec![], 4), "and the next of a key comes after it");
}

#[test]
fn a_subscription_begins_where_it_says() {
    let (file, clock, mut settings) = with(vec![]);
    publish(&mut file.open(&clock, settings.clone()).unwrap(), &[(None, "1")]);
    let latest = Subscription { from_earliest: false, ..subscription("c", "latest", "#") };
    settings.subscriptions = vec![subscription("c", "s", "#"), latest];
    let mut store = file.open(&clock, settings).unwrap();
    publish(&mut store, &[(None, "2")]);
    assert_eq!(told(&take(&mut store, 9)), [("1", 1), ("2", 1)]);
    assert_eq!(told(&store.take("c", "latest", 9).unwrap()), [("2", 1)]);
}

#[test]
fn a_long_log_is_read_in_steps() {
    let (file, clock, settings) = with(vec![subscription("c", "s", "tested.wanted")]);
    let mut store = file.open(&clock, settings).unwrap();
    let many: Vec<_> = (0..600).map(|_| keyed("tested.other", None, "0")).collect();
    store.publish(&many).unwrap();
    store.publish(&[keyed("tested.wanted", None, "1")]).unwrap();
    assert_eq!(take(&mut store, 9), [], "the first step finds nothing");
    assert_eq!(told(&take(&mut store, 9)), [("1", 1)]);
}

#[test]
fn old_events_and_records_go_when_nobody_needs_them() {
    const DAY_MS: u64 = 24 * 3_600 * 1_000;
    let (file, clock, settings) = with(vec![subscription("c", "s", "#")]);
    let mut store = file.open(&clock, settings).unwrap();
    commit(&mut store, "old", vec![]).unwrap();
    publish(&mut store, &[(None, "1"), (None, "2"), (None, "3")]);
    let taken = take(&mut store, 9);
    settle(&mut store, &taken[0], Ok(()));
    settle(&mut store, &taken[1], Err(Refusal::Reject("never".to_owned())));
    clock.advance(8 * DAY_MS);
    publish(&mut store, &[(None, "4")]);
    store.due(|_, _| Ok(false)).unwrap();
    let left: Vec<_> = log(&store).into_iter().map(|(_, data)| data).collect();
    assert_eq!(left, ["2", "3", "4"], "a dead letter, a delivery and what is new stay");
    assert!(store.recorded(&key("old")).unwrap().is_some());
    clock.advance(90 * DAY_MS);
    store.due(|_, _| Ok(false)).unwrap();
    assert_eq!(store.recorded(&key("old")), Ok(None));
}
