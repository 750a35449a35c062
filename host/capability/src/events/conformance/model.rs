//! The event store as a list: what any sequence of appends and reads has to answer.

use super::reading::all;
use super::{Backend, EventStoreError, ExpectedVersion, append, keyed, numbers};
use crate::events::{Direction, Filter};

/// A call of the sequence. Streams and keys are few, so that they meet.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// Appends under a key that may have been used.
    Append {
        /// Of its operation.
        key: u8,
        /// Which stream.
        stream: u8,
        /// `None`: any; 0: no stream; else the version.
        expected: Option<u8>,
        /// How many events.
        count: u8,
    },
    /// Reads a stream.
    Stream {
        /// Which.
        stream: u8,
        /// From where.
        version: u8,
        /// Which way.
        backward: bool,
        /// How many.
        limit: u8,
    },
    /// Reads a category, or all, from the position of the model's n-th event, to the end.
    All {
        /// Which way.
        backward: bool,
        /// Of streams with an even number only.
        even: bool,
        /// How many a page.
        limit: u8,
    },
}

#[derive(Default)]
struct Model {
    /// Stream and number, in the order of positions.
    events: Vec<(String, u64)>,
    keys: Vec<(u8, Vec<u8>)>,
}

impl Model {
    fn stream(&self, name: &str) -> Vec<u64> {
        self.events.iter().filter(|(stream, _)| stream == name).map(|(_, number)| *number).collect()
    }
}

/// Runs the calls and compares each answer. `run` keeps the streams and keys of runs apart.
///
/// # Panics
/// If an answer differs.
pub async fn check(backend: &dyn Backend, run: &str, calls: &[Call]) {
    let start = backend.store().head().await.unwrap();
    let mut model = Model::default();
    let name = |stream: u8| format!("{}{run}-{stream}", if stream.is_multiple_of(2) { "even" } else { "odd" });
    for (at, call) in calls.iter().enumerate() {
        match *call {
            Call::Append { key, stream, expected, count } => {
                let expected = match expected {
                    None => ExpectedVersion::Any,
                    Some(0) => ExpectedVersion::NoStream,
                    Some(version) => ExpectedVersion::Exact(version.into()),
                };
                check_append(backend, &mut model, run, at, (key, name(stream), expected, count)).await;
            }
            Call::Stream { stream, version, backward, limit } => {
                let direction = if backward { Direction::Backward } else { Direction::Forward };
                let page =
                    backend.store().read_stream(name(stream), version.into(), direction, limit.into()).await.unwrap();
                let mut wanted: Vec<_> = (1_u64..).zip(model.stream(&name(stream))).collect();
                wanted.retain(|(at, _)| if backward { *at <= version.into() } else { *at >= version.into() });
                if backward {
                    wanted.reverse();
                }
                let next = wanted.get(usize::from(limit)).map(|(version, _)| *version);
                wanted.truncate(limit.into());
                let wanted: Vec<_> = wanted.into_iter().map(|(_, number)| number).collect();
                assert_eq!((numbers(&page.events), page.next), (wanted, next), "{call:?}");
            }
            Call::All { backward, even, limit } => {
                let filter = Filter { category: even.then(|| format!("even{run}")), ..Filter::default() };
                let (from, direction) =
                    if backward { (u64::MAX, Direction::Backward) } else { (start + 1, Direction::Forward) };
                let mut found = all(backend, from, direction, &filter, limit.max(1).into()).await;
                if backward {
                    found.reverse();
                    found.retain(|event| event.position > start);
                }
                let wanted = model.events.iter().filter(|(stream, _)| !even || stream.starts_with("even"));
                let wanted: Vec<_> = wanted.map(|(_, number)| *number).collect();
                assert_eq!(numbers(&found), wanted, "{call:?}");
            }
        }
    }
}

async fn check_append(
    backend: &dyn Backend,
    model: &mut Model,
    run: &str,
    at: usize,
    (key, stream, expected, count): (u8, String, ExpectedVersion, u8),
) {
    let first = u64::try_from(at).unwrap() * 1_000;
    let numbers = first..first + u64::from(count);
    let mut commit = keyed(&format!("model-{run}-{key}"));
    commit.answer = at.to_string().into_bytes();
    let result = backend.store().append(commit, vec![append(&stream, expected, numbers.clone())]).await;
    let actual = u64::try_from(model.stream(&stream).len()).unwrap();
    let known = model.keys.iter().find(|(known, _)| *known == key);
    let fits = match expected {
        ExpectedVersion::Any => true,
        ExpectedVersion::NoStream => actual == 0,
        ExpectedVersion::Exact(version) => version == actual,
    };
    match known {
        Some((_, answer)) => assert_eq!(&result.unwrap().answer, answer),
        None if !fits => assert_eq!(result, Err(EventStoreError::Conflict { stream, expected, actual })),
        None => {
            let answer = result.unwrap().answer;
            assert_eq!(answer, at.to_string().into_bytes());
            model.keys.push((key, answer));
            model.events.extend(numbers.map(|number| (stream.clone(), number)));
        }
    }
}
