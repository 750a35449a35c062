//! Keyed commits and revocations: one effect a key, all or nothing, and events that leave with them.

use adapter_store::bindings::weft::sql::types::{ConstraintKind, ConstraintViolation, Error, UnexpectedRows, Value};

use crate::harness::*;

#[test]
fn a_key_is_one_effect() {
    let (mut store, _) = store();
    assert_eq!(store.recorded(&key("once")), Ok(None));
    let record = commit(&mut store, "once", vec![effect("once", 1)]).unwrap();
    assert_eq!((record.fingerprint.as_str(), record.answer.as_slice()), ("f", b"once".as_slice()));
    let again = store.commit(&key("once"), "f", vec![effect("once", 2)], &[], b"other".to_vec());
    assert_eq!(again, Ok(record.clone()), "the record comes back, and nothing runs");
    assert_eq!(store.recorded(&key("once")), Ok(Some(record)));
    assert_eq!(store.commit(&key("once"), "g", vec![], &[], vec![]), Err(Error::KeyReused));
    assert_eq!(effects(&mut store, "once"), Value::Int64(1));
    let mut elsewhere = key("once");
    elsewhere.owner = "another owner".to_owned();
    store.commit(&elsewhere, "f", vec![effect("once", 1)], &[], vec![]).unwrap();
    assert_eq!(effects(&mut store, "once"), Value::Int64(2), "the owner is part of the key");
}

#[test]
fn a_failure_leaves_nothing() {
    let (mut store, _) = store();
    let update = statement("UPDATE items SET amount = 1 WHERE id = $1", [text("absent")]);
    let statements = vec![effect("unexpected", 1), expecting(update, 1)];
    let never = [outgoing("tested.never", "1")];
    let refused = store.commit(&key("unexpected"), "f", statements, &never, vec![]);
    assert_eq!(refused, Err(Error::UnexpectedRows(UnexpectedRows { statement: 1, expected: 1, actual: 0 })));
    assert_eq!(effects(&mut store, "unexpected"), Value::Int64(0));
    assert_eq!(store.recorded(&key("unexpected")), Ok(None), "the key is free");
    assert_eq!(log(&store), []);
    commit(&mut store, "unexpected", vec![effect("unexpected", 1)]).unwrap();
    let exact = statement("UPDATE effects SET value = value + 1 WHERE key = $1", [text("unexpected")]);
    let nothing = statement("SELECT value FROM effects", []);
    commit(&mut store, "expected", vec![expecting(exact, 1), expecting(nothing, 0)]).unwrap();
}

#[test]
fn constraints_are_named() {
    let (mut store, _) = store();
    let insert = |values: &str| statement(&format!("INSERT INTO rules (id, name, parent, age) VALUES {values}"), []);
    commit(&mut store, "rule", vec![insert("(1, 'a', NULL, 20)")]).unwrap();
    for (values, kind, subject) in [
        ("(1, 'b', NULL, 20)", ConstraintKind::Unique, "rules.id"),
        ("(2, 'a', NULL, 20)", ConstraintKind::Unique, "rules.name"),
        ("(2, NULL, NULL, 20)", ConstraintKind::NotNull, "rules.name"),
        ("(2, 'b', NULL, 17)", ConstraintKind::Check, "grown_up"),
    ] {
        let broken = commit(&mut store, "broken", vec![effect("broken", 1), insert(values)]);
        let violation = ConstraintViolation { kind, subject: subject.to_owned(), statement: 1 };
        assert_eq!(broken, Err(Error::Constraint(violation)), "{values}");
    }
    let orphan = commit(&mut store, "orphan", vec![insert("(2, 'b', 99, 20)")]);
    assert!(
        matches!(&orphan, Err(Error::Constraint(violation)) if violation.kind == ConstraintKind::ForeignKey),
        "{orphan:?}"
    );
    let parent = statement("INSERT INTO parents (id) VALUES (99)", []);
    commit(&mut store, "adopted", vec![insert("(2, 'b', 99, 20)"), parent]).unwrap();
    assert_eq!(effects(&mut store, "broken"), Value::Int64(0));
}

