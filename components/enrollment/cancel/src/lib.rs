//! `POST /api/enrollments/:id/cancel`: runs the cancellation saga for the owner or an admin, and answers the enrollment
//! as it is then.

use education::enrollment::cancelling::{self, Error};
use education::enrollment::records;
use serde_json::json;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::saga::{self, Started};

weft_guest::http_handler!(handle);

/// Cancelling takes milliseconds; a provider that does not answer now is retried long after this.
const WAIT_S: u32 = 10;

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let id = request.id_of("enrollment")?;
    let enrollment = records::get(id.clone()).await.map_err(|error| match error {
        records::Error::Unavailable(failure) => failure.into(),
        _ => Problem::not_found("enrollment"),
    })?;
    // Someone else's enrollment is as good as none.
    if enrollment.student_id != user.id && !user.is_admin() {
        return Err(Problem::not_found("enrollment"));
    }
    let saga_id = request.command_key()?;
    match saga::start_and_wait(&saga_id, WAIT_S, cancelling::cancel(saga_id.clone(), id)).await? {
        Started::Answered(Ok(enrollment)) => Ok(Response::json(200, &enrollment)),
        Started::Answered(Err(error)) => Err(problem(error)),
        Started::Running => {
            let status_url = format!("/api/sagas/{saga_id}");
            let body = json!({ "saga_id": saga_id, "status_url": status_url });
            Ok(Response::json(202, &body).header("location", status_url))
        }
    }
}

fn problem(error: Error) -> Problem {
    match error {
        Error::NotFound => Problem::not_found("enrollment"),
        Error::Conflict(status) => Problem::conflict("not-active", "The enrollment is not active")
            .detail(format!("It is {status}; only an active one can be cancelled.")),
        Error::Unavailable(failure) => failure.into(),
    }
}
