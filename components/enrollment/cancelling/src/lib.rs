//! `education:enrollment/cancelling`: the cancellation saga. Forward only: once the enrollment is cancelled, refund,
//! seat and notice follow, however long their providers take to answer.

use education::courses::{catalog, seats};
use education::enrollment::records;
use education::enrollment::types::Enrollment;
use education::events::Cancelled;
use education::exports::cancelling::{Error, Guest};
use education::payments::charges;
use serde::{Deserialize, Serialize};
use weft_guest::saga::{self, RetryPolicy, Saga};
use weft_guest::{Failure, Fallible};

const CANCEL: &str = "education:enrollment/cancelling@1.0.0#cancel";
/// Most of a day: nothing undoes a cancellation, so its steps are tried until they succeed.
const PATIENT: RetryPolicy = RetryPolicy { max_attempts: 5_000, base_ms: 500, factor_percent: 200, cap_ms: 15_000 };

#[derive(Serialize, Deserialize)]
struct Input {
    enrollment_id: String,
}

struct Component;

impl Guest for Component {
    async fn cancel(key: String, enrollment_id: String) -> Result<Enrollment, Error> {
        saga::run(CANCEL, key, Input { enrollment_id }, steps).await
    }
}

async fn steps(saga: Saga, input: Input) -> Result<Enrollment, Error> {
    let id = input.enrollment_id;
    // As patient as what follows: whoever gives up without knowing whether it landed leaves a charge and a seat behind.
    let enrollment =
        saga.step("mark-cancelled", |key| records::cancel(key, id.clone())).retry(PATIENT).await.map_err(not_marked)?;
    let Enrollment { id, student_id, course_id, payment_id, .. } = enrollment.clone();
    if let Some(payment_id) = payment_id {
        saga.step("refund-payment", |key| charges::refund(key, payment_id.clone()))
            .retry(PATIENT)
            .await
            .map_err(stuck)?;
    }
    saga.step("free-seat", |key| seats::free(key, course_id.clone(), student_id.clone()))
        .retry(PATIENT)
        .await
        .map_err(stuck)?;
    let correlation = saga.key().to_string();
    saga.step("notify", |key| notify(key, id.clone(), student_id.clone(), course_id.clone(), correlation.clone()))
        .retry(PATIENT)
        .await
        .map_err(stuck)?;
    Ok(enrollment)
}

async fn notify(
    key: String,
    enrollment_id: String,
    student_id: String,
    course_id: String,
    saga: String,
) -> Result<String, Failure> {
    let course_title = match catalog::get(course_id.clone()).await {
        Ok(course) => course.title,
        Err(catalog::Error::NotFound) => String::new(),
        Err(catalog::Error::Unavailable(failure)) => return Err(failure),
    };
    let cancelled = Cancelled { enrollment_id, student_id, course_id, course_title };
    cancelled.notice(&saga).publish(key).await
}

fn not_marked(error: records::Error) -> Error {
    match error {
        records::Error::NotFound => Error::NotFound,
        records::Error::Conflict(status) => Error::Conflict(status),
        other => stuck(other),
    }
}

/// A step that nothing may refuse was refused, or did not answer for most of a day.
fn stuck<E: Fallible + std::fmt::Debug>(error: E) -> Error {
    let failure = error.failure().cloned();
    Error::Unavailable(failure.unwrap_or_else(|| Failure::unknown(format!("cancelling was refused: {error:?}"))))
}

weft_guest::resumable!(CANCEL => steps);
education::exports::cancelling::export!(Component);
