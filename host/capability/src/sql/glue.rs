//! The WIT interface `weft:sql` over a [`Database`]. It asks the gate and the grants before each effect and turns
//! types; what the calls mean is the backend's business. Calls of one instance run together.

use std::sync::Arc;

use tokio::sync::Mutex;
use wasmtime::component::{Access, Accessor, HasData, Linker, Resource, ResourceTable};

use weft_core::topic::TopicPattern;
use weft_core::{Reason, Trace};

use super::error::{ConstraintKind, SqlError};
use super::{Commit, Cursor, Database, Revocation, Transaction, limits};
use crate::events::EventStore;
use crate::gate::{Closed, Gate, Hold, TransactionGuard};
use crate::schema::SchemaCheck;
use bindings::weft::sql::database;
/// The WIT types, for the glue of what builds on a database.
#[doc(hidden)]
pub use bindings::weft::sql::types as wit;

#[allow(missing_docs, reason = "the macro writes none")]
mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/weft-sql"],
        inline: "package weft:sql-host; world host { import weft:sql/database@0.1.0; }",
        world: "weft:sql-host/host",
        with: {
            "weft:sql/database.cursor": super::OpenCursor,
            "weft:sql/database.transaction": super::OpenTransaction,
        },
        imports: { default: trappable },
        require_store_data_send: true,
    });
}

/// What one instance has of the sql capability.
pub struct SqlState {
    database: Option<Arc<dyn Database>>,
    event_store: Option<Arc<dyn EventStore>>,
    gate: Gate,
    topics: Arc<[TopicPattern]>,
    schemas: Arc<dyn SchemaCheck>,
    owner: Arc<str>,
    trace: Option<Trace>,
    table: ResourceTable,
}

impl SqlState {
    /// The state of an instance of the component `owner`. Without a `database` every call is denied; events may go to
    /// topics that one of `topics` covers, if they fit their schemas.
    #[must_use]
    pub fn new(
        database: Option<Arc<dyn Database>>,
        gate: Gate,
        topics: Arc<[TopicPattern]>,
        schemas: Arc<dyn SchemaCheck>,
        owner: Arc<str>,
    ) -> Self {
        let table = ResourceTable::new();
        Self { database, event_store: None, gate, topics, schemas, owner, trace: None, table }
    }

    /// The same with the event store that lies in the database.
    #[must_use]
    pub fn with_events(mut self, event_store: Option<Arc<dyn EventStore>>) -> Self {
        self.event_store = event_store;
        self
    }

    /// Says which call runs now: its W3C trace context goes with its events, and so does the correlation id where an
    /// event names none.
    pub fn set_call(&mut self, trace: Option<Trace>) {
        self.trace = trace;
    }

    /// The database, if an effect is permitted now.
    fn enter(&self) -> Result<Arc<dyn Database>, SqlError> {
        self.gate.check().map_err(closed)?;
        self.granted()
    }

    /// The database, if it may be read now.
    fn enter_to_read(&self) -> Result<Arc<dyn Database>, SqlError> {
        self.gate.check_read().map_err(closed)?;
        self.granted()
    }

    /// Notes what an effect under way holds, until what is answered is dropped.
    pub(crate) fn hold(
        &self,
        statements: &[wit::Statement],
        events: &[wit::OutgoingEvent],
        more_bytes: usize,
    ) -> Result<Hold, SqlError> {
        let of_statement = |statement: &wit::Statement| statement.sql.len() + bytes_of(&statement.parameters);
        let bytes = more_bytes
            + statements.iter().map(of_statement).sum::<usize>()
            + events.iter().map(|event| event.data.len()).sum::<usize>();
        self.hold_bytes(bytes)
    }

    fn hold_bytes(&self, bytes: usize) -> Result<Hold, SqlError> {
        self.gate.hold(bytes).map_err(closed)
    }

    /// The event store, if an effect is permitted now.
    pub(crate) fn enter_events(&self) -> Result<Arc<dyn EventStore>, SqlError> {
        self.gate.check().map_err(closed)?;
        self.event_store.clone().ok_or_else(|| self.without_context())
    }

    /// The event store, if it may be read now.
    pub(crate) fn enter_events_to_read(&self) -> Result<Arc<dyn EventStore>, SqlError> {
        self.gate.check_read().map_err(closed)?;
        self.event_store.clone().ok_or_else(|| self.without_context())
    }

    fn granted(&self) -> Result<Arc<dyn Database>, SqlError> {
        self.database.clone().ok_or_else(|| self.without_context())
    }

