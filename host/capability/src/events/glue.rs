//! The WIT interface `weft:events/store` over an [`EventStore`]. An instance's state, its grants and the forms that both
//! interfaces share are those of `weft:sql`; here is what events add.

use wasmtime::component::{Access, Accessor, HasData, Linker};

use super::{
    Append, Direction, EventStoreError, ExpectedVersion, Filter, NewEvent, Page, RecordedEvent, Snapshot, limits,
};
use crate::sql::glue::{SqlState, wit as sql};
use crate::sql::{Commit, SqlError, Statement};
use bindings::weft::events::{store, types as wit};

mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/weft-sql", "../../wit/weft-events"],
        inline: "package weft:events-host; world host { import weft:events/store@0.1.0; }",
        world: "weft:events-host/host",
        with: { "weft:sql/types": crate::sql::glue::wit },
        imports: { default: trappable },
        require_store_data_send: true,
    });
}

/// Links `weft:events/store` into `linker`; `state` finds an instance's state. `weft:sql` is linked by its own glue.
///
/// # Errors
/// If the interface is linked already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    state: fn(&mut T) -> &mut SqlState,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, Events>(linker, state)?;
    store::add_to_linker::<T, Events>(linker, state)
}

/// Tells wasmtime what the host functions see of a store.
struct Events;

impl HasData for Events {
    type Data<'a> = &'a mut SqlState;
}

type Answer<T> = wasmtime::Result<Result<T, store::Error>>;

