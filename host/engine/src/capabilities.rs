//! Where capabilities meet instances: the services that the host was assembled with, what a function is granted of
//! them (worked out once, when it is linked), and for each instance the state through which its imports reach them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wasmtime::component::Linker;

use weft_capability::durable::glue::{self as durable, DurableState};
use weft_capability::events::{EventStore, glue as events};
use weft_capability::gate::Gate;
use weft_capability::kv::{self, glue::KvState, glue::KvView};
use weft_capability::messaging::{Broker, glue as messaging, glue::MessagingState};
use weft_capability::mqtt::{Mqtt, glue as mqtt, glue::MqttState};
use weft_capability::otel::{Telemetry, glue as otel, glue::OtelState};
use weft_capability::outbound::{Outbound, OutboundError, Resolve, glue::OutboundHooks};
use weft_capability::postgres::{Postgres, glue as postgres, glue::PostgresState};
use weft_capability::push::{PushHub, glue as push, glue::PushState};
use weft_capability::redis::{Redis, glue as redis, glue::RedisState};
use weft_capability::schema::SchemaCheck;
use weft_capability::spin_sqlite::{Databases, glue as spin_sqlite, glue::SpinSqliteState};
use weft_capability::sql::{Database, glue as sql, glue::SqlState};
use weft_capability::variables::{Variables, glue as variables, glue::VariablesState};
use weft_core::{CallContext, Clock};
use weft_durable::{SagaClock, Sagas};

use crate::function::Function;
use crate::spec::Grants;
use crate::state::StoreData;

/// What the host was assembled with. Backends are chosen by whoever assembles it.
#[derive(Clone)]
pub struct Services {
    /// The database of each context.
    pub databases: BTreeMap<Arc<str>, Arc<dyn Database>>,
    /// The event store of each context.
    pub event_stores: BTreeMap<Arc<str>, Arc<dyn EventStore>>,
    /// All key-value stores.
    pub key_value: Arc<dyn kv::Store>,
    /// The databases of `spin:sqlite`.
    pub spin_sqlite: Databases,
    /// Messaging; without it, publishing is unavailable.
    pub broker: Option<Arc<dyn Broker>>,
    /// Push to clients; without it, it is unsupported.
    pub push: Option<Arc<dyn PushHub>>,
    /// What events have to look like.
    pub schemas: Arc<dyn SchemaCheck>,
    /// Durable functions; without them, they are unavailable.
    pub sagas: Option<Sagas>,
    /// Resolves the names of outbound connections.
    pub resolver: Arc<dyn Resolve>,
    /// Keeps what functions tell by `wasi:otel`.
    pub telemetry: Arc<dyn Telemetry>,
}

/// What one function is granted, in the form that its instances need.
pub(crate) struct Granted {
    database: Option<Arc<dyn Database>>,
    event_store: Option<Arc<dyn EventStore>>,
    topics: Arc<[weft_core::topic::TopicPattern]>,
    push: Arc<[weft_core::push::ChannelPattern]>,
    key_value_stores: Arc<[Arc<str>]>,
    sqlite_databases: Arc<BTreeSet<String>>,
    variables: Variables,
    sagas: Arc<BTreeSet<Arc<str>>>,
    outbound: Outbound,
    redis: Arc<Redis>,
    mqtt: Arc<Mqtt>,
    postgres: Arc<Postgres>,
}

impl Granted {
    /// Cuts the services down to the grants.
    pub fn new(grants: &Grants, services: &Services, clock: &Arc<dyn Clock>) -> Result<Self, OutboundError> {
        let outbound = Outbound::new(grants.outbound.clone(), services.resolver.clone(), clock.clone())?;
        let (database, external) = (grants.deadlines.database(), grants.deadlines.external());
        let outbound = outbound.within(external);
        let dialer = || outbound.dialer().clone();
        Ok(Self {
            redis: Redis::new(dialer(), database),
            mqtt: Mqtt::new(dialer(), external),
            postgres: Postgres::new(dialer(), database),
            database: grants.context.as_ref().and_then(|context| services.databases.get(context)).cloned(),
            event_store: grants.context.as_ref().and_then(|context| services.event_stores.get(context)).cloned(),
            topics: grants.topics.clone(),
            push: grants.push.clone(),
            key_value_stores: grants.key_value_stores.clone().into(),
            sqlite_databases: Arc::new(grants.sqlite_databases.iter().map(ToString::to_string).collect()),
            variables: grants.variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            sagas: Arc::new(grants.sagas.iter().cloned().collect()),
            outbound,
        })
    }
}

