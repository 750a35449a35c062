//! `POST /api/courses/:id/enroll`: starts the enrollment saga of the student who asks, and waits for its outcome if
//! asked to. Malformed input and an unknown course are answered before the saga starts.

use education::courses::catalog;
use education::enrollment::enrolling::{self, EnrollRequest, Error, PaymentMethod};
use serde::Deserialize;
use serde_json::json;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::saga::{self, Started};

weft_guest::http_handler!(handle);

/// The longest payment token, in bytes.
const MAX_TOKEN_BYTES: usize = 128;

#[derive(Default, Deserialize)]
struct Body {
    payment: Option<PaymentMethod>,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let course_id = request.id_of("course")?;
    let Body { payment } = if request.body().is_empty() { Body::default() } else { request.json()? };
    if let Some(method) = &payment {
        check(method)?;
    }
    let course = catalog::get(course_id.clone()).await.map_err(|error| match error {
        catalog::Error::NotFound => Problem::not_found("course"),
        catalog::Error::Unavailable(failure) => failure.into(),
    })?;
    if course.price > 0 && payment.is_none() {
        return Err(Problem::invalid("payment", "is needed: the course has a price"));
    }
    let saga_id = request.command_key()?;
    let input = EnrollRequest { student_id: user.id, course_id, payment };
    saga::check_idempotency(&request, &saga_id, &input).await?;
    let enroll = enrolling::enroll(saga_id.clone(), input);
    let status_url = format!("/api/sagas/{saga_id}");
    match saga::start_and_wait(&saga_id, request.prefer_wait().unwrap_or(0), enroll).await? {
        Started::Running => Ok(Response::json(202, &json!({ "saga_id": saga_id, "status_url": status_url }))),
        Started::Answered(Ok(enrollment)) => Ok(Response::json(201, &enrollment)),
        Started::Answered(Err(error)) => Err(problem(error)),
    }
    .map(|response| response.header("location", status_url))
}

fn check(method: &PaymentMethod) -> Result<(), Problem> {
    if method.provider != "sandbox" {
        return Err(Problem::invalid("payment.provider", "has to be \"sandbox\""));
    }
    if method.token.is_empty() || method.token.len() > MAX_TOKEN_BYTES {
        return Err(Problem::invalid("payment.token", format!("has to have 1 to {MAX_TOKEN_BYTES} characters")));
    }
    Ok(())
}

fn problem(error: Error) -> Problem {
    match error {
        Error::CourseNotFound => Problem::not_found("course"),
        Error::NotPublished => Problem::conflict("not-published", "The course is not published"),
        Error::CourseFull => Problem::conflict("course-full", "The course is full"),
        Error::AlreadyEnrolled => Problem::conflict("already-enrolled", "You are enrolled, or about to be"),
        Error::PrerequisitesNotMet(missing) => {
            Problem::new(422, "prerequisites-not-met", "Prerequisites are not met").detail(missing.join(", "))
        }
        Error::PaymentRequired => Problem::invalid("payment", "is needed: the course has a price"),
        Error::PaymentDeclined(reason) => {
            Problem::new(402, "payment-declined", "The payment was declined").detail(reason)
        }
        Error::Unavailable(failure) => failure.into(),
    }
}
