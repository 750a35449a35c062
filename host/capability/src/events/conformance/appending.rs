//! Appends: expected versions, keys, all or nothing, and what leaves by the outbox.

use futures::future::join_all;

use super::{Backend, EventStoreError, ExpectedVersion, append, append_one, event, keyed, numbers};
use crate::events::{Append, Direction, NewEvent, limits};
use crate::sql::{OutgoingEvent, SqlError, Statement, Value};

pub(super) async fn run(backend: &dyn Backend) {
    versions_are_compared(backend).await;
    a_key_is_one_append(backend).await;
    a_conflict_leaves_nothing(backend).await;
    of_racing_appends_one_lands(backend).await;
    many_writers_leave_no_gap(backend).await;
    one_commit_may_append_to_many_streams(backend).await;
    what_is_appended_leaves_in_order(backend).await;
    names_and_sizes_are_bounded(backend).await;
    ids_are_unique(backend).await;
}

async fn stream(backend: &dyn Backend, name: &str) -> Vec<u64> {
    let read = backend.store().read_stream(name.to_owned(), 0, Direction::Forward, limits::READ).await.unwrap();
    assert!(read.events.iter().zip(1..).all(|(event, version)| event.version == version && event.stream == name));
    numbers(&read.events)
}

fn conflict(stream: &str, expected: ExpectedVersion, actual: u64) -> EventStoreError {
    EventStoreError::Conflict { stream: stream.to_owned(), expected, actual }
}

async fn versions_are_compared(backend: &dyn Backend) {
    use ExpectedVersion::{Any, Exact, NoStream};
    let name = "versions-1";
    assert_eq!(backend.store().stream_version(name.to_owned()).await, Ok(0));
    assert_eq!(append_one(backend, append(name, Exact(1), 0..1)).await, Err(conflict(name, Exact(1), 0)));
    append_one(backend, append(name, NoStream, 0..2)).await.unwrap();
    for wrong in [NoStream, Exact(0), Exact(1), Exact(3), Exact(u64::MAX)] {
        assert_eq!(append_one(backend, append(name, wrong, 9..10)).await, Err(conflict(name, wrong, 2)));
    }
    append_one(backend, append(name, Exact(2), 2..3)).await.unwrap();
    append_one(backend, append(name, Any, 3..5)).await.unwrap();
    append_one(backend, append("versions-2", Exact(0), 0..1)).await.unwrap();
    append_one(backend, append("versions-3", Any, 0..1)).await.unwrap();
    assert_eq!(stream(backend, name).await, [0, 1, 2, 3, 4]);
    assert_eq!(backend.store().stream_version(name.to_owned()).await, Ok(5));
}

async fn a_key_is_one_append(backend: &dyn Backend) {
    let store = backend.store();
    let appends = || vec![append("key-1", ExpectedVersion::NoStream, 0..2)];
    let record = store.append(keyed("key-1"), appends()).await.unwrap();
    assert_eq!(record.answer, b"key-1");
    // Its version is long past, but the key is known.
    assert_eq!(store.append(keyed("key-1"), appends()).await, Ok(record.clone()));
    assert_eq!(backend.database().commit(keyed("key-1")).await, Ok(record), "the keys are those of the database");
    let mut reused = keyed("key-1");
    reused.fingerprint = "g".to_owned();
    assert_eq!(store.append(reused, appends()).await, Err(SqlError::KeyReused.into()));
    assert_eq!(stream(backend, "key-1").await, [0, 1]);
    let revocation = crate::sql::Revocation { key: keyed("key-2").key, statements: Vec::new(), events: Vec::new() };
    backend.database().revoke(revocation).await.unwrap();
    let revoked = store.append(keyed("key-2"), vec![append("key-2", ExpectedVersion::Any, 0..1)]).await;
    assert_eq!(revoked, Err(SqlError::Revoked.into()));
}

fn effect(name: &str) -> Statement {
    Statement::new("INSERT INTO effects (key, value) VALUES ($1, 1)", vec![Value::Text(name.to_owned())])
}

