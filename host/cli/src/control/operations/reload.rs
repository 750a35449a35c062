//! How a running host answers that its manifest is to be taken up anew.

use std::sync::Arc;

use futures::future::BoxFuture;
use hyper::StatusCode;

use weft_telemetry::AuditLog;
use weft_telemetry::audit::Action;

use super::super::api::{Act, Problem, Reloaded};
use super::super::server::problem;
use super::audited::{audited, to_its_end};
use crate::assemble::Refused;
use crate::reload::{Build, Reloader};

pub(super) fn reload(
    reloader: Arc<Reloader>,
    audit: AuditLog,
    act: Act,
) -> BoxFuture<'static, Result<Reloaded, Problem>> {
    to_its_end(async move {
        let Act { actor, reason } = act;
        let reloaded = reloader.reload(Build::No).await.map_err(|error| explained(&error));
        let detail = reloaded.as_ref().map_or_else(|_| String::new(), |reloaded| format!("sha256:{}", reloaded.digest));
        let action = Action { actor, action: "reload".to_owned(), detail, reason, ..Action::default() };
        audited(&audit, action, reloaded).await
    })
}

fn explained(error: &anyhow::Error) -> Problem {
    let diagnostics = error.downcast_ref::<Refused>().map(|Refused(problems)| problems.as_slice()).unwrap_or_default();
    let diagnostics = diagnostics.iter().map(Into::into).collect();
    Problem { diagnostics, ..problem(StatusCode::UNPROCESSABLE_ENTITY, format!("{error:#}")) }
}
