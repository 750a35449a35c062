//! What is done to the sagas of a running host by hand.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use hyper::StatusCode;

use weft_core::id;
use weft_durable::{By, Resolution, Sagas};
use weft_engine::{InvokeAnswer, InvokeError};
use weft_telemetry::AuditLog;
use weft_telemetry::audit::Action;

use super::super::api::{Begun, Migrated, Order, Ordered, Problem, Resolve, SagaEntry, Start};
use super::super::server::{Done, problem};
use super::audited::{audited, to_its_end};
use super::sagas::explained;
use crate::host::Host;
use crate::invoker::invoke_in;
use crate::wiring::Resuming;

/// How long the first run of a saga may take; it goes on by itself after that.
const FIRST_RUN: Duration = Duration::from_secs(600);

/// What it takes to do something to sagas.
pub(super) struct Hands {
    pub host: Arc<Host>,
    pub sagas: Sagas,
    pub audit: AuditLog,
}

impl Hands {
    pub(super) fn start(self, start: Start) -> BoxFuture<'static, Result<Begun, Problem>> {
        to_its_end(async move {
            let id = start.id.clone().unwrap_or_else(id::new_id);
            let action = Action {
                actor: start.actor.clone(),
                action: "start".to_owned(),
                saga: id.clone(),
                detail: format!("{} {}", start.component, start.function),
                ..Action::default()
            };
            let begun = self.begin(&start, &id).await;
            audited(&self.audit, action, begun).await
        })
    }

    pub(super) fn order(self, id: String, ordered: Ordered) -> BoxFuture<'static, Result<Done, Problem>> {
        to_its_end(async move {
            let Ordered { actor, reason, order } = ordered;
            let action = Action {
                actor: actor.clone(),
                action: order.action().to_owned(),
                saga: id.clone(),
                detail: order.detail(),
                reason: reason.clone(),
                ..Action::default()
            };
            let done = self.carry_out(&id, order, &By { actor, reason }).await;
            audited(&self.audit, action, done).await
        })
    }

    async fn carry_out(&self, id: &str, order: Order, by: &By) -> Result<Done, Problem> {
        let done = match order {
            Order::Signals(signal) => {
                let payload = serde_json::to_vec(&signal.payload).unwrap_or_default();
                self.sagas.signal(id, &signal.name, &signal.id, payload).await
            }
            Order::Cancel => self.sagas.cancel(id, by).await,
            Order::Pause => self.sagas.pause(id, by).await,
            Order::Resume => self.sagas.resume(id, by).await,
            Order::Retry { from } => self.sagas.retry(id, from.as_deref(), by).await,
            Order::Resolve(how) => {
                let resolution = match how {
                    Resolve::Retry => Resolution::Retry,
                    Resolve::Skip { step } => Resolution::Skip(step),
                    Resolve::Abandon => Resolution::Abandon,
                };
                self.sagas.resolve(id, &resolution, by).await
            }
            Order::Migrate { dry_run } => return self.migrate(id, dry_run, by).await.map(Done::Migrated),
        };
        done.map_err(|error| explained(id, &error))?;
        let saga = self.sagas.summary(id).map_err(|error| explained(id, &error))?;
        Ok(Done::Saga(SagaEntry::from(&saga)))
    }

    async fn migrate(&self, id: &str, dry_run: bool, by: &By) -> Result<Migrated, Problem> {
        let saga = self.sagas.show(id).map_err(|error| explained(id, &error))?;
        let engine = &self.host.parts().engine;
        let Some(digest) = engine.digest(&saga.component) else {
            let text = format!("the application has no component {:?} any more", saga.component);
            return Err(problem(StatusCode::CONFLICT, text));
        };
        if *saga.digest == *digest {
            let text = format!("saga {id:?} has its component's current code already (sha256:{digest})");
            return Err(problem(StatusCode::CONFLICT, text));
        }
        let moved = self.sagas.migrate(id, &digest, dry_run, by, &Resuming(engine.clone())).await;
        moved.map_err(|error| explained(id, &error))?;
        Ok(Migrated { digest: digest.to_string(), dry_run })
    }

    /// Starts a saga and waits until it is durably begun, or its function answers without it.
    async fn begin(&self, start: &Start, id: &str) -> Result<Begun, Problem> {
        let bad = |text: String| problem(StatusCode::BAD_REQUEST, text);
        let Start { component, function, .. } = start;
        let signature =
            self.host.parts().engine.signature(component, function).map_err(|error| bad(error.to_string()))?;
        let manifest = self.host.manifest();
        if !manifest.components.get(component.as_str()).is_some_and(|component| component.durable) {
            return Err(bad(format!("component {component:?} is not durable; call it with `weft invoke`")));
        }
        if self.existing(id, component, &signature.name())? {
            return Ok(Begun { id: id.to_owned(), existing: true });
        }
        let arguments = with_key(id, &start.arguments).map_err(bad)?;
        let (host, component, function) = (Arc::clone(&self.host), component.clone(), function.clone());
        let call = async move { invoke_in(&host, &component, &function, &arguments, FIRST_RUN).await };
        let begun = Box::pin(self.sagas.started(id));
        // The call goes on when this has answered; what becomes of it is the saga's to tell.
        match select(tokio::spawn(call), begun).await {
            Either::Left((answered, _)) => {
                let answered = answered.map_err(|error| problem(StatusCode::BAD_GATEWAY, error.to_string()))?;
                self.check_begun(id, answered)?;
            }
            Either::Right((begun, _)) => begun.map_err(|error| explained(id, &error))?,
        }
        // Somebody else may have been faster with the same id.
        self.existing(id, &start.component, &signature.name())?;
        Ok(Begun { id: id.to_owned(), existing: false })
    }

    /// Whether the saga has begun before, of the same function.
    fn existing(&self, id: &str, component: &str, function: &str) -> Result<bool, Problem> {
        let Some(owner) = self.sagas.component_of(id) else { return Ok(false) };
        let same = *owner == *component && self.sagas.load(component, id).is_ok_and(|(known, _)| known == function);
        if same {
            return Ok(true);
        }
        let text = format!("the id {id:?} belongs to another saga; `weft saga show` says which");
        Err(problem(StatusCode::CONFLICT, text))
    }

    /// The call has ended before the start was told: the saga may have begun all the same, and ended or suspended.
    fn check_begun(&self, id: &str, answered: Result<InvokeAnswer, InvokeError>) -> Result<(), Problem> {
        if self.sagas.component_of(id).is_some() {
            return Ok(());
        }
        Err(match answered {
            Ok(answer) => problem(
                StatusCode::BAD_GATEWAY,
                format!("the function answered without starting a saga: {}", answer.wave),
            ),
            Err(error) if error.is_usage() => problem(StatusCode::BAD_REQUEST, error.to_string()),
            Err(error) => problem(StatusCode::BAD_GATEWAY, error.to_string()),
        })
    }
}

