//! How a running host answers what its control socket is asked about the mesh.

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use hyper::StatusCode;
use tokio::sync::broadcast::error::RecvError;

use weft_mesh::{BreakerOrder, CalleeDetail, OrderError};
use weft_telemetry::audit::Action;

use super::super::api::{Act, AddFault, BreakerChange, BreakerEntry, Cleared, FaultEntry, PolicyEntry, Problem};
use super::super::server::{MeshOperations, problem};
use super::Running;
use super::audited::{audited, to_its_end};

impl MeshOperations for Running {
    fn breakers(&self) -> Vec<BreakerEntry> {
        self.host.parts().mesh.callees().into_iter().map(BreakerEntry::from).collect()
    }

    fn policies(&self) -> Vec<PolicyEntry> {
        let mesh = &self.host.parts().mesh;
        let entry = |detail: CalleeDetail| {
            let function = mesh.registry().function(&detail.policy.component);
            PolicyEntry::of(detail, function)
        };
        mesh.details().into_iter().map(entry).collect()
    }

    fn breaker_changes(&self) -> BoxStream<'static, BreakerChange> {
        let parts = self.host.parts();
        let begin = (parts.mesh.breaker_events(), parts.clock.clone());
        let changes = stream::unfold(begin, |(mut events, clock)| async move {
            loop {
                match events.recv().await {
                    Ok(event) => {
                        let [from, to] = [event.from, event.to].map(|state| state.as_str().to_owned());
                        let component = event.component.to_string();
                        return Some((BreakerChange { time_ms: clock.now_ms(), component, from, to }, (events, clock)));
                    }
                    Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "a reader of breakers was too slow"),
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        changes.boxed()
    }

    fn order_breaker(&self, component: String, order: BreakerOrder, act: Act) -> BoxFuture<'_, Result<(), Problem>> {
        let (mesh, audit) = (self.host.parts().mesh.clone(), self.audit.clone());
        to_its_end(async move {
            let name = match order {
                BreakerOrder::Open => "open breaker",
                BreakerOrder::Close => "close breaker",
                BreakerOrder::Reset => "reset breaker",
            };
            let done = mesh.order_breaker(&component, order).map_err(|error| match error {
                OrderError::NoCallee(_) => problem(StatusCode::NOT_FOUND, error.to_string()),
                OrderError::NoBreaker(_) => problem(StatusCode::CONFLICT, error.to_string()),
            });
            audited(&audit, action(act.actor, act.reason, name, component), done).await
        })
    }

    fn faults(&self) -> Vec<FaultEntry> {
        let (declared, by_hand) = self.host.parts().mesh.faults();
        let declared = declared.iter().map(|rule| FaultEntry::of(rule, true));
        declared.chain(by_hand.iter().map(|rule| FaultEntry::of(rule, false))).collect()
    }

    fn add_fault(&self, add: AddFault) -> BoxFuture<'_, Result<(), Problem>> {
        let (mesh, audit, manifest) = (self.host.parts().mesh.clone(), self.audit.clone(), self.host.manifest());
        to_its_end(async move {
            let callee = add.fault.callee.iter().filter(|id| !manifest.mesh.services.contains_key(*id));
            let unknown = callee.chain(&add.fault.caller).find(|id| {
                // A fault on a component is one on its halves too; on a half of its own there is none.
                manifest.components.get(*id).is_none_or(|component| component.split_from.is_some())
            });
            let rule = match unknown {
                Some(id) => Err(problem(StatusCode::NOT_FOUND, format!("there is no component {id:?}"))),
                None => add.fault.rule().map_err(|error| problem(StatusCode::BAD_REQUEST, error)),
            };
            let added = rule.and_then(|rule| {
                mesh.add_fault(&rule).map_err(|error| problem(StatusCode::CONFLICT, error.to_string()))
            });
            // Strings and numbers are always JSON.
            let detail = serde_json::to_string(&add.fault).unwrap_or_default();
            audited(&audit, action(add.actor, add.reason, "add fault", detail), added).await
        })
    }

    fn clear_faults(&self, act: Act) -> BoxFuture<'_, Result<Cleared, Problem>> {
        let (mesh, audit) = (self.host.parts().mesh.clone(), self.audit.clone());
        to_its_end(async move {
            let cleared = mesh.clear_faults();
            let action = action(act.actor, act.reason, "clear faults", cleared.to_string());
            audited(&audit, action, Ok(Cleared { cleared })).await
        })
    }
}

fn action(actor: String, reason: String, action: &str, detail: String) -> Action {
    Action { actor, action: action.to_owned(), detail, reason, ..Action::default() }
}