async fn a_conflict_leaves_nothing(backend: &dyn Backend) {
    let store = backend.store();
    append_one(backend, append("nothing-1", ExpectedVersion::Any, 0..1)).await.unwrap();
    let head = store.head().await.unwrap();
    let mut commit = keyed("nothing");
    commit.statements = vec![effect("nothing")];
    commit.events = vec![OutgoingEvent {
        topic: "tested.never".to_owned(),
        kind: "never".to_owned(),
        data: b"1".to_vec(),
        ..OutgoingEvent::default()
    }];
    let appends =
        || vec![append("nothing-2", ExpectedVersion::Any, 0..1), append("nothing-1", ExpectedVersion::NoStream, 0..1)];
    let refused = store.append(commit.clone(), appends()).await;
    assert_eq!(refused, Err(conflict("nothing-1", ExpectedVersion::NoStream, 1)));
    // A statement that fails takes the appends with it.
    let mut broken = commit.clone();
    broken.statements.push(effect("nothing").expecting(2));
    let refused = store.append(broken, vec![append("nothing-2", ExpectedVersion::Any, 0..1)]).await;
    let unexpected = SqlError::UnexpectedRows { statement: 1, expected: 2, actual: 1 };
    assert_eq!(refused, Err(unexpected.into()));
    assert_eq!(backend.database().recorded(commit.key.clone()).await, Ok(None), "the key is free");
    assert_eq!(stream(backend, "nothing-2").await, [] as [u64; 0]);
    assert_eq!(store.head().await, Ok(head));
    let count = "SELECT COUNT(*) FROM effects WHERE key = 'nothing'".to_owned();
    let count = backend.database().query(count, Vec::new()).await.unwrap();
    assert_eq!(count.rows, [[Value::Int64(0)]]);
    assert!(backend.outbox().pending(10_000).await.unwrap().iter().all(|event| event.topic != "tested.never"));
}

async fn of_racing_appends_one_lands(backend: &dyn Backend) {
    append_one(backend, append("raced-1", ExpectedVersion::NoStream, 0..1)).await.unwrap();
    for version in 1..20 {
        let racing = (0..8).map(|_| append_one(backend, append("raced-1", ExpectedVersion::Exact(version), 1..2)));
        let results = join_all(racing).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        let lost = conflict("raced-1", ExpectedVersion::Exact(version), version + 1);
        assert!(results.into_iter().filter_map(Result::err).all(|error| error == lost));
    }
}

async fn many_writers_leave_no_gap(backend: &dyn Backend) {
    let before = backend.store().head().await.unwrap();
    let writers = (0..32_u64).map(|writer| {
        let store = backend.store();
        tokio::spawn(async move {
            for number in 0..10 {
                let one = append(&format!("writers-{}", writer % 4), ExpectedVersion::Any, number..number + 1);
                store.append(keyed(&format!("writers-{writer}-{number}")), vec![one]).await.unwrap();
            }
        })
    });
    // Who reads along finds each event once, in the order of positions, however many write.
    let store = backend.store();
    let follower = tokio::spawn(async move {
        let (mut at, mut found) = (before, 0);
        while found < 320 {
            store.appended_after(at).await;
            let page = store.read_all(at + 1, Direction::Forward, super::super::Filter::default(), 7).await.unwrap();
            for event in page.events {
                assert_eq!(event.position, at + 1, "nothing comes later before what was read");
                (at, found) = (event.position, found + 1);
            }
        }
    });
    join_all(writers).await.into_iter().for_each(Result::unwrap);
    follower.await.unwrap();
    for name in ["writers-0", "writers-1", "writers-2", "writers-3"] {
        assert_eq!(stream(backend, name).await.len(), 80);
    }
}

async fn one_commit_may_append_to_many_streams(backend: &dyn Backend) {
    let appends = vec![
        append("many-1", ExpectedVersion::NoStream, 0..2),
        append("many-2", ExpectedVersion::NoStream, 2..3),
        // It stands on what the first has appended.
        append("many-1", ExpectedVersion::Exact(2), 3..4),
    ];
    backend.store().append(keyed("many"), appends).await.unwrap();
    assert_eq!((stream(backend, "many-1").await, stream(backend, "many-2").await), (vec![0, 1, 3], vec![2]));
    backend.store().append(keyed("none"), Vec::new()).await.unwrap();
    assert!(backend.database().recorded(keyed("none").key).await.unwrap().is_some(), "a commit needs no append");
}

