//! Keyed commits and revocations: one effect a key, all or nothing, and events that leave with them.

use futures::future::join_all;

use super::{Backend, Commit, SqlError, Value, commit, event, key, one, query, statement, text};
use crate::sql::{ConstraintKind, Revocation, Statement, limits};

pub(super) async fn run(backend: &dyn Backend) {
    a_key_is_one_effect(backend).await;
    many_at_once_are_one_effect(backend).await;
    a_failure_leaves_nothing(backend).await;
    constraints_are_named(backend).await;
    a_failure_spares_its_neighbours(backend).await;
    revoking_undoes_and_keeps_from_happening(backend).await;
    events_leave_with_their_commit(backend).await;
    sizes_are_bounded(backend).await;
}

fn effect(name: &str, value: i64) -> Statement {
    statement("INSERT INTO effects (key, value) VALUES ($1, $2)", [text(name), Value::Int64(value)])
}

async fn effects(backend: &dyn Backend, name: &str) -> Value {
    one(&*backend.database(), "SELECT COUNT(*) FROM effects WHERE key = $1", [text(name)]).await
}

async fn a_key_is_one_effect(backend: &dyn Backend) {
    let database = backend.database();
    let first = commit("once", [effect("once", 1)]);
    assert_eq!(database.recorded(key("once")).await, Ok(None));
    let record = database.commit(first.clone()).await.unwrap();
    assert_eq!((record.fingerprint.as_str(), record.answer.as_slice()), ("f", b"once".as_slice()));
    let again = Commit { statements: vec![effect("once", 2)], answer: b"other".to_vec(), ..first.clone() };
    assert_eq!(database.commit(again).await, Ok(record.clone()), "the record comes back, and nothing runs");
    assert_eq!(database.recorded(key("once")).await, Ok(Some(record)));
    let reused = Commit { fingerprint: "g".to_owned(), ..first.clone() };
    assert_eq!(database.commit(reused).await, Err(SqlError::KeyReused));
    assert_eq!(effects(backend, "once").await, Value::Int64(1));
    let mut elsewhere = first;
    elsewhere.key.owner = "another owner".to_owned();
    database.commit(elsewhere).await.unwrap();
    assert_eq!(effects(backend, "once").await, Value::Int64(2), "the owner is part of the key");
}

async fn many_at_once_are_one_effect(backend: &dyn Backend) {
    let tasks = (0..64).map(|task| {
        let database = backend.database();
        tokio::spawn(async move {
            let mut one = commit("raced", [effect("raced", task)]);
            one.answer = task.to_string().into_bytes();
            database.commit(one).await.unwrap()
        })
    });
    let records: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(effects(backend, "raced").await, Value::Int64(1));
    assert!(records.windows(2).all(|pair| pair[0] == pair[1]), "all see the same record");
    let winner = one(&*backend.database(), "SELECT value FROM effects WHERE key = 'raced'", []).await;
    let answer = String::from_utf8(records[0].answer.clone()).unwrap();
    assert_eq!(winner, Value::Int64(answer.parse().unwrap()), "the record is that of the effect");
}

async fn a_failure_leaves_nothing(backend: &dyn Backend) {
    let database = backend.database();
    let update = statement("UPDATE items SET amount = 1 WHERE id = $1", [text("absent")]);
    let mut unexpected = commit("unexpected", [effect("unexpected", 1), update.expecting(1)]);
    unexpected.events.push(event("tested.never", "1"));
    assert_eq!(
        database.commit(unexpected.clone()).await,
        Err(SqlError::UnexpectedRows { statement: 1, expected: 1, actual: 0 })
    );
    assert_eq!(effects(backend, "unexpected").await, Value::Int64(0));
    assert_eq!(database.recorded(key("unexpected")).await, Ok(None), "the key is free");
    unexpected.statements.pop();
    unexpected.events.clear();
    database.commit(unexpected).await.unwrap();
    let exact = statement("UPDATE effects SET value = value + 1 WHERE key = $1", [text("unexpected")]);
    let nothing = statement("SELECT value FROM effects", []);
    database.commit(commit("expected", [exact.expecting(1), nothing.expecting(0)])).await.unwrap();
}