    fn without_context(&self) -> SqlError {
        SqlError::Denied(format!(
            "no database is granted: add `context = \"...\"` to [component.{}.tool.weft]",
            self.owner
        ))
    }

    /// Whether an event may leave: its topic is granted, and it fits its schema.
    pub(crate) fn may_leave(
        &self,
        topic: &str,
        kind: &str,
        dataschema: Option<&str>,
        data: &[u8],
    ) -> Result<(), SqlError> {
        if !self.topics.iter().any(|pattern| pattern.matches(topic)) {
            return Err(SqlError::Denied(format!(
                "the topic `{topic}` is not granted: add it to `topics` in [component.{}.tool.weft]",
                self.owner
            )));
        }
        // Before anything is parsed: what a function hands over is bounded by its memory alone.
        if data.len() > limits::EVENT_BYTES {
            let (bytes, most) = (data.len(), limits::EVENT_BYTES);
            return Err(SqlError::TooLarge(format!("an event's data has {bytes} bytes, at most {most} fit")));
        }
        self.schemas.check(kind, dataschema, data).map_err(SqlError::Invalid)
    }

    /// The trace context of the call, for its events.
    pub(crate) fn traceparent(&self) -> Option<String> {
        self.trace.as_ref().map(Trace::traceparent)
    }

    /// What an event of the call belongs to.
    pub(crate) fn correlation_id(&self, own: Option<String>) -> Option<String> {
        own.or_else(|| self.trace.as_ref().map(|trace| trace.trace_id.to_string()))
    }

    pub(crate) fn outgoing(&self, events: Vec<wit::OutgoingEvent>) -> Result<Vec<super::OutgoingEvent>, SqlError> {
        let outgoing = |event: wit::OutgoingEvent| {
            self.may_leave(&event.topic, &event.type_, event.dataschema.as_deref(), &event.data)?;
            Ok(super::OutgoingEvent {
                topic: event.topic,
                kind: event.type_,
                subject: event.subject,
                ordering_key: event.ordering_key,
                correlation_id: self.correlation_id(event.correlation_id),
                traceparent: self.traceparent(),
                delay_ms: event.delay_ms,
                ttl_ms: event.ttl_ms,
                priority: event.priority,
                dataschema: event.dataschema,
                data: event.data,
            })
        };
        events.into_iter().map(outgoing).collect()
    }
}

/// Links `weft:sql` into `linker`; `state` finds an instance's state.
///
/// # Errors
/// If the interface is linked already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    state: fn(&mut T) -> &mut SqlState,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, Sql>(linker, state)?;
    database::add_to_linker::<T, Sql>(linker, state)
}

/// Tells wasmtime what the host functions see of a store.
struct Sql;

impl HasData for Sql {
    type Data<'a> = &'a mut SqlState;
}

/// A cursor in the table of an instance.
pub struct OpenCursor {
    columns: Vec<String>,
    cursor: Arc<Mutex<Box<dyn Cursor>>>,
}

/// A transaction in the table of an instance; empty once it has ended.
pub struct OpenTransaction(Arc<Mutex<Option<Live>>>);

/// While it lives, the gate is closed for all else.
struct Live {
    transaction: Box<dyn Transaction>,
    _guard: TransactionGuard,
}

type Answer<T> = wasmtime::Result<Result<T, wit::Error>>;

