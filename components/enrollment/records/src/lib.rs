//! `education:enrollment/records`: the enrollment records. Every change is a keyed commit with the event that says so;
//! which status may follow which is the domain's.

use education::enrollment::types::Enrollment;
use education::events::facts::{
    EnrollmentCancelled, EnrollmentCompleted, EnrollmentCreated, EnrollmentUndone, Fact, enrollment_stream,
};
use education::exports::records::{Error, Guest};
use enrollment_domain::status::Status;
use weft_guest::events::{ExpectedVersion, NewEvent};
use weft_guest::operation::{Effect, operation, undo};
use weft_guest::sql::{self, Row, query, query_first, sql};
use weft_guest::{Failure, clock, params};

const CREATE: &str = "education:enrollment/records@1.0.0#create";
const CANCEL: &str = "education:enrollment/records@1.0.0#cancel";
const COMPLETE: &str = "education:enrollment/records@1.0.0#complete";

struct Component;

impl Guest for Component {
    async fn check_prerequisites(student_id: String, prerequisites: Vec<String>) -> Result<(), Error> {
        if prerequisites.is_empty() {
            return Ok(());
        }
        let select = "SELECT course_id FROM enrollment_enrollments WHERE student_id = $1 AND status = 'completed'";
        let rows = query(select, params![student_id]).await?;
        let completed = rows.iter().map(|row| row.text("course_id")).collect::<Result<Vec<_>, _>>()?;
        let missing = enrollment_domain::missing_prerequisites(&prerequisites, &completed);
        if missing.is_empty() { Ok(()) } else { Err(Error::PrerequisitesNotMet(missing)) }
    }

    async fn create(key: String, enrollment: Enrollment) -> Result<Enrollment, Error> {
        operation(CREATE, &key, &enrollment, async || {
            let Enrollment { id, student_id, course_id, status, payment_id } = &enrollment;
            let insert = "INSERT INTO enrollment_enrollments \
                          (id, student_id, course_id, status, payment_id, created_by, created_at, updated_at) \
                          VALUES ($1, $2, $3, $4, $5, $6, $7, $7)";
            let now = clock::now_rfc3339();
            let row = params![id, student_id, course_id, status, payment_id.clone(), &key, now];
            let (enrollment_id, student_id, course_id) = (id.clone(), student_id.clone(), course_id.clone());
            let payment_id = payment_id.clone();
            let created = EnrollmentCreated { enrollment_id, student_id, course_id, payment_id }.event();
            let effect = Effect::answer(enrollment.clone()).then_or(sql(insert, row), Error::AlreadyEnrolled);
            Ok(effect.append(&enrollment_stream(id), ExpectedVersion::NoStream, vec![created]))
        })
        .await
    }

    async fn delete(key: String) -> Result<(), Error> {
        undo(CREATE, &key, async || {
            let made =
                query_first("SELECT id FROM enrollment_enrollments WHERE created_by = $1", params![&key]).await?;
            let Some(made) = made else { return Ok(Effect::answer(())) };
            let enrollment_id = made.text("id")?;
            let delete = sql("DELETE FROM enrollment_enrollments WHERE created_by = $1", params![&key]);
            let effect = Effect::answer(()).then(delete.expect_rows(1));
            let stream = enrollment_stream(&enrollment_id);
            Ok(effect.append(&stream, ExpectedVersion::Any, vec![EnrollmentUndone { enrollment_id }.event()]))
        })
        .await
        .map(drop)
    }

    async fn get(id: String) -> Result<Enrollment, Error> {
        let select = "SELECT id, student_id, course_id, status, payment_id FROM enrollment_enrollments WHERE id = $1";
        let row = query_first(select, params![id]).await?.ok_or(Error::NotFound)?;
        Ok(enrollment(&row)?)
    }

    async fn of_student(student_id: String) -> Result<Vec<Enrollment>, Error> {
        let select = "SELECT id, student_id, course_id, status, payment_id FROM enrollment_enrollments \
                      WHERE student_id = $1 ORDER BY id DESC LIMIT 200";
        let rows = query(select, params![student_id]).await?;
        Ok(rows.iter().map(enrollment).collect::<Result<_, _>>()?)
    }

    async fn cancel(key: String, id: String) -> Result<Enrollment, Error> {
        operation(CANCEL, &key, &id, async || change(&id, Status::Cancelled, None).await).await
    }

    async fn complete(key: String, id: String, grade: String) -> Result<Enrollment, Error> {
        operation(COMPLETE, &key, &(&id, &grade), async || change(&id, Status::Completed, Some(&grade)).await).await
    }
}

async fn change(id: &str, next: Status, grade: Option<&str>) -> Result<Effect<Enrollment, Error>, Error> {
    let mut enrollment = Component::get(id.to_string()).await?;
    let status = Status::parse(&enrollment.status);
    let status = status.ok_or_else(|| Error::Unavailable(Failure::not_attempted("an unknown status is recorded")))?;
    let next = status.go_to(next).map_err(|status| Error::Conflict(status.as_str().to_string()))?;
    enrollment.status = next.as_str().to_string();
    // The status again: another change may have come between.
    let update = "UPDATE enrollment_enrollments SET status = $2, grade = $3, updated_at = $4 \
                  WHERE id = $1 AND status = 'active'";
    let update = sql(update, params![id, next.as_str(), grade, clock::now_rfc3339()]).expect_rows(1);
    let changed = changed(&enrollment, grade);
    let effect = Effect::answer(enrollment).then_or(update, Error::Conflict("changed meanwhile".to_string()));
    // That it was active, the row says.
    Ok(effect.append(&enrollment_stream(id), ExpectedVersion::Any, vec![changed]))
}

/// What has happened to an enrollment that is over, one way or the other.
fn changed(enrollment: &Enrollment, grade: Option<&str>) -> NewEvent {
    let Enrollment { id: enrollment_id, student_id, course_id, .. } = enrollment.clone();
    match grade {
        Some(grade) => EnrollmentCompleted { enrollment_id, student_id, course_id, grade: grade.to_string() }.event(),
        None => EnrollmentCancelled { enrollment_id, student_id, course_id }.event(),
    }
}

fn enrollment(row: &Row) -> Result<Enrollment, sql::Error> {
    Ok(Enrollment {
        id: row.text("id")?,
        student_id: row.text("student_id")?,
        course_id: row.text("course_id")?,
        status: row.text("status")?,
        payment_id: row.optional_text("payment_id")?,
    })
}

education::exports::records::export!(Component);