/// One instance's share of the capabilities.
pub(crate) struct CapabilityStates {
    pub outbound: OutboundHooks,
    sql: SqlState,
    key_value: KvState,
    spin_sqlite: SpinSqliteState,
    messaging: MessagingState,
    push: PushState,
    variables: VariablesState,
    redis: RedisState,
    mqtt: MqttState,
    postgres: PostgresState,
    otel: OtelState,
    durable: DurableState,
}

impl CapabilityStates {
    pub fn new(function: &Function, gate: &Gate, context: Option<&CallContext>) -> Self {
        let (granted, services) = (&function.granted, &function.shared.services);
        let (id, gate) = (&function.spec.id, || gate.clone());
        let clock = function.shared.clock.clone();
        let mut states = Self {
            outbound: OutboundHooks::new(
                granted.outbound.clone(),
                gate(),
                id.clone(),
                function.shared.inside.get().cloned(),
            ),
            sql: SqlState::new(
                granted.database.clone(),
                gate(),
                granted.topics.clone(),
                services.schemas.clone(),
                id.clone(),
            )
            .with_events(granted.event_store.clone()),
            key_value: KvState::new(services.key_value.clone(), granted.key_value_stores.clone(), gate()),
            spin_sqlite: SpinSqliteState::new(services.spin_sqlite.clone(), granted.sqlite_databases.clone(), gate()),
            messaging: MessagingState::new(services.broker.clone(), granted.topics.clone(), gate(), id.clone(), clock),
            push: PushState::new(services.push.clone(), granted.push.clone(), gate(), id.clone()),
            variables: VariablesState::new(granted.variables.clone(), gate()),
            redis: RedisState::new(granted.redis.clone(), gate(), id.clone()),
            mqtt: MqttState::new(granted.mqtt.clone(), gate(), id.clone()),
            postgres: PostgresState::new(granted.postgres.clone(), gate(), id.clone()),
            otel: OtelState::new(services.telemetry.clone(), id.clone()),
            durable: DurableState::new(
                services.sagas.clone(),
                id.clone(),
                function.digest.clone(),
                gate(),
                granted.sagas.clone(),
            ),
        };
        if let Some(context) = context {
            states.serve(context);
        }
        states
    }

    /// Notes which request the instance serves from now on. The trace is also what correlates: everything that one
    /// request sets off carries its id.
    pub fn serve(&mut self, context: &CallContext) {
        let trace = &context.trace;
        self.outbound.set_call(context);
        self.sql.set_call(trace.clone());
        self.messaging.set_call(trace.clone());
        self.otel.set_call(trace.as_ref());
        self.durable.set_call(trace.as_ref().map(|trace| trace.trace_id.clone()));
    }

    /// The clock that a durable function sees.
    pub fn saga_clock(&self) -> SagaClock {
        self.durable.clock()
    }
}

/// Links every capability; what is not granted is denied at the call, or was refused when the component was checked.
pub(crate) fn add_to_linker(linker: &mut Linker<StoreData>) -> wasmtime::Result<()> {
    sql::add_to_linker(linker, |data| &mut data.capabilities.sql)?;
    events::add_to_linker(linker, |data| &mut data.capabilities.sql)?;
    kv::glue::add_to_linker(linker, |data| KvView { state: &mut data.capabilities.key_value, table: &mut data.table })?;
    spin_sqlite::add_to_linker(linker, |data| &mut data.capabilities.spin_sqlite)?;
    messaging::add_to_linker(linker, |data| &mut data.capabilities.messaging)?;
    push::add_to_linker(linker, |data| &mut data.capabilities.push)?;
    variables::add_to_linker(linker, |data| &mut data.capabilities.variables)?;
    redis::add_to_linker(linker, |data| &mut data.capabilities.redis)?;
    mqtt::add_to_linker(linker, |data| &mut data.capabilities.mqtt)?;
    postgres::add_to_linker(linker, |data| &mut data.capabilities.postgres)?;
    otel::add_to_linker(linker, |data| &mut data.capabilities.otel)?;
    durable::add_to_linker(linker, |data| &mut data.capabilities.durable)
}