/// Looks at the state of the instance, between waits.
fn with<T, R>(store: &Accessor<T, Sql>, look: impl FnOnce(&mut SqlState) -> R) -> R {
    store.with(|mut access: Access<'_, T, Sql>| look(access.get()))
}

fn answer<T, W: From<T>>(result: Result<T, SqlError>) -> Answer<W> {
    Ok(result.map(W::from).map_err(wit::Error::from))
}

impl wit::Host for &mut SqlState {}
impl database::Host for SqlState {}

impl<T: Send> database::HostWithStore<T> for Sql {
    async fn recorded(store: &Accessor<T, Self>, key: wit::OperationKey) -> Answer<Option<wit::Committed>> {
        let recorded = async { with(store, |state| state.enter_to_read())?.recorded(key.into()).await };
        answer::<_, Option<wit::Committed>>(recorded.await.map(|found| found.map(wit::Committed::from)))
    }

    async fn commit(
        store: &Accessor<T, Self>,
        key: wit::OperationKey,
        fingerprint: String,
        statements: Vec<wit::Statement>,
        events: Vec<wit::OutgoingEvent>,
        value: Vec<u8>,
    ) -> Answer<wit::Committed> {
        let commit = async {
            let _held = with(store, |state| state.hold(&statements, &events, value.len()))?;
            let (database, events) = with(store, |state| Ok::<_, SqlError>((state.enter()?, state.outgoing(events))))?;
            let key: super::OperationKey = key.into();
            let events = match events {
                Ok(events) => events,
                // A known key runs nothing, whatever events may leave by now.
                Err(refused) => match database.recorded(key.clone()).await {
                    Ok(Some(_)) | Err(SqlError::Revoked) => Vec::new(),
                    Ok(None) => return Err(refused),
                    Err(error) => return Err(error),
                },
            };
            let statements = statements.into_iter().map(super::Statement::from).collect();
            database.commit(Commit { key, fingerprint, statements, events, answer: value }).await
        };
        answer(commit.await)
    }

    async fn revoke(
        store: &Accessor<T, Self>,
        key: wit::OperationKey,
        statements: Vec<wit::Statement>,
        events: Vec<wit::OutgoingEvent>,
    ) -> Answer<bool> {
        let revoke = async {
            let _held = with(store, |state| state.hold(&statements, &events, 0))?;
            let (database, events) = with(store, |state| Ok((state.enter()?, state.outgoing(events)?)))?;
            let statements = statements.into_iter().map(super::Statement::from).collect();
            database.revoke(Revocation { key: key.into(), statements, events }).await
        };
        answer(revoke.await)
    }

    async fn query(store: &Accessor<T, Self>, sql: String, parameters: Vec<wit::Value>) -> Answer<wit::Rows> {
        let query = async {
            let _held = with(store, |state| state.hold_bytes(sql.len() + bytes_of(&parameters)))?;
            with(store, |state| state.enter_to_read())?.query(sql, plain(parameters)).await
        };
        answer(query.await)
    }

    async fn open(store: &Accessor<T, Self>, sql: String, parameters: Vec<wit::Value>) -> Answer<Resource<OpenCursor>> {
        let open = async { with(store, |state| state.enter_to_read())?.open(sql, plain(parameters)).await };
        match open.await {
            Ok(cursor) => {
                let columns = cursor.columns().to_vec();
                let open = OpenCursor { columns, cursor: Arc::new(Mutex::new(cursor)) };
                Ok(Ok(with(store, |state| state.table.push(open))?))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn begin(store: &Accessor<T, Self>) -> Answer<Resource<OpenTransaction>> {
        let begin = async {
            let (guard, database, owner) = with(store, |state| {
                let database = state.granted()?;
                Ok((state.gate.open_transaction().map_err(closed)?, database, Arc::clone(&state.owner)))
            })?;
            Ok(Live { transaction: database.begin(owner).await?, _guard: guard })
        };
        match begin.await {
            Ok(live) => {
                let open = OpenTransaction(Arc::new(Mutex::new(Some(live))));
                Ok(Ok(with(store, |state| state.table.push(open))?))
            }
            Err::<_, SqlError>(error) => Ok(Err(error.into())),
        }
    }
}

impl database::HostCursor for SqlState {
    fn columns(&mut self, cursor: Resource<OpenCursor>) -> wasmtime::Result<Vec<String>> {
        Ok(self.table.get(&cursor)?.columns.clone())
    }

    fn drop(&mut self, cursor: Resource<OpenCursor>) -> wasmtime::Result<()> {
        self.table.delete(cursor)?;
        Ok(())
    }
}

impl<T: Send> database::HostCursorWithStore<T> for Sql {
    async fn next(
        store: &Accessor<T, Self>,
        cursor: Resource<OpenCursor>,
        max_rows: u32,
    ) -> Answer<Vec<Vec<wit::Value>>> {
        let cursor = with(store, |state| state.table.get(&cursor).map(|open| Arc::clone(&open.cursor)))?;
        let next = async {
            with(store, |state| state.enter_to_read())?;
            cursor.lock().await.next(max_rows).await
        };
        Ok(next.await.map(wit_rows).map_err(wit::Error::from))
    }
}

impl database::HostTransaction for SqlState {
    fn drop(&mut self, transaction: Resource<OpenTransaction>) -> wasmtime::Result<()> {
        self.table.delete(transaction)?;
        Ok(())
    }
}

fn live<T>(
    store: &Accessor<T, Sql>,
    transaction: &Resource<OpenTransaction>,
) -> wasmtime::Result<Arc<Mutex<Option<Live>>>> {
    Ok(with(store, |state| state.table.get(transaction).map(|open| Arc::clone(&open.0)))?)
}

/// Opens the gate again as soon as it is known that the transaction has ended.
fn settle<R>(slot: &mut Option<Live>, result: Result<R, SqlError>) -> Result<R, SqlError> {
    if matches!(result, Err(SqlError::TransactionClosed)) {
        *slot = None;
    }
    result
}

impl<T: Send> database::HostTransactionWithStore<T> for Sql {
    async fn query(
        store: &Accessor<T, Self>,
        transaction: Resource<OpenTransaction>,
        sql: String,
        parameters: Vec<wit::Value>,
    ) -> Answer<wit::Rows> {
        let live = live(store, &transaction)?;
        let mut slot = live.lock().await;
        let result = match slot.as_mut() {
            Some(live) => live.transaction.query(sql, plain(parameters)).await,
            None => Err(SqlError::TransactionClosed),
        };
        answer(settle(&mut slot, result))
    }

    async fn execute(
        store: &Accessor<T, Self>,
        transaction: Resource<OpenTransaction>,
        sql: String,
        parameters: Vec<wit::Value>,
    ) -> Answer<u64> {
        let live = live(store, &transaction)?;
        let mut slot = live.lock().await;
        let result = match slot.as_mut() {
            Some(live) => live.transaction.execute(sql, plain(parameters)).await,
            None => Err(SqlError::TransactionClosed),
        };
        answer(settle(&mut slot, result))
    }

    async fn commit(
        store: &Accessor<T, Self>,
        transaction: Resource<OpenTransaction>,
        events: Vec<wit::OutgoingEvent>,
    ) -> Answer<()> {
        let live = live(store, &transaction)?;
        let taken = live.lock().await.take();
        let commit = async {
            let live = taken.ok_or(SqlError::TransactionClosed)?;
            let events = with(store, |state| state.outgoing(events))?;
            live.transaction.commit(events).await
        };
        answer(commit.await)
    }

    async fn rollback(store: &Accessor<T, Self>, transaction: Resource<OpenTransaction>) -> Answer<()> {
        let live = live(store, &transaction)?;
        let taken = live.lock().await.take();
        let rollback = async { taken.ok_or(SqlError::TransactionClosed)?.transaction.rollback().await };
        answer(rollback.await)
    }
}

fn closed(closed: Closed) -> SqlError {
    match closed {
        Closed::OutsideStep | Closed::Projection | Closed::Mirrored => SqlError::Denied(closed.to_string()),
        Closed::TransactionOpen => SqlError::TransactionOpen,
        Closed::TooMuchHeld(_) => SqlError::unavailable(Reason::Overloaded, closed.to_string()),
    }
}

fn bytes_of(values: &[wit::Value]) -> usize {
    let bytes = |value: &wit::Value| match value {
        wit::Value::Text(text) => text.len(),
        wit::Value::Blob(bytes) => bytes.len(),
        _ => size_of::<wit::Value>(),
    };
    values.iter().map(bytes).sum()
}

fn plain(values: Vec<wit::Value>) -> Vec<super::Value> {
    values.into_iter().map(super::Value::from).collect()
}

fn wit_rows(rows: Vec<super::Row>) -> Vec<Vec<wit::Value>> {
    rows.into_iter().map(|row| row.into_iter().map(wit::Value::from).collect()).collect()
}

impl From<wit::Value> for super::Value {
    fn from(value: wit::Value) -> Self {
        match value {
            wit::Value::Null => Self::Null,
            wit::Value::Boolean(boolean) => Self::Boolean(boolean),
            wit::Value::Int64(integer) => Self::Int64(integer),
            wit::Value::Float64(float) => Self::Float64(float),
            wit::Value::Text(text) => Self::Text(text),
            wit::Value::Blob(blob) => Self::Blob(blob),
        }
    }
}

impl From<super::Value> for wit::Value {
    fn from(value: super::Value) -> Self {
        match value {
            super::Value::Null => Self::Null,
            super::Value::Boolean(boolean) => Self::Boolean(boolean),
            super::Value::Int64(integer) => Self::Int64(integer),
            super::Value::Float64(float) => Self::Float64(float),
            super::Value::Text(text) => Self::Text(text),
            super::Value::Blob(blob) => Self::Blob(blob),
        }
    }
}

impl From<wit::Statement> for super::Statement {
    fn from(statement: wit::Statement) -> Self {
        let wit::Statement { sql, parameters, expected_rows } = statement;
        Self { sql, parameters: plain(parameters), expected_rows }
    }
}

impl From<wit::OperationKey> for super::OperationKey {
    fn from(key: wit::OperationKey) -> Self {
        Self { owner: key.owner, key: key.key }
    }
}

impl From<super::Committed> for wit::Committed {
    fn from(committed: super::Committed) -> Self {
        let super::Committed { fingerprint, answer, committed_at_ms } = committed;
        Self { fingerprint, answer, committed_at_ms }
    }
}

impl From<super::Rows> for wit::Rows {
    fn from(rows: super::Rows) -> Self {
        Self { columns: rows.columns, rows: wit_rows(rows.rows) }
    }
}

impl From<SqlError> for wit::Error {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::KeyReused => Self::KeyReused,
            SqlError::Revoked => Self::Revoked,
            SqlError::Constraint { kind, subject, statement } => {
                let kind = match kind {
                    ConstraintKind::Unique => wit::ConstraintKind::Unique,
                    ConstraintKind::ForeignKey => wit::ConstraintKind::ForeignKey,
                    ConstraintKind::NotNull => wit::ConstraintKind::NotNull,
                    ConstraintKind::Check => wit::ConstraintKind::Check,
                };
                Self::Constraint(wit::ConstraintViolation { kind, subject, statement })
            }
            SqlError::UnexpectedRows { statement, expected, actual } => {
                Self::UnexpectedRows(wit::UnexpectedRows { statement, expected, actual })
            }
            SqlError::Invalid(text) => Self::Invalid(text),
            SqlError::Denied(text) => Self::Denied(text),
            SqlError::TooLarge(text) => Self::TooLarge(text),
            SqlError::TransactionOpen => Self::TransactionOpen,
            SqlError::TransactionClosed => Self::TransactionClosed,
            SqlError::Unavailable { maybe_done, message, .. } => Self::Unavailable((maybe_done, message)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::OpenStep;
    use crate::schema::AcceptAll;

    fn event(topic: &str, correlation_id: Option<&str>) -> wit::OutgoingEvent {
        wit::OutgoingEvent {
            topic: topic.to_owned(),
            type_: "tested".to_owned(),
            subject: None,
            ordering_key: None,
            correlation_id: correlation_id.map(str::to_owned),
            delay_ms: None,
            ttl_ms: None,
            priority: None,
            dataschema: None,
            data: b"1".to_vec(),
        }
    }

    fn state(durable: bool) -> SqlState {
        let topics = Arc::new(["enrollment.*".parse::<TopicPattern>().unwrap()]);
        SqlState::new(None, Gate::new(durable), topics, Arc::new(AcceptAll), "enroll".into())
    }

    #[test]
    fn links_once() {
        let mut config = wasmtime::Config::new();
        config.wasm_component_model_async(true);
        let mut linker = Linker::<SqlState>::new(&wasmtime::Engine::new(&config).unwrap());
        add_to_linker(&mut linker, |state| state).unwrap();
        assert!(add_to_linker(&mut linker, |state| state).is_err());
    }

    #[test]
    fn events_need_a_grant_and_carry_the_call() {
        let mut state = state(false);
        state.set_call(Some(Trace { trace_id: "call".into(), span_id: "span".into() }));
        let sent = state.outgoing(vec![event("enrollment.made", None), event("enrollment.made", Some("own"))]).unwrap();
        assert_eq!(sent[0].traceparent.as_deref(), Some("00-call-span-01"));
        let correlations: Vec<_> = sent.iter().map(|event| event.correlation_id.as_deref()).collect();
        assert_eq!(correlations, [Some("call"), Some("own")]);
        let Err(SqlError::Denied(text)) = state.outgoing(vec![event("payments.made", None)]) else {
            panic!("the topic is not granted")
        };
        assert!(text.contains("payments.made") && text.contains("[component.enroll.tool.weft]"), "{text}");
    }

    #[test]
    fn the_gate_comes_before_the_grant() {
        let state = state(true);
        let Err(SqlError::Denied(text)) = state.enter().map(drop) else { panic!("no step is open") };
        assert!(text.starts_with("outside-step"), "{text}");
        state.gate.open_step(OpenStep { key: "s/a#1".into(), deadline: std::time::Duration::ZERO });
        let guard = state.gate.open_transaction().unwrap();
        assert_eq!(state.enter().map(drop), Err(SqlError::TransactionOpen));
        drop(guard);
        let Err(SqlError::Denied(text)) = state.enter().map(drop) else { panic!("no database is granted") };
        assert!(text.contains("context"), "{text}");
    }
}
