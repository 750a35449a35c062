//! A choreographed run of content-processing, in the shape of a saga.

use education::content::runs::{self, Run};
use education::content::types::Error;
use serde_json::json;
use weft_guest::http::{Problem, Response, User};

use super::{Saga, Step};

const NAME: &str = "content-processing";

/// The run of that id, for its owner or an admin.
pub async fn get(user: &User, id: String) -> Result<Response, Problem> {
    let run = runs::get(id).await.map_err(|error| match error {
        Error::Unavailable(failure) => failure.into(),
        _ => Problem::not_found("saga"),
    })?;
    if !user.is_admin() && run.author_id != user.id {
        return Err(Problem::not_found("saga"));
    }
    Ok(Response::json(200, &saga(run)))
}

fn saga(run: Run) -> Saga {
    let result = (run.status == "completed").then(|| json!({ "content_id": run.content_id }));
    let steps = run.steps.into_iter().map(step).collect();
    let Run { id, status, error, .. } = run;
    Saga { correlation_id: id.clone(), id, name: NAME.to_string(), status, result, error, steps }
}

/// A step and its line are one commit: it has no duration that a clock could show.
fn step(step: runs::Step) -> Step {
    let runs::Step { name, undo, status, at, error } = step;
    let phase = if undo { "undo" } else { "do" };
    Step { name, phase, status, attempts: 1, started_at: at.clone(), ended_at: Some(at), error }
}
