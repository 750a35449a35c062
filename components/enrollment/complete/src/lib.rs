//! `POST /api/enrollments/:id/complete`: a teacher or an admin records that a student passed, which satisfies
//! prerequisites.

use education::enrollment::records::{self, Error};
use serde::Deserialize;
use weft_guest::http::{Problem, Request, Response};

weft_guest::http_handler!(handle);

#[derive(Deserialize)]
struct Body {
    grade: String,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    if !matches!(user.role.as_str(), "teacher" | "admin") {
        return Err(Problem::forbidden());
    }
    let id = request.id_of("enrollment")?;
    let Body { grade } = request.json()?;
    let grade = enrollment_domain::check_grade(&grade).map_err(|message| Problem::invalid("grade", message))?;
    let enrollment = records::complete(request.command_key()?, id, grade).await.map_err(problem)?;
    Ok(Response::json(200, &enrollment))
}

fn problem(error: Error) -> Problem {
    match error {
        Error::NotFound => Problem::not_found("enrollment"),
        Error::Conflict(status) => Problem::conflict("not-active", "The enrollment is not active")
            .detail(format!("It is {status}; only an active one can be completed.")),
        Error::Unavailable(failure) => failure.into(),
        Error::AlreadyEnrolled | Error::PrerequisitesNotMet(_) | Error::Revoked => {
            Problem::internal(&format!("completing answered {error:?}"))
        }
    }
}
