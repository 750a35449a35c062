//! One row of an import: its enrollment, and what follows it. Keys and ids are derived from the import and the row.

use education::enrollment::enrolling::{self, EnrollRequest};
use education::enrollment::types::Enrollment;
use education::enrollment::{cancelling, records};
use enrollment_domain::import::{FollowUp, follow_up};
use weft_guest::sql::{self, Row};
use weft_guest::{Failure, ids};

pub struct ImportRow {
    pub position: String,
    pub student: String,
    pub course: String,
    pub final_result: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Done {
    Enrolled,
    Cancelled,
    Completed,
    /// Refused for good: the same answer would come again.
    Failed,
}

impl ImportRow {
    pub fn read(row: &Row) -> Result<Self, sql::Error> {
        let (position, student) = (row.int("position")?.to_string(), row.text("student")?);
        Ok(Self { position, student, course: row.text("course")?, final_result: row.text("final_result")? })
    }
}

pub async fn work(import_id: &str, row: &ImportRow) -> Result<Done, Failure> {
    let key = |part| ids::derived(&[import_id, part, &row.position]);
    let course_id = ids::derived(&[import_id, "course", &row.course]);
    let request = EnrollRequest { student_id: student_id(import_id, &row.student), course_id, payment: None };
    let Enrollment { id, .. } = match enrolling::enroll(key("enroll"), request).await {
        Ok(enrollment) => enrollment,
        Err(enrolling::Error::Unavailable(failure)) => return Err(failure),
        Err(error) => return Ok(refused(row, &error)),
    };
    match follow_up(&row.final_result) {
        Ok(FollowUp::Nothing) => Ok(Done::Enrolled),
        Ok(FollowUp::Cancel) => match cancelling::cancel(key("cancel"), id).await {
            Ok(_) => Ok(Done::Cancelled),
            Err(cancelling::Error::Unavailable(failure)) => Err(failure),
            Err(error) => Ok(refused(row, &error)),
        },
        Ok(FollowUp::Complete) => match records::complete(key("complete"), id, row.final_result.clone()).await {
            Ok(_) => Ok(Done::Completed),
            Err(records::Error::Unavailable(failure)) => Err(failure),
            Err(error) => Ok(refused(row, &error)),
        },
        Err(message) => Ok(refused(row, &message)),
    }
}

fn refused(row: &ImportRow, why: &dyn std::fmt::Debug) -> Done {
    eprintln!("row {} of the import was refused: {why:?}", row.position);
    Done::Failed
}

pub fn student_id(import_id: &str, student: &str) -> String {
    ids::derived(&[import_id, "student", student])
}