async fn constraints_are_named(backend: &dyn Backend) {
    let database = backend.database();
    let insert = |values: &str| {
        let columns = "INSERT INTO rules (id, name, parent, age) VALUES";
        statement(&format!("{columns} {values}"), [])
    };
    database.commit(commit("rule", [insert("(1, 'a', NULL, 20)")])).await.unwrap();
    for (values, kind, subject) in [
        ("(1, 'b', NULL, 20)", ConstraintKind::Unique, "rules.id"),
        ("(2, 'a', NULL, 20)", ConstraintKind::Unique, "rules.name"),
        ("(2, NULL, NULL, 20)", ConstraintKind::NotNull, "rules.name"),
        ("(2, 'b', NULL, 17)", ConstraintKind::Check, "grown_up"),
    ] {
        let broken = commit("broken", [effect("broken", 1), insert(values)]);
        let violation = SqlError::Constraint { kind, subject: subject.to_owned(), statement: 1 };
        assert_eq!(database.commit(broken).await, Err(violation), "{values}");
    }
    let orphan = database.commit(commit("orphan", [insert("(2, 'b', 99, 20)")])).await;
    assert!(matches!(orphan, Err(SqlError::Constraint { kind: ConstraintKind::ForeignKey, .. })), "{orphan:?}");
    let parent = statement("INSERT INTO parents (id) VALUES (99)", []);
    database.commit(commit("adopted", [insert("(2, 'b', 99, 20)"), parent])).await.unwrap();
    assert_eq!(effects(backend, "broken").await, Value::Int64(0));
}

/// Commits that are grouped do not fail together, whether a constraint is checked at once or at the end.
async fn a_failure_spares_its_neighbours(backend: &dyn Backend) {
    let tasks = (0..60).map(|task: i64| {
        let database = backend.database();
        tokio::spawn(async move {
            let last = match task % 3 {
                0 => statement("INSERT INTO rules (id, name, parent) VALUES ($1, 'c', 98)", [Value::Int64(100 + task)]),
                1 => statement("INSERT INTO rules (id, name) VALUES (1, 'd')", []),
                _ => effect("neighbours", task),
            };
            let name = format!("neighbour-{task}");
            (task, database.commit(commit(&name, [effect("neighbours", task), last])).await)
        })
    });
    for (task, result) in join_all(tasks).await.into_iter().map(Result::unwrap) {
        assert_eq!(result.is_ok(), task % 3 == 2, "{task}: {result:?}");
    }
    assert_eq!(effects(backend, "neighbours").await, Value::Int64(40));
}

async fn revoking_undoes_and_keeps_from_happening(backend: &dyn Backend) {
    let database = backend.database();
    let undo = |name: &str| Revocation {
        key: key(name),
        statements: vec![statement("DELETE FROM effects WHERE key = $1", [text(name)])],
        events: Vec::new(),
    };
    // After it happened.
    database.commit(commit("undone", [effect("undone", 1)])).await.unwrap();
    let mut wrong = undo("undone");
    wrong.statements[0].expected_rows = Some(2);
    assert!(matches!(database.revoke(wrong).await, Err(SqlError::UnexpectedRows { .. })));
    assert!(database.recorded(key("undone")).await.unwrap().is_some(), "a failed revocation leaves no tombstone");
    assert_eq!(database.revoke(undo("undone")).await, Ok(true));
    assert_eq!(effects(backend, "undone").await, Value::Int64(0));
    // Before it happens.
    assert_eq!(database.revoke(undo("never")).await, Ok(false));
    for (name, ran) in [("undone", true), ("never", false)] {
        assert_eq!(database.recorded(key(name)).await, Err(SqlError::Revoked));
        assert_eq!(database.commit(commit(name, [effect(name, 1)])).await, Err(SqlError::Revoked));
        assert_eq!(effects(backend, name).await, Value::Int64(0));
        // Whatever stands there by now was put there by another effect.
        database.commit(commit(&format!("{name}-later"), [effect(name, 2)])).await.unwrap();
        assert_eq!(database.revoke(undo(name)).await, Ok(ran), "the first answer comes back");
        assert_eq!(effects(backend, name).await, Value::Int64(1), "and nothing runs");
    }
}

