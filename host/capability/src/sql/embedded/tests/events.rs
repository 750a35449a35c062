//! The event store and the read models of the embedded backend pass their suites.

use super::*;
use crate::events::conformance::model::{self as list, Call};
use crate::events::{EventStore, conformance as suite};
use crate::projection::{ReadModels, conformance as models};

impl suite::Backend for Fixture {
    fn store(&self) -> Arc<dyn EventStore> {
        self.host.events("school").unwrap()
    }
}

impl models::Backend for Fixture {
    fn read_models(&self) -> Arc<dyn ReadModels> {
        self.host.read_models("school").unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_suite_of_the_read_models() {
    models::run_all(&fixture()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_suite_of_the_event_store() {
    suite::run_all(&fixture()).await;
}

fn event_calls() -> impl Strategy<Value = Vec<Call>> {
    let expected = prop_oneof![2 => Just(None), 1 => Just(Some(0)), 4 => (0..8_u8).prop_map(Some)];
    let call = prop_oneof![
        6 => (0..40_u8, 0..4_u8, expected, 1..4_u8)
            .prop_map(|(key, stream, expected, count)| Call::Append { key, stream, expected, count }),
        2 => (0..4_u8, 0..12_u8, any::<bool>(), 0..6_u8)
            .prop_map(|(stream, version, backward, limit)| Call::Stream { stream, version, backward, limit }),
        1 => (any::<bool>(), any::<bool>(), 1..6_u8)
            .prop_map(|(backward, even, limit)| Call::All { backward, even, limit }),
    ];
    prop::collection::vec(call, 1..40)
}

#[test]
fn the_event_store_agrees_with_the_model() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fixture = fixture();
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    let runs = std::cell::Cell::new(0_u32);
    let checked = proptest::test_runner::TestRunner::new(config).run(&event_calls(), |calls| {
        runs.set(runs.get() + 1);
        runtime.block_on(list::check(&fixture, &runs.get().to_string(), &calls));
        Ok(())
    });
    checked.unwrap();
}