/// Looks at the state of the instance, between waits.
fn with<T, R>(store: &Accessor<T, Events>, look: impl FnOnce(&mut SqlState) -> R) -> R {
    store.with(|mut access: Access<'_, T, Events>| look(access.get()))
}

fn answer<T, W: From<T>>(result: Result<T, EventStoreError>) -> Answer<W> {
    Ok(result.map(W::from).map_err(store::Error::from))
}

fn check_limit(limit: u32) -> Result<(), EventStoreError> {
    if (1..=limits::READ).contains(&limit) {
        return Ok(());
    }
    Err(EventStoreError::Invalid(format!("1 to {} events are read at a time, not {limit}", limits::READ)))
}

/// Fills in what the call knows, and asks for what every event needs that leaves.
fn appended(state: &SqlState, appends: Vec<wit::StreamAppend>) -> Result<Vec<Append>, SqlError> {
    let event = |event: wit::NewEvent| {
        let topic = event.topic.unwrap_or_else(|| event.type_.clone());
        state.may_leave(&topic, &event.type_, None, &event.data)?;
        Ok(NewEvent {
            id: event.id,
            kind: event.type_,
            topic,
            correlation_id: state.correlation_id(event.correlation_id),
            causation_id: event.causation_id,
            traceparent: state.traceparent(),
            metadata: event.metadata,
            data: event.data,
        })
    };
    let append = |append: wit::StreamAppend| {
        let events = append.events.into_iter().map(event).collect::<Result<_, SqlError>>()?;
        Ok(Append { stream: append.stream, expected: append.expected.into(), events })
    };
    appends.into_iter().map(append).collect()
}

impl wit::Host for &mut SqlState {}
impl store::Host for &mut SqlState {}

impl<T: Send> store::HostWithStore<T> for Events {
    async fn append(
        store: &Accessor<T, Self>,
        key: sql::OperationKey,
        fingerprint: String,
        appends: Vec<wit::StreamAppend>,
        statements: Vec<sql::Statement>,
        events: Vec<sql::OutgoingEvent>,
        value: Vec<u8>,
    ) -> Answer<sql::Committed> {
        let append = async {
            let appended_bytes: usize =
                appends.iter().flat_map(|append| &append.events).map(|event| event.data.len()).sum();
            let _held =
                with(store, |state| state.hold(&statements, &events, value.len().saturating_add(appended_bytes)))?;
            let (backend, appends, events) = with(store, |state| {
                let backend = state.enter_events()?;
                Ok::<_, SqlError>((backend, appended(state, appends)?, state.outgoing(events)?))
            })?;
            let statements = statements.into_iter().map(Statement::from).collect();
            let commit = Commit { key: key.into(), fingerprint, statements, events, answer: value };
            backend.append(commit, appends).await
        };
        answer(append.await)
    }

    async fn read_stream(
        store: &Accessor<T, Self>,
        stream: String,
        version: u64,
        direction: wit::Direction,
        limit: u32,
    ) -> Answer<wit::Page> {
        let read = async {
            let backend = with(store, |state| state.enter_events_to_read())?;
            check_limit(limit)?;
            backend.read_stream(stream, version, direction.into(), limit).await
        };
        answer(read.await)
    }

    async fn read_all(
        store: &Accessor<T, Self>,
        position: u64,
        direction: wit::Direction,
        filter: wit::Filter,
        limit: u32,
    ) -> Answer<wit::Page> {
        let read = async {
            let backend = with(store, |state| state.enter_events_to_read())?;
            check_limit(limit)?;
            backend.read_all(position, direction.into(), filter.into(), limit).await
        };
        answer(read.await)
    }

    async fn stream_version(store: &Accessor<T, Self>, stream: String) -> Answer<u64> {
        let read = async { with(store, |state| state.enter_events_to_read())?.stream_version(stream).await };
        answer(read.await)
    }

    async fn save_snapshot(
        store: &Accessor<T, Self>,
        stream: String,
        version: u64,
        form: u32,
        data: Vec<u8>,
    ) -> Answer<()> {
        let save =
            async { with(store, |state| state.enter_events())?.save_snapshot(stream, version, form, data).await };
        answer(save.await)
    }

    async fn latest_snapshot(store: &Accessor<T, Self>, stream: String) -> Answer<Option<wit::Snapshot>> {
        let read = async { with(store, |state| state.enter_events_to_read())?.latest_snapshot(stream).await };
        answer::<_, Option<wit::Snapshot>>(read.await.map(|found| found.map(wit::Snapshot::from)))
    }
}

impl From<wit::ExpectedVersion> for ExpectedVersion {
    fn from(expected: wit::ExpectedVersion) -> Self {
        match expected {
            wit::ExpectedVersion::Any => Self::Any,
            wit::ExpectedVersion::NoStream => Self::NoStream,
            wit::ExpectedVersion::Exact(version) => Self::Exact(version),
        }
    }
}

impl From<ExpectedVersion> for wit::ExpectedVersion {
    fn from(expected: ExpectedVersion) -> Self {
        match expected {
            ExpectedVersion::Any => Self::Any,
            ExpectedVersion::NoStream => Self::NoStream,
            ExpectedVersion::Exact(version) => Self::Exact(version),
        }
    }
}

impl From<wit::Direction> for Direction {
    fn from(direction: wit::Direction) -> Self {
        match direction {
            wit::Direction::Forward => Self::Forward,
            wit::Direction::Backward => Self::Backward,
        }
    }
}

impl From<wit::Filter> for Filter {
    fn from(filter: wit::Filter) -> Self {
        let wit::Filter { category, types: kinds, since_ms, until_ms } = filter;
        Self { category, kinds, since_ms, until_ms }
    }
}

impl From<RecordedEvent> for wit::RecordedEvent {
    fn from(event: RecordedEvent) -> Self {
        Self {
            position: event.position,
            stream: event.stream,
            version: event.version,
            id: event.id,
            type_: event.kind,
            time_ms: event.time_ms,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
            metadata: event.metadata,
            data: event.data,
        }
    }
}

impl From<Page> for wit::Page {
    fn from(page: Page) -> Self {
        Self { events: page.events.into_iter().map(Into::into).collect(), next: page.next }
    }
}

impl From<Snapshot> for wit::Snapshot {
    fn from(snapshot: Snapshot) -> Self {
        let Snapshot { stream, version, form, data, time_ms } = snapshot;
        Self { stream, version, form, data, time_ms }
    }
}

impl From<EventStoreError> for store::Error {
    fn from(error: EventStoreError) -> Self {
        match error {
            EventStoreError::Conflict { stream, expected, actual } => {
                Self::Conflict(wit::VersionConflict { stream, expected: expected.into(), actual })
            }
            EventStoreError::Invalid(what) => Self::Invalid(what),
            EventStoreError::Sql(error) => Self::Sql(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weft_core::topic::TopicPattern;

    use super::*;
    use crate::gate::Gate;
    use crate::schema::AcceptAll;

    fn state(durable: bool) -> SqlState {
        let topics = Arc::new(["ledger.*".parse::<TopicPattern>().unwrap()]);
        SqlState::new(None, Gate::new(durable), topics, Arc::new(AcceptAll), "ledger".into())
    }

    fn one(kind: &str, topic: Option<&str>) -> Vec<wit::StreamAppend> {
        let event = wit::NewEvent {
            id: None,
            type_: kind.to_owned(),
            topic: topic.map(str::to_owned),
            correlation_id: None,
            causation_id: None,
            metadata: None,
            data: b"1".to_vec(),
        };
        vec![wit::StreamAppend {
            stream: "account-1".to_owned(),
            expected: wit::ExpectedVersion::Any,
            events: vec![event],
        }]
    }

    #[test]
    fn links_beside_sql() {
        let mut config = wasmtime::Config::new();
        config.wasm_component_model_async(true);
        let mut linker = Linker::<SqlState>::new(&wasmtime::Engine::new(&config).unwrap());
        crate::sql::glue::add_to_linker(&mut linker, |state| state).unwrap();
        add_to_linker(&mut linker, |state| state).unwrap();
        assert!(add_to_linker(&mut linker, |state| state).is_err());
    }

    #[test]
    fn every_event_needs_a_granted_topic_and_carries_the_call() {
        let mut state = state(false);
        state.set_call(Some(weft_core::Trace { trace_id: "call".into(), span_id: "span".into() }));
        let events = |made: Vec<Append>| made.into_iter().next().unwrap().events.into_iter().next().unwrap();
        let made = events(appended(&state, one("ledger.opened", None)).unwrap());
        assert_eq!(made.topic, "ledger.opened", "the type is the topic");
        assert_eq!(
            (made.correlation_id.as_deref(), made.traceparent.as_deref()),
            (Some("call"), Some("00-call-span-01"))
        );
        assert_eq!(events(appended(&state, one("bank.opened", Some("ledger.all"))).unwrap()).topic, "ledger.all");
        let Err(SqlError::Denied(text)) = appended(&state, one("bank.opened", None)) else { panic!("not granted") };
        assert!(text.contains("`bank.opened`") && text.contains("[component.ledger.tool.weft]"), "{text}");
    }

    #[test]
    fn the_gate_comes_before_the_grant() {
        let Err(SqlError::Denied(text)) = state(true).enter_events().map(drop) else { panic!("no step is open") };
        assert!(text.starts_with("outside-step"), "{text}");
        let Err(SqlError::Denied(text)) = state(false).enter_events().map(drop) else { panic!("no database") };
        assert!(text.contains("context"), "{text}");
    }
}