async fn events_leave_with_their_commit(backend: &dyn Backend) {
    let (database, outbox) = (backend.database(), backend.outbox());
    let waiting = outbox.pending(10_000).await.unwrap();
    outbox.forwarded(waiting.last().map_or(0, |event| event.position)).await.unwrap();
    assert!(outbox.pending(10).await.unwrap().is_empty());
    let mut first = commit("eventful", [effect("eventful", 1)]);
    first.events = vec![event("tested.a", "{\"n\":1}"), event("tested.b", "2")];
    first.events[0].subject = Some("subject".to_owned());
    first.events[0].ordering_key = Some("order".to_owned());
    first.events[0].correlation_id = Some("correlation".to_owned());
    first.events[0].traceparent = Some("trace".to_owned());
    first.events[0].dataschema = Some("schema".to_owned());
    (first.events[0].delay_ms, first.events[0].ttl_ms, first.events[0].priority) = (Some(1), Some(u64::MAX), Some(9));
    database.commit(first.clone()).await.unwrap();
    outbox.changed().await;
    database.commit(first.clone()).await.unwrap();
    let mut undo = Revocation { key: key("eventful"), statements: vec![], events: vec![event("tested.undone", "3")] };
    database.revoke(undo.clone()).await.unwrap();
    undo.key = key("never committed");
    database.revoke(undo).await.unwrap();
    let sent = outbox.pending(10).await.unwrap();
    let topics: Vec<_> = sent.iter().map(|event| event.topic.as_str()).collect();
    assert_eq!(topics, ["tested.a", "tested.b", "tested.undone"], "each once, in order");
    assert!(sent.windows(2).all(|pair| pair[0].position < pair[1].position && pair[0].id != pair[1].id));
    let event_of = &sent[0];
    assert_eq!(event_of.source, format!("/{}/conformance", database.context()));
    assert_eq!((event_of.kind.as_str(), event_of.data.as_slice()), ("tested", b"{\"n\":1}".as_slice()));
    let optional = [&event_of.subject, &event_of.ordering_key, &event_of.correlation_id, &event_of.traceparent];
    assert_eq!(optional.map(Option::as_deref), ["subject", "order", "correlation", "trace"].map(Some));
    assert_eq!(event_of.dataschema.as_deref(), Some("schema"));
    let (ttl_ms, most) = (event_of.ttl_ms.unwrap(), u64::try_from(i64::MAX).unwrap());
    assert!(ttl_ms >= most, "a time past what the engine holds is the longest it holds, not {ttl_ms}");
    assert_eq!((event_of.delay_ms, event_of.priority), (Some(1), Some(9)));
    assert_eq!((sent[1].delay_ms, sent[1].ttl_ms, sent[1].priority, &sent[1].dataschema), (None, None, None, &None));
    assert_eq!(outbox.pending(1).await.unwrap(), sent[..1]);
    outbox.forwarded(sent[1].position).await.unwrap();
    assert_eq!(outbox.pending(10).await.unwrap(), sent[2..]);
    outbox.forwarded(sent[2].position).await.unwrap();
    for (topic, data) in [("not a topic", "1"), ("tested.a", "{"), ("tested.a", "")] {
        let mut refused = commit("bad event", [effect("bad event", 1)]);
        refused.events = vec![event(topic, data)];
        assert!(matches!(database.commit(refused).await, Err(SqlError::Invalid(_))), "{topic} {data}");
    }
    assert_eq!(effects(backend, "bad event").await, Value::Int64(0));
}

async fn sizes_are_bounded(backend: &dyn Backend) {
    let database = backend.database();
    let many = |count: usize| commit("batch", (0..count).map(|_| effect("batch", 1)));
    let refused = database.commit(many(limits::STATEMENTS + 1)).await;
    assert!(matches!(refused, Err(SqlError::TooLarge(_))), "{refused:?}");
    database.commit(many(limits::STATEMENTS)).await.unwrap();
    assert_eq!(effects(backend, "batch").await, Value::Int64(1_000));
    let long_key = commit(&"k".repeat(limits::KEY_BYTES + 1), []);
    let mut long_answer = commit("long answer", []);
    long_answer.answer = vec![0; limits::COMMIT_BYTES + 1];
    let mut events = commit("many events", []);
    events.events = (0..=limits::EVENTS).map(|_| event("tested.many", "1")).collect();
    for large in [long_key, long_answer, events] {
        assert!(matches!(database.commit(large).await, Err(SqlError::TooLarge(_))));
    }
    assert!(matches!(database.commit(commit("", [])).await, Err(SqlError::Invalid(_))));
    let columns = query(&*database, "SELECT key, value FROM effects WHERE key = 'none'", []).await.unwrap().columns;
    assert_eq!(columns, ["key", "value"]);
}
