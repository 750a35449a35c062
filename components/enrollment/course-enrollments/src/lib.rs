//! The projection course-enrollments: what has happened to enrollments, as the table that a course's teacher looks into.
//! Pure: the statements depend on the events alone.

use education::events::facts::{EnrollmentCancelled, EnrollmentCompleted, EnrollmentCreated, EnrollmentUndone, Fact};
use weft_guest::events::SourceEvent;
use weft_guest::params;
use weft_guest::sql::{Statement, sql};

async fn project(events: Vec<SourceEvent>) -> Result<Vec<Statement>, String> {
    events.iter().map(apply).filter_map(Result::transpose).collect()
}

fn apply(event: &SourceEvent) -> Result<Option<Statement>, String> {
    Ok(Some(match event.type_.as_str() {
        EnrollmentCreated::TYPE => {
            let EnrollmentCreated { enrollment_id, student_id, course_id, .. } = event.decode()?;
            stands(event, &enrollment_id, &course_id, &student_id, "active", None)
        }
        EnrollmentCompleted::TYPE => {
            let EnrollmentCompleted { enrollment_id, student_id, course_id, grade } = event.decode()?;
            stands(event, &enrollment_id, &course_id, &student_id, "completed", Some(&grade))
        }
        EnrollmentCancelled::TYPE => {
            let EnrollmentCancelled { enrollment_id, student_id, course_id } = event.decode()?;
            stands(event, &enrollment_id, &course_id, &student_id, "cancelled", None)
        }
        EnrollmentUndone::TYPE => {
            let EnrollmentUndone { enrollment_id } = event.decode()?;
            sql("DELETE FROM enrollment_course_enrollments WHERE enrollment_id = $1", params![enrollment_id])
        }
        _ => return Ok(None),
    }))
}

/// How the enrollment stands since the event; it stands in the course since its first one.
fn stands(
    event: &SourceEvent,
    enrollment: &str,
    course: &str,
    student: &str,
    status: &str,
    grade: Option<&str>,
) -> Statement {
    sql(
        "INSERT INTO enrollment_course_enrollments \
         (enrollment_id, course_id, student_id, status, grade, since, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $6) \
         ON CONFLICT (enrollment_id) DO UPDATE SET status = $4, grade = $5, updated_at = $6",
        params![enrollment, course, student, status, grade, &event.time],
    )
}

weft_guest::projection!(project);

#[cfg(test)]
mod tests {
    use projection_testing::{Database, event};
    use weft_guest::serde_json::json;

    use super::*;

    #[test]
    fn courses_know_who_is_in_them_since_when() {
        let database = Database::new(&[include_str!("../../migrations/0003_course_enrollments.sql")]);
        let (student_id, course_id) = ("s".to_owned(), "c".to_owned());
        let created = |id: &str| EnrollmentCreated {
            enrollment_id: id.into(),
            student_id: student_id.clone(),
            course_id: course_id.clone(),
            payment_id: None,
        };
        let completed = EnrollmentCompleted {
            enrollment_id: "e1".into(),
            student_id: student_id.clone(),
            course_id: course_id.clone(),
            grade: "A".into(),
        };
        let (student, course) = (student_id.clone(), course_id.clone());
        let cancelled = EnrollmentCancelled { enrollment_id: "e2".into(), student_id: student, course_id: course };
        let events = [
            event(1, EnrollmentCreated::TYPE, &created("e1")),
            event(2, EnrollmentCreated::TYPE, &created("e2")),
            event(3, EnrollmentCreated::TYPE, &created("e3")),
            event(4, EnrollmentCompleted::TYPE, &completed),
            event(5, EnrollmentCancelled::TYPE, &cancelled),
            event(6, EnrollmentUndone::TYPE, &EnrollmentUndone { enrollment_id: "e3".into() }),
        ];
        for event in &events {
            database.run(apply(event).unwrap().as_slice());
        }
        let sql =
            "SELECT enrollment_id, status, grade, since FROM enrollment_course_enrollments ORDER BY enrollment_id";
        let wanted = json!([
            ["e1", "completed", "A", "2026-11-20T08:00:01.000Z"],
            ["e2", "cancelled", null, "2026-11-20T08:00:02.000Z"],
        ]);
        assert_eq!(database.rows(sql, &[]), wanted);
        assert_eq!(apply(&event(7, "education.enrollment.other", &1)), Ok(None));
    }
}
