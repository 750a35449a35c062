//! Schemas of a running host, asked about and changed by hand.

use std::sync::Arc;

use futures::future::BoxFuture;
use hyper::StatusCode;

use weft_capability::schema::{Document, Given, Registry, RegistryError, asyncapi, told};
use weft_telemetry::audit::Action;

use super::super::api::schemas::entries;
use super::super::api::{Deprecate, Problem, RegisterSchema, SchemaEntry, SetMode};
use super::super::server::{SchemaOperations, problem};
use super::Running;
use super::audited::{audited, to_its_end};
use crate::schemas::newest;

impl SchemaOperations for Running {
    fn list(&self) -> Vec<SchemaEntry> {
        entries(&self.registry().types())
    }

    fn schema(&self, kind: &str, version: u32) -> Result<serde_json::Value, Problem> {
        let types = self.registry().types();
        let found = types.get(kind).and_then(|known| known.versions.get(&version));
        let none = || problem(StatusCode::NOT_FOUND, format!("there is no schema {kind}/{version}"));
        found.map(|version| version.document.written().clone()).ok_or_else(none)
    }

    fn asyncapi(&self) -> serde_json::Value {
        asyncapi(&self.host.manifest(), &newest(&self.registry().types()))
    }

    fn register(&self, order: RegisterSchema) -> BoxFuture<'_, Result<SchemaEntry, Problem>> {
        let (registry, audit) = (self.registry(), self.audit.clone());
        to_its_end(async move {
            let RegisterSchema { actor, reason, kind, version, schema } = order;
            let action = action(actor, reason, "register", format!("{kind}/{version}"));
            let done = async {
                let document = Document::of(schema);
                let document = document.map_err(|error| problem(StatusCode::BAD_REQUEST, error.to_string()))?;
                let given = Given { kind: kind.as_str().into(), version, document };
                let plan = registry.plan(vec![given]).map_err(RegistryError::Refused).map_err(refused)?;
                registry.register(plan).await.map_err(refused)?;
                entry(&registry, &kind)
            };
            audited(&audit, action, done.await).await
        })
    }

    fn set_mode(&self, order: SetMode) -> BoxFuture<'_, Result<SchemaEntry, Problem>> {
        let (registry, audit) = (self.registry(), self.audit.clone());
        to_its_end(async move {
            let SetMode { actor, reason, kind, mode } = order;
            let action = action(actor, reason, "mode", format!("{kind} {mode}"));
            let done = registry.set_mode(&kind, mode).await.map_err(refused);
            audited(&audit, action, done.and_then(|()| entry(&registry, &kind))).await
        })
    }

    fn deprecate(&self, order: Deprecate) -> BoxFuture<'_, Result<SchemaEntry, Problem>> {
        let (registry, audit) = (self.registry(), self.audit.clone());
        to_its_end(async move {
            let Deprecate { actor, reason, kind, pointer } = order;
            let action = action(actor, reason, "deprecate", format!("{kind} {pointer}").trim_end().to_owned());
            let done = registry.deprecate(&kind, &pointer).await.map_err(refused);
            audited(&audit, action, done.and_then(|()| entry(&registry, &kind))).await
        })
    }
}

impl Running {
    fn registry(&self) -> Arc<Registry> {
        self.host.parts().schemas.clone()
    }
}

fn action(actor: String, reason: String, what: &str, detail: String) -> Action {
    Action { actor, action: format!("schema {what}"), detail, reason, ..Action::default() }
}

fn entry(registry: &Registry, kind: &str) -> Result<SchemaEntry, Problem> {
    let types = registry.types();
    let known = types.get(kind).map(|known| SchemaEntry::of(kind, known));
    known.ok_or_else(|| problem(StatusCode::NOT_FOUND, format!("there is no schema of the type {kind:?}")))
}

fn refused(error: RegistryError) -> Problem {
    match error {
        RegistryError::Unknown(text) => problem(StatusCode::NOT_FOUND, text),
        RegistryError::Refused(refused) => problem(StatusCode::CONFLICT, told(&refused)),
        RegistryError::Unavailable(failure) => problem(StatusCode::SERVICE_UNAVAILABLE, failure.to_string()),
    }
}
