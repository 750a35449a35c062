//! How a running host answers what its control socket is asked about projections.

use futures::future::BoxFuture;
use hyper::StatusCode;

use weft_capability::projection::{ProjectionError, Projections};
use weft_telemetry::audit::Action;

use super::super::api::{Problem, ProjectionEntry, ProjectionOrder};
use super::super::server::{ProjectionOperations, problem};
use super::Running;
use super::audited::{audited, to_its_end};

impl ProjectionOperations for Running {
    fn list(&self) -> BoxFuture<'_, Result<Vec<ProjectionEntry>, Problem>> {
        Box::pin(entries(&self.host.parts().projections))
    }

    fn order(
        &self,
        id: String,
        order: String,
        ordered: ProjectionOrder,
    ) -> BoxFuture<'_, Result<ProjectionEntry, Problem>> {
        let (projections, audit) = (self.host.parts().projections.clone(), self.audit.clone());
        to_its_end(async move {
            let is_rebuild = order == "rebuild";
            let action = Action {
                actor: ordered.actor.clone(),
                action: format!("{order} projection"),
                detail: if is_rebuild { format!("{id} from {}", ordered.from) } else { id.clone() },
                reason: ordered.reason.clone(),
                ..Action::default()
            };
            let done = match order.as_str() {
                "pause" => projections.pause(&id).await,
                "resume" => projections.resume(&id).await,
                "abandon" => projections.abandon(&id).await,
                _ => projections.rebuild(&id, ordered.from).await,
            };
            audited(&audit, action, done.map_err(|error| explained(&error))).await?;
            let found = entries(&projections).await?.into_iter().find(|entry| entry.id == id);
            // The manifest has changed since.
            found.ok_or_else(|| explained(&ProjectionError::Unknown(id)))
        })
    }
}

async fn entries(projections: &Projections) -> Result<Vec<ProjectionEntry>, Problem> {
    let status = projections.status().await;
    let status = status.map_err(|failure| problem(StatusCode::SERVICE_UNAVAILABLE, failure.to_string()))?;
    Ok(status.into_iter().map(ProjectionEntry::from).collect())
}

fn explained(error: &ProjectionError) -> Problem {
    let status = match error {
        ProjectionError::Unknown(_) => StatusCode::NOT_FOUND,
        ProjectionError::BehindTheEnd { .. } => StatusCode::BAD_REQUEST,
        ProjectionError::Model(_) => StatusCode::CONFLICT,
        ProjectionError::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    problem(status, error.to_string())
}
