//! `education:enrollment/enrolling`: the course-enrollment saga. Its key is the saga's id; whatever a step did is undone
//! under that step's key, so that nothing lands after its compensation.

mod errors;

use education::courses::{catalog, seats};
use education::enrollment::records;
use education::enrollment::types::Enrollment;
use education::events::Enrolled;
use education::exports::enrolling::{EnrollRequest, Error, Guest};
use education::payments::charges::{self, ChargeRequest};
use weft_guest::saga::{self, Saga};

const ENROLL: &str = "education:enrollment/enrolling@1.0.0#enroll";
/// A payment provider answers sooner than this, or something is wrong.
const CHARGE_TIMEOUT_MS: u32 = 5_000;

struct Component;

impl Guest for Component {
    async fn enroll(key: String, request: EnrollRequest) -> Result<Enrollment, Error> {
        saga::run(ENROLL, key, request, steps).await
    }
}

async fn steps(saga: Saga, request: EnrollRequest) -> Result<Enrollment, Error> {
    let EnrollRequest { student_id, course_id, payment } = request;
    // The same in every run of the saga.
    let enrollment_id = saga.uuid();

    let course = saga.step("check-prerequisites", |_| check(course_id.clone(), student_id.clone())).await?;
    if course.price > 0 && payment.is_none() {
        return Err(Error::PaymentRequired);
    }
    let (provider, token) = payment.map_or(("none".into(), String::new()), |method| (method.provider, method.token));

    saga.step("reserve-seat", |key| seats::reserve(key, course_id.clone(), student_id.clone()))
        .undo(|key, _| seats::release(key))
        .await
        .map_err(errors::seat)?;

    let charge = ChargeRequest {
        student_id: student_id.clone(),
        enrollment_id: enrollment_id.clone(),
        amount: course.price,
        currency: course.currency,
        provider,
        token,
    };
    let payment = saga
        .step("charge-payment", |key| charges::charge(key, charge.clone()))
        .timeout_ms(CHARGE_TIMEOUT_MS)
        .undo(|key, _| charges::revoke(key))
        .await
        .map_err(errors::charge)?;

    let enrollment = Enrollment {
        id: enrollment_id.clone(),
        student_id: student_id.clone(),
        course_id: course_id.clone(),
        status: "active".to_string(),
        payment_id: Some(payment.id),
    };
    let enrollment = saga
        .step("create-enrollment", |key| records::create(key, enrollment.clone()))
        .undo(|key, _| records::delete(key))
        .await
        .map_err(errors::record)?;

    let enrolled = Enrolled { enrollment_id, student_id, course_id, course_title: course.title };
    let (notice, cancellation) = (enrolled.notice(saga.key()), enrolled.cancelled().notice(saga.key()));
    saga.step("notify", |key| notice.clone().publish(key))
        .undo(move |key, _| cancellation.clone().publish(format!("{key}/undo")))
        .await
        .map_err(Error::Unavailable)?;
    Ok(enrollment)
}

async fn check(course_id: String, student_id: String) -> Result<catalog::Course, Error> {
    let course = catalog::get(course_id).await.map_err(errors::course)?;
    if !course.published {
        return Err(Error::NotPublished);
    }
    records::check_prerequisites(student_id, course.prerequisites.clone()).await.map_err(errors::record)?;
    Ok(course)
}

weft_guest::resumable!(ENROLL => steps);
education::exports::enrolling::export!(Component);