/// `arguments` with the saga's id before them.
fn with_key(id: &str, arguments: &str) -> Result<String, String> {
    let arguments = arguments.trim();
    let (open, close, key) = match arguments.as_bytes().first() {
        Some(b'[') => ('[', ']', serde_json::Value::from(id).to_string()),
        Some(b'(') => ('(', ')', wave_string(id)),
        _ => {
            return Err("the arguments are neither a WAVE tuple, such as (7), nor a JSON array, such as [7]".to_owned());
        }
    };
    let inner = arguments.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    let inner = inner.ok_or_else(|| format!("the arguments do not end with {close:?}"))?;
    let comma = if inner.trim().is_empty() { "" } else { ", " };
    Ok(format!("{open}{key}{comma}{inner}{close}"))
}

fn wave_string(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if control.is_control() => out.extend(control.escape_unicode()),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_first_argument() {
        assert_eq!(with_key("k", " [7, {\"a\": 1}]"), Ok("[\"k\", 7, {\"a\": 1}]".to_owned()));
        assert_eq!(with_key("k\"\\", "[ ]"), Ok(r#"["k\"\\" ]"#.to_owned()));
        assert_eq!(with_key("k\"\\\n", "(7)"), Ok(r#"("k\"\\\u{a}", 7)"#.to_owned()));
        assert_eq!(with_key("k", "()"), Ok("(\"k\")".to_owned()));
        for wrong in ["", "7", "(7]", "["] {
            assert!(with_key("k", wrong).is_err(), "{wrong}");
        }
    }
}
