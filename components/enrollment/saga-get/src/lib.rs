//! `GET /api/sagas/:id`: how a saga stands, for its owner or an admin. A choreographed run looks like a saga.

mod choreographed;

use enrollment_domain::saga::{self as view, Owner};
use serde::Serialize;
use serde_json::Value;
use weft_guest::clock::rfc3339;
use weft_guest::http::{Problem, Request, Response, User};
use weft_guest::params;
use weft_guest::saga::handles::{self, Error};
use weft_guest::saga::{Phase, SagaView, Status, StepView};
use weft_guest::sql::query_first;

weft_guest::http_handler!(handle);

#[derive(Serialize)]
struct Step {
    name: String,
    /// `do`, or `undo` for its compensation.
    phase: &'static str,
    status: String,
    attempts: u32,
    started_at: String,
    ended_at: Option<String>,
    error: Option<String>,
}

#[derive(Serialize)]
struct Saga {
    id: String,
    name: String,
    status: String,
    correlation_id: String,
    result: Option<Value>,
    error: Option<String>,
    steps: Vec<Step>,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let id = request.id_of("saga")?;
    let saga = match handles::status(id.clone()).await {
        Ok(saga) => saga,
        // A saga that this function may not see does not exist for it.
        Err(Error::NotFound | Error::Denied(_)) => return choreographed::get(&user, id).await,
        Err(other) => return Err(Problem::internal(&other)),
    };
    if !owns(&user, &saga).await? {
        return Err(Problem::not_found("saga"));
    }
    let answer = saga.result.as_deref().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
    let (result, error) = answer.map_or((None, None), |answer| view::answer(&answer));
    let error = saga.error.or(error);
    let steps = saga.steps.into_iter().map(step).collect();
    let (id, name, correlation_id) = (saga.key, saga.name, saga.correlation_id);
    let status = status(saga.status).to_string();
    Ok(Response::json(200, &Saga { id, name, status, correlation_id, result, error, steps }))
}

async fn owns(user: &User, saga: &SagaView) -> Result<bool, Problem> {
    if user.is_admin() {
        return Ok(true);
    }
    let input = serde_json::from_slice(&saga.input).unwrap_or(Value::Null);
    Ok(match view::owner(&input) {
        Owner::Account(account) => account == user.id,
        Owner::Enrollment(id) => {
            let select = "SELECT student_id FROM enrollment_enrollments WHERE id = $1";
            let row = query_first(select, params![id]).await?;
            row.map(|row| row.text("student_id")).transpose()?.is_some_and(|student| student == user.id)
        }
        Owner::Nobody => false,
    })
}

fn step(step: StepView) -> Step {
    let phase = if matches!(step.phase, Phase::Do) { "do" } else { "undo" };
    let (started_at, ended_at) = (rfc3339(step.started_at_ms), step.ended_at_ms.map(rfc3339));
    let StepView { name, status, attempts, error, .. } = step;
    Step { name, phase, status, attempts, started_at, ended_at, error }
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Running => "running",
        Status::Paused => "paused",
        Status::Completed => "completed",
        Status::Compensating => "compensating",
        Status::Compensated => "compensated",
        Status::NeedsAttention => "needs-attention",
    }
}
