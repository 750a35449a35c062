//! Appends: expected versions, keys, all or nothing, and what leaves with them.

use adapter_store::StoreError;
use adapter_store::bindings::weft::events::types::{
    Direction, ExpectedVersion, NewEvent, StreamAppend, VersionConflict,
};
use adapter_store::bindings::weft::sql::types::{Error, UnexpectedRows, Value};

use crate::harness::*;

fn stream(store: &mut TestStore, name: &str) -> Vec<u64> {
    let read = store.read_stream(name, 0, Direction::Forward, 1_000).unwrap();
    assert!(read.events.iter().zip(1..).all(|(event, version)| event.version == version && event.stream == name));
    numbers(&read.events)
}

fn conflict(stream: &str, expected: ExpectedVersion, actual: u64) -> StoreError {
    StoreError::Conflict(VersionConflict { stream: stream.to_owned(), expected, actual })
}

#[test]
fn versions_are_compared() {
    use ExpectedVersion::{Any, Exact, NoStream};
    let (mut store, _) = store();
    let name = "versions-1";
    assert_eq!(store.stream_version(name), Ok(0));
    assert_eq!(append_one(&mut store, append(name, Exact(1), 0..1)), Err(conflict(name, Exact(1), 0)));
    append_one(&mut store, append(name, NoStream, 0..2)).unwrap();
    for wrong in [NoStream, Exact(0), Exact(1), Exact(3), Exact(u64::MAX)] {
        assert_eq!(append_one(&mut store, append(name, wrong, 9..10)), Err(conflict(name, wrong, 2)));
    }
    append_one(&mut store, append(name, Exact(2), 2..3)).unwrap();
    append_one(&mut store, append(name, Any, 3..5)).unwrap();
    append_one(&mut store, append("versions-2", Exact(0), 0..1)).unwrap();
    assert_eq!(stream(&mut store, name), [0, 1, 2, 3, 4]);
    assert_eq!(store.stream_version(name), Ok(5));
}

#[test]
fn a_key_is_one_append() {
    let (mut store, _) = store();
    let appends = [append("key-1", ExpectedVersion::NoStream, 0..2)];
    let record = store.append(&key("key-1"), "f", &appends, vec![], &[], b"a".to_vec()).unwrap();
    // Its version is long past, but the key is known.
    assert_eq!(store.append(&key("key-1"), "f", &appends, vec![], &[], vec![]), Ok(record.clone()));
    assert_eq!(commit(&mut store, "key-1", vec![]), Ok(record), "the keys are those of the database");
    let reused = store.append(&key("key-1"), "g", &appends, vec![], &[], vec![]);
    assert_eq!(reused, Err(StoreError::Sql(Error::KeyReused)));
    assert_eq!(stream(&mut store, "key-1"), [0, 1]);
    store.revoke(&key("key-2"), vec![], &[]).unwrap();
    let revoked = [append("key-2", ExpectedVersion::Any, 0..1)];
    let revoked = store.append(&key("key-2"), "f", &revoked, vec![], &[], vec![]);
    assert_eq!(revoked, Err(StoreError::Sql(Error::Revoked)));
}

#[test]
fn a_conflict_leaves_nothing() {
    let (mut store, _) = store();
    append_one(&mut store, append("nothing-1", ExpectedVersion::Any, 0..1)).unwrap();
    let sent = log(&store);
    let never = [outgoing("tested.never", "1")];
    let appends =
        [append("nothing-2", ExpectedVersion::Any, 0..1), append("nothing-1", ExpectedVersion::NoStream, 0..1)];
    let refused = store.append(&key("nothing"), "f", &appends, vec![effect("nothing", 1)], &never, vec![]);
    assert_eq!(refused, Err(conflict("nothing-1", ExpectedVersion::NoStream, 1)));
    // A statement that fails takes the appends with it.
    let statements = vec![effect("nothing", 1), expecting(effect("nothing", 1), 2)];
    let refused = store.append(&key("nothing"), "f", &appends[..1], statements, &never, vec![]);
    let unexpected = UnexpectedRows { statement: 1, expected: 2, actual: 1 };
    assert_eq!(refused, Err(StoreError::Sql(Error::UnexpectedRows(unexpected))));
    assert_eq!(store.recorded(&key("nothing")), Ok(None), "the key is free");
    assert_eq!(stream(&mut store, "nothing-2"), [] as [u64; 0]);
    assert_eq!(effects(&mut store, "nothing"), Value::Int64(0));
    assert_eq!(log(&store), sent);
}

#[test]
fn of_racing_appends_one_lands() {
    let (file, clock) = (File::new(), Clock::default());
    let mut stores: Vec<_> = (0..4).map(|_| file.open(&clock, settings()).unwrap()).collect();
    append_one(&mut stores[0], append("raced-1", ExpectedVersion::NoStream, 0..1)).unwrap();
    for version in 1..20 {
        let racing = append("raced-1", ExpectedVersion::Exact(version), 1..2);
        let results: Vec<_> = stores.iter_mut().map(|store| append_one(store, racing.clone())).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        let lost = conflict("raced-1", ExpectedVersion::Exact(version), version + 1);
        assert!(results.into_iter().filter_map(Result::err).all(|error| error == lost));
    }
}