#[test]
fn revoking_undoes_and_keeps_from_happening() {
    let (mut store, _) = store();
    let undo = |name: &str| statement("DELETE FROM effects WHERE key = $1", [text(name)]);
    // After it happened.
    commit(&mut store, "undone", vec![effect("undone", 1)]).unwrap();
    let wrong = store.revoke(&key("undone"), vec![expecting(undo("undone"), 2)], &[]);
    assert!(matches!(wrong, Err(Error::UnexpectedRows(_))));
    assert!(store.recorded(&key("undone")).unwrap().is_some(), "a failed revocation leaves no tombstone");
    assert_eq!(store.revoke(&key("undone"), vec![undo("undone")], &[]), Ok(true));
    assert_eq!(effects(&mut store, "undone"), Value::Int64(0));
    // Before it happens.
    assert_eq!(store.revoke(&key("never"), vec![undo("never")], &[]), Ok(false));
    for (name, ran) in [("undone", true), ("never", false)] {
        assert_eq!(store.recorded(&key(name)), Err(Error::Revoked));
        assert_eq!(commit(&mut store, name, vec![effect(name, 1)]), Err(Error::Revoked));
        assert_eq!(effects(&mut store, name), Value::Int64(0));
        // Whatever stands there by now was put there by another effect.
        commit(&mut store, &format!("{name}-later"), vec![effect(name, 2)]).unwrap();
        assert_eq!(store.revoke(&key(name), vec![undo(name)], &[]), Ok(ran), "the first answer comes back");
        assert_eq!(effects(&mut store, name), Value::Int64(1), "and nothing runs");
    }
}

#[test]
fn events_leave_with_their_commit() {
    let (mut store, _) = store();
    let events = [outgoing("tested.a", "{\"n\":1}"), outgoing("tested.b", "2")];
    for _ in 0..2 {
        store.commit(&key("eventful"), "f", vec![effect("eventful", 1)], &events, vec![]).unwrap();
    }
    let undone = [outgoing("tested.undone", "3")];
    store.revoke(&key("eventful"), vec![], &undone).unwrap();
    store.revoke(&key("never committed"), vec![], &undone).unwrap();
    let sent = log(&store);
    let sent: Vec<_> = sent.iter().map(|(topic, data)| (topic.as_str(), data.as_str())).collect();
    assert_eq!(sent, [("tested.a", "{\"n\":1}"), ("tested.b", "2"), ("tested.undone", "3")], "each once, in order");
    for (topic, data) in [("not a topic", "1"), ("tested.a", "{"), ("tested.a", "")] {
        let refused = store.commit(&key("bad"), "f", vec![effect("bad", 1)], &[outgoing(topic, data)], vec![]);
        assert!(matches!(refused, Err(Error::Invalid(_))), "{topic} {data}");
    }
    assert_eq!(effects(&mut store, "bad"), Value::Int64(0));
}

#[test]
fn sizes_are_bounded() {
    let (mut store, _) = store();
    let many = |count: usize| (0..count).map(|_| effect("batch", 1)).collect::<Vec<_>>();
    assert!(matches!(commit(&mut store, "batch", many(1_001)), Err(Error::TooLarge(_))));
    commit(&mut store, "batch", many(1_000)).unwrap();
    assert_eq!(effects(&mut store, "batch"), Value::Int64(1_000));
    let long_key = store.commit(&key(&"k".repeat(1025)), "f", vec![], &[], vec![]);
    let long_answer = store.commit(&key("long"), "f", vec![], &[], vec![0; 16 * 1024 * 1024 + 1]);
    let events: Vec<_> = (0..1_001).map(|_| outgoing("tested.many", "1")).collect();
    let many_events = store.commit(&key("many"), "f", vec![], &events, vec![]);
    for refused in [long_key, long_answer, many_events] {
        assert!(matches!(refused, Err(Error::TooLarge(_))), "{refused:?}");
    }
    assert!(matches!(commit(&mut store, "", vec![]), Err(Error::Invalid(_))));
}

#[test]
fn instances_share_keys_and_wait_for_each_other() {
    let (file, clock) = (File::new(), Clock::default());
    let mut first = file.open(&clock, settings()).unwrap();
    let mut second = file.open(&clock, settings()).unwrap();
    let record = commit(&mut first, "shared", vec![effect("shared", 1)]).unwrap();
    assert_eq!(commit(&mut second, "shared", vec![effect("shared", 2)]), Ok(record));
    let transaction = first.begin().unwrap();
    let locked = commit(&mut second, "locked", vec![effect("locked", 1)]);
    assert!(matches!(locked, Err(Error::Unavailable((false, _)))), "{locked:?}");
    first.rollback_in(transaction).unwrap();
    commit(&mut second, "locked", vec![effect("locked", 1)]).unwrap();
    assert_eq!(effects(&mut first, "locked"), Value::Int64(1));
}
