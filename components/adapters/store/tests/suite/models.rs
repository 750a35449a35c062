//! The store compared with plain models over any sequence of calls.

use std::collections::HashMap;

use adapter_store::StoreError;
use adapter_store::bindings::weft::events::types::{Direction, ExpectedVersion, Filter, VersionConflict};
use adapter_store::bindings::weft::sql::types::{Error, Statement, UnexpectedRows, Value};
use proptest::prelude::*;

use crate::harness::*;
use crate::streams::{all, everything};

const FAILING: &str = "UPDATE effects SET value = 0 WHERE key = 'nothing has this key'";

#[derive(Clone, Debug)]
enum Call {
    Commit { key: u8, value: u8, fails: bool },
    Revoke { key: u8, fails: bool },
    Recorded { key: u8 },
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        (0_u8..3, 0_u8..2, any::<bool>()).prop_map(|(key, value, fails)| Call::Commit { key, value, fails }),
        (0_u8..3, any::<bool>()).prop_map(|(key, fails)| Call::Revoke { key, fails }),
        (0_u8..3).prop_map(|key| Call::Recorded { key }),
    ];
    prop::collection::vec(call, 0..20)
}

#[derive(Clone, Copy)]
enum Entry {
    Committed(u8),
    Revoked { ran: bool },
}

fn failing(first: Statement, fails: bool) -> Vec<Statement> {
    let failing = fails.then(|| expecting(statement(FAILING, []), 1));
    [first].into_iter().chain(failing).collect()
}

fn run_call(store: &mut TestStore, model: &mut HashMap<u8, Entry>, call: &Call) {
    let unexpected = Error::UnexpectedRows(UnexpectedRows { statement: 1, expected: 1, actual: 0 });
    match *call {
        Call::Commit { key: number, value, fails } => {
            let name = number.to_string();
            let put = failing(effect(&name, i64::from(value)), fails);
            let answer = store.commit(&key(&name), &value.to_string(), put, &[], vec![value]);
            let expected = match model.get(&number) {
                Some(Entry::Committed(old)) if *old == value => Ok(value),
                Some(Entry::Committed(_)) => Err(Error::KeyReused),
                Some(Entry::Revoked { .. }) => Err(Error::Revoked),
                None if fails => Err(unexpected),
                None => {
                    model.insert(number, Entry::Committed(value));
                    Ok(value)
                }
            };
            assert_eq!(answer.map(|record| record.answer[0]), expected, "{call:?}");
        }
        Call::Revoke { key: number, fails } => {
            let delete = statement("DELETE FROM effects WHERE key = $1", [text(&number.to_string())]);
            let answer = store.revoke(&key(&number.to_string()), failing(expecting(delete, 1), fails), &[]);
            let expected = match model.get(&number) {
                Some(Entry::Revoked { ran }) => Ok(*ran),
                Some(Entry::Committed(_)) if fails => Err(unexpected),
                found => Ok(found.is_some()),
            };
            if let Ok(ran) = expected {
                model.insert(number, Entry::Revoked { ran });
            }
            assert_eq!(answer, expected, "{call:?}");
        }
        Call::Recorded { key: number } => {
            let expected = match model.get(&number) {
                None => Ok(None),
                Some(Entry::Committed(value)) => Ok(Some(vec![*value])),
                Some(Entry::Revoked { .. }) => Err(Error::Revoked),
            };
            let found = store.recorded(&key(&number.to_string()));
            assert_eq!(found.map(|found| found.map(|record| record.answer)), expected, "{call:?}");
        }
    }
}

proptest! {
    #[test]
    fn keyed_commits_are_as_their_model(calls in calls()) {
        let (mut store, _) = store();
        let mut model = HashMap::new();
        calls.iter().for_each(|call| run_call(&mut store, &mut model, call));
        for (number, entry) in model {
            let sum = "SELECT COALESCE(SUM(value), -1) FROM effects WHERE key = $1";
            let stored = one(&mut store, sum, &[text(&number.to_string())]);
            let expected = if let Entry::Committed(value) = entry { i64::from(value) } else { -1 };
            prop_assert_eq!(stored, Value::Int64(expected));
        }
    }

    #[test]
    fn streams_are_as_their_model(
        appends in prop::collection::vec((0_u8..4, 0_u8..3, prop::option::of(0_u8..5), 1_u64..4), 0..20),
        limit in 1_u32..5,
    ) {
        let (mut store, _) = store();
        let mut events: Vec<(String, u64)> = Vec::new();
        let mut keys: HashMap<u8, usize> = HashMap::new();
        for (at, (number, stream, expected, count)) in appends.into_iter().enumerate() {
            let name = format!("{}-{stream}", if stream.is_multiple_of(2) { "even" } else { "odd" });
            let expected = match expected {
                None => ExpectedVersion::Any,
                Some(0) => ExpectedVersion::NoStream,
                Some(version) => ExpectedVersion::Exact(version.into()),
            };
            let first = u64::try_from(at).unwrap() * 1_000;
            let numbers = first..first + count;
            let own = [append(&name, expected, numbers.clone())];
            let result = store.append(&key(&number.to_string()), "f", &own, vec![], &[], at.to_string().into_bytes());
            let actual = u64::try_from(events.iter().filter(|(known, _)| *known == name).count()).unwrap();
            let fits = match expected {
                ExpectedVersion::Any => true,
                ExpectedVersion::NoStream => actual == 0,
                ExpectedVersion::Exact(version) => version == actual,
            };
            match keys.get(&number) {
                Some(known) => prop_assert_eq!(result.unwrap().answer, known.to_string().into_bytes()),
                None if !fits => {
                    let conflict = VersionConflict { stream: name, expected, actual };
                    prop_assert_eq!(result, Err(StoreError::Conflict(conflict)));
                }
                None => {
                    prop_assert!(result.is_ok());
                    keys.insert(number, at);
                    events.extend(numbers.map(|number| (name.clone(), number)));
                }
            }
        }
        let even = Filter { category: Some("even".to_owned()), ..everything() };
        for (filter, category) in [(everything(), ""), (even, "even")] {
            let wanted = events.iter().filter(|(stream, _)| stream.starts_with(category));
            let wanted: Vec<_> = wanted.map(|(_, number)| *number).collect();
            prop_assert_eq!(numbers(&all(&mut store, 0, Direction::Forward, &filter, limit)), wanted.clone());
            let mut backward = all(&mut store, u64::MAX, Direction::Backward, &filter, limit);
            backward.reverse();
            prop_assert_eq!(numbers(&backward), wanted);
        }
    }
}