#[test]
fn one_commit_may_append_to_many_streams() {
    let (mut store, _) = store();
    let appends = [
        append("many-1", ExpectedVersion::NoStream, 0..2),
        append("many-2", ExpectedVersion::NoStream, 2..3),
        // It stands on what the first has appended.
        append("many-1", ExpectedVersion::Exact(2), 3..4),
    ];
    store.append(&key("many"), "f", &appends, vec![], &[], vec![]).unwrap();
    assert_eq!((stream(&mut store, "many-1"), stream(&mut store, "many-2")), (vec![0, 1, 3], vec![2]));
}

#[test]
fn what_is_appended_leaves_in_order() {
    let (mut store, _) = store();
    let full = NewEvent {
        id: Some("leaves-id".to_owned()),
        correlation_id: Some("correlation".to_owned()),
        causation_id: Some("causation".to_owned()),
        metadata: Some(b"{\"who\":1}".to_vec()),
        topic: None,
        ..event("tested.full", 0)
    };
    let full = StreamAppend { stream: "leaves-1".to_owned(), expected: ExpectedVersion::Any, events: vec![full] };
    let appends = [full, append("leaves-2", ExpectedVersion::Any, 1..3)];
    store.append(&key("leaves"), "f", &appends, vec![], &[outgoing("tested.further", "3")], vec![]).unwrap();
    let sent = log(&store);
    let told: Vec<_> = sent.iter().map(|(topic, data)| (topic.as_str(), data.as_str())).collect();
    assert_eq!(told, [("tested.full", "0"), ("tested.made", "1"), ("tested.made", "2"), ("tested.further", "3")]);
    let select = "SELECT subject, ordering_key, correlation_id, source FROM weft_log WHERE id = 'leaves-id'";
    let row = store.run(select, &[]).unwrap().rows;
    assert_eq!(row, [["leaves-1", "leaves-1", "correlation", "/conformance"].map(text)]);
    let kept = store.read_stream("leaves-1", 1, Direction::Forward, 1).unwrap().events.remove(0);
    assert_eq!((kept.id.as_str(), kept.causation_id.as_deref()), ("leaves-id", Some("causation")));
    assert_eq!(kept.metadata.as_deref(), Some(&b"{\"who\":1}"[..]));
}

#[test]
fn names_and_sizes_are_bounded() {
    let (mut store, _) = store();
    let long = format!("long-{}", "x".repeat(255));
    for name in ["", "category", "category-", "-id", "a-\n", long.as_str()] {
        let refused = append_one(&mut store, append(name, ExpectedVersion::Any, 0..1));
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{name}: {refused:?}");
        assert!(store.stream_version(name).is_err(), "{name}");
    }
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2)).into_bytes();
    let object = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8)).into_bytes();
    let one = |event: NewEvent| StreamAppend {
        stream: "sizes-1".to_owned(),
        expected: ExpectedVersion::Any,
        events: vec![event],
    };
    let (data, metadata) = (256 * 1024, 16 * 1024);
    let whole = NewEvent { data: text(data), metadata: Some(object(metadata)), ..event("made", 0) };
    append_one(&mut store, one(whole)).unwrap();
    for (why, event) in [
        ("data", NewEvent { data: text(data + 1), ..event("made", 0) }),
        ("no JSON", NewEvent { data: b"{".to_vec(), ..event("made", 0) }),
        ("empty data", NewEvent { data: Vec::new(), ..event("made", 0) }),
        ("metadata", NewEvent { metadata: Some(object(metadata + 1)), ..event("made", 0) }),
        ("no object", NewEvent { metadata: Some(b"[]".to_vec()), ..event("made", 0) }),
        ("topic", NewEvent { topic: Some("not a topic".to_owned()), ..event("made", 0) }),
        ("type", NewEvent { type_: String::new(), ..event("made", 0) }),
        ("id", NewEvent { id: Some("x".repeat(256)), ..event("made", 0) }),
    ] {
        let refused = append_one(&mut store, one(event));
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{why}: {refused:?}");
    }
    let none = append_one(&mut store, append("sizes-1", ExpectedVersion::Any, 0..0));
    assert!(matches!(none, Err(StoreError::Invalid(_))), "{none:?}");
    let many = append_one(&mut store, append("sizes-2", ExpectedVersion::Any, 0..1_001));
    assert!(matches!(many, Err(StoreError::Invalid(_))), "{many:?}");
    append_one(&mut store, append("sizes-2", ExpectedVersion::Any, 0..1_000)).unwrap();
    assert_eq!(stream(&mut store, "sizes-2").len(), 1_000);
}

#[test]
fn ids_are_unique() {
    let (mut store, _) = store();
    let named = |stream: &str| StreamAppend {
        stream: stream.to_owned(),
        expected: ExpectedVersion::Any,
        events: vec![NewEvent { id: Some("unique".to_owned()), ..event("made", 0) }],
    };
    append_one(&mut store, named("unique-1")).unwrap();
    let twin = append_one(&mut store, named("unique-2"));
    assert!(matches!(&twin, Err(StoreError::Invalid(text)) if text.contains("`unique`")), "{twin:?}");
    assert_eq!(stream(&mut store, "unique-2"), [] as [u64; 0]);
}
