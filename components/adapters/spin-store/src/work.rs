//! `weft:adapter/work`.

use adapter_store::bindings::weft::messaging::deliveries::Refusal;
use adapter_store::bindings::weft::sql::types::Statement;

use crate::bindings::exports::weft::adapter::work as wit;
use crate::bindings::weft::events::projection::SourceEvent;
use crate::instance::with_words;
use crate::{SpinStore, sagas};

impl wit::Guest for SpinStore {
    fn due() -> Result<Vec<String>, String> {
        with_words(|store| store.due(|store, component| Ok(!sagas::due(store, component, 1)?.is_empty())))
    }

    fn startup_due(component: String) -> Result<bool, String> {
        with_words(|store| store.startup_due(&component))
    }

    fn startup_done(component: String) -> Result<(), String> {
        with_words(|store| store.startup_done(&component))
    }

    fn due_sagas(component: String, limit: u32) -> Result<Vec<String>, String> {
        with_words(|store| sagas::due(store, &component, limit))
    }

    fn take(component: String, subscription: String, limit: u32) -> Result<Vec<wit::Taken>, String> {
        let taken = with_words(|store| store.take(&component, &subscription, limit))?;
        let taken = taken.into_iter().map(|one| wit::Taken { position: one.position, delivery: one.delivery });
        Ok(taken.collect())
    }

    fn settle(
        component: String,
        subscription: String,
        position: u64,
        outcome: Result<(), Refusal>,
    ) -> Result<(), String> {
        with_words(|store| store.settle(&component, &subscription, position, outcome))
    }

    fn pending(component: String, projection: String) -> Result<(Vec<SourceEvent>, u64), String> {
        let (events, position) = with_words(|store| store.pending(&component, &projection))?;
        Ok((events.into_iter().map(source_event).collect(), position))
    }

    fn project(component: String, projection: String, position: u64, statements: Vec<Statement>) -> Result<(), String> {
        with_words(|store| store.project(&component, &projection, position, statements))
    }
}

fn source_event(event: adapter_store::SourceEvent) -> SourceEvent {
    SourceEvent {
        position: event.position,
        id: event.id,
        type_: event.kind,
        topic: event.topic,
        subject: event.subject,
        time: event.time,
        correlation_id: event.correlation_id,
        data: event.data,
    }
}