async fn what_is_appended_leaves_in_order(backend: &dyn Backend) {
    let outbox = backend.outbox();
    let waiting = outbox.pending(10_000).await.unwrap();
    outbox.forwarded(waiting.last().map_or(0, |event| event.position)).await.unwrap();
    let full = NewEvent {
        id: Some("leaves-id".to_owned()),
        correlation_id: Some("correlation".to_owned()),
        causation_id: Some("causation".to_owned()),
        traceparent: Some("trace".to_owned()),
        metadata: Some(b"{\"who\":1}".to_vec()),
        ..event("full", 0)
    };
    let full = Append { stream: "leaves-1".to_owned(), expected: ExpectedVersion::Any, events: vec![full] };
    let mut commit = keyed("leaves");
    commit.events = vec![OutgoingEvent {
        topic: "tested.further".to_owned(),
        kind: "further".to_owned(),
        ordering_key: Some("leaves-1".to_owned()),
        data: b"3".to_vec(),
        ..OutgoingEvent::default()
    }];
    let appends = vec![full, append("leaves-2", ExpectedVersion::Any, 1..3)];
    backend.store().append(commit, appends).await.unwrap();
    outbox.changed().await;
    let sent = outbox.pending(10).await.unwrap();
    let told: Vec<_> = sent.iter().map(|event| (event.topic.as_str(), event.data.as_slice())).collect();
    let further = ("tested.further", b"3".as_slice());
    assert_eq!(told, [("tested.full", b"0".as_slice()), ("tested.made", b"1"), ("tested.made", b"2"), further]);
    let first = &sent[0];
    assert_eq!((first.id.as_str(), first.kind.as_str()), ("leaves-id", "full"));
    assert_eq!(first.source, format!("/{}/events", backend.database().context()));
    let optional = [&first.subject, &first.ordering_key, &first.correlation_id, &first.traceparent];
    assert_eq!(optional.map(Option::as_deref), ["leaves-1", "leaves-1", "correlation", "trace"].map(Some));
    let store = backend.store();
    let kept = store.read_stream("leaves-1".to_owned(), 1, Direction::Forward, 1).await.unwrap().events.remove(0);
    assert_eq!((kept.id, kept.time_ms, kept.topic), (first.id.clone(), first.time_ms, first.topic.clone()));
    assert_eq!(
        (kept.causation_id.as_deref(), kept.metadata.as_deref()),
        (Some("causation"), Some(&b"{\"who\":1}"[..]))
    );
    let second = store.read_stream("leaves-2".to_owned(), 1, Direction::Forward, 2).await.unwrap().events;
    assert_eq!(second.iter().map(|event| &event.id).collect::<Vec<_>>(), [&sent[1].id, &sent[2].id]);
    outbox.forwarded(sent[1].position).await.unwrap();
    assert_eq!(outbox.pending(10).await.unwrap(), sent[2..]);
    outbox.forwarded(sent[3].position).await.unwrap();
}

async fn names_and_sizes_are_bounded(backend: &dyn Backend) {
    let long = format!("long-{}", "x".repeat(limits::STREAM_BYTES));
    for name in ["", "category", "category-", "-id", "a-\n", long.as_str()] {
        let refused = append_one(backend, append(name, ExpectedVersion::Any, 0..1)).await;
        assert!(matches!(refused, Err(EventStoreError::Invalid(_))), "{name}: {refused:?}");
        assert!(backend.store().stream_version(name.to_owned()).await.is_err(), "{name}");
    }
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2)).into_bytes();
    let object = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8)).into_bytes();
    let whole =
        NewEvent { data: text(limits::DATA_BYTES), metadata: Some(object(limits::METADATA_BYTES)), ..event("made", 0) };
    let one =
        |event: NewEvent| Append { stream: "sizes-1".to_owned(), expected: ExpectedVersion::Any, events: vec![event] };
    append_one(backend, one(whole)).await.unwrap();
    for (why, event) in [
        ("data", NewEvent { data: text(limits::DATA_BYTES + 1), ..event("made", 0) }),
        ("no JSON", NewEvent { data: b"{".to_vec(), ..event("made", 0) }),
        ("empty data", NewEvent { data: Vec::new(), ..event("made", 0) }),
        ("metadata", NewEvent { metadata: Some(object(limits::METADATA_BYTES + 1)), ..event("made", 0) }),
        ("no object", NewEvent { metadata: Some(b"[]".to_vec()), ..event("made", 0) }),
        ("topic", NewEvent { topic: "not a topic".to_owned(), ..event("made", 0) }),
        ("type", NewEvent { kind: String::new(), ..event("made", 0) }),
        ("id", NewEvent { id: Some("x".repeat(limits::NAME_BYTES + 1)), ..event("made", 0) }),
    ] {
        let refused = append_one(backend, one(event)).await;
        assert!(matches!(refused, Err(EventStoreError::Invalid(_))), "{why}: {refused:?}");
    }
    let none = append_one(backend, append("sizes-1", ExpectedVersion::Any, 0..0)).await;
    assert!(matches!(none, Err(EventStoreError::Invalid(_))), "{none:?}");
    let most = u64::try_from(limits::EVENTS).unwrap();
    let many = append_one(backend, append("sizes-2", ExpectedVersion::Any, 0..most + 1)).await;
    assert!(matches!(many, Err(EventStoreError::Invalid(_))), "{many:?}");
    append_one(backend, append("sizes-2", ExpectedVersion::Any, 0..most)).await.unwrap();
    assert_eq!(stream(backend, "sizes-2").await.len(), limits::EVENTS);
}

async fn ids_are_unique(backend: &dyn Backend) {
    let named = |stream: &str| Append {
        stream: stream.to_owned(),
        expected: ExpectedVersion::Any,
        events: vec![NewEvent { id: Some("unique".to_owned()), ..event("made", 0) }],
    };
    append_one(backend, named("unique-1")).await.unwrap();
    let twin = append_one(backend, named("unique-2")).await;
    assert!(matches!(&twin, Err(EventStoreError::Invalid(text)) if text.contains("`unique`")), "{twin:?}");
    assert_eq!(stream(backend, "unique-2").await, [] as [u64; 0]);
}
