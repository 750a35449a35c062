//! `education:enrollment/import-chunk`: enrolls every row of one chunk of an import, then cancels or completes what the
//! row says. Ids and keys are derived from the import and the row, so that a chunk can be run again.

use education::enrollment::enrolling::{self, EnrollRequest};
use education::enrollment::types::Enrollment;
use education::enrollment::{cancelling, records};
use education::exports::import_chunk::{Error, Guest};
use education::identity::accounts::{self, NewAccount};
use enrollment_domain::import::{FollowUp, follow_up};
use futures::{StreamExt, stream};
use weft_guest::operation::{Effect, operation};
use weft_guest::sql::{Row, query, sql};
use weft_guest::{Failure, ids, params};

const PROCESS: &str = "education:enrollment/import-chunk@1.0.0#process";
/// Enrollments in flight at once.
const CONCURRENCY: usize = 16;

struct Component;

impl Guest for Component {
    async fn process(key: String, import_id: String, first: u32, count: u32) -> Result<u32, Error> {
        operation(PROCESS, &key, &(&import_id, first, count), async || {
            let rows = load(&import_id, first, count).await?;
            create_accounts(&format!("{key}/accounts"), &import_id, &rows).await?;
            let working = rows.iter().map(|row| work(&import_id, row));
            let done: Vec<_> = stream::iter(working).buffer_unordered(CONCURRENCY).collect().await;
            let done = done.into_iter().collect::<Result<Vec<_>, Failure>>().map_err(Error::Unavailable)?;
            let number = |wanted: &[Done]| done.iter().filter(|done| wanted.contains(done)).count() as u64;
            let insert = "INSERT INTO enrollment_import_chunks \
                          (import_id, first, worked, enrollments, cancelled, completed, failed) \
                          VALUES ($1, $2, $3, $4, $5, $6, $7)";
            let (cancelled, completed) = (number(&[Done::Cancelled]), number(&[Done::Completed]));
            let enrolled = number(&[Done::Enrolled, Done::Cancelled, Done::Completed]);
            let (worked, failed) = (number(&[Done::Failed]) + enrolled, number(&[Done::Failed]));
            let tally = params![&import_id, first, worked, enrolled, cancelled, completed, failed];
            Ok(Effect::answer(count).then(sql(insert, tally)))
        })
        .await
    }
}

struct ImportRow {
    position: String,
    student: String,
    course: String,
    final_result: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    Enrolled,
    Cancelled,
    Completed,
    /// Refused for good: the same answer would come again.
    Failed,
}

async fn load(import_id: &str, first: u32, count: u32) -> Result<Vec<ImportRow>, Error> {
    let select = "SELECT position, student, course, final_result FROM enrollment_import_rows \
                  WHERE import_id = $1 AND position >= $2 AND position < $3 ORDER BY position";
    let rows = query(select, params![import_id, first, u64::from(first) + u64::from(count)]).await?;
    let row = |row: &Row| {
        let (position, student) = (row.int("position")?.to_string(), row.text("student")?);
        Ok(ImportRow { position, student, course: row.text("course")?, final_result: row.text("final_result")? })
    };
    rows.iter().map(row).collect()
}

async fn create_accounts(key: &str, import_id: &str, rows: &[ImportRow]) -> Result<(), Error> {
    let account = |row: &ImportRow| NewAccount {
        id: student_id(import_id, &row.student),
        // A name under .invalid never receives mail.
        email: format!("{}@import.invalid", student_id(import_id, &row.student)),
        name: format!("Student {}", row.student),
        role: "student".to_string(),
        password_hash: None,
    };
    let mut accounts: Vec<_> = rows.iter().map(account).collect();
    accounts.sort_by(|a, b| a.id.cmp(&b.id));
    accounts.dedup_by(|a, b| a.id == b.id);
    accounts::create_many(key.to_string(), accounts).await.map(drop).map_err(|error| match error {
        accounts::Error::Unavailable(failure) => Error::Unavailable(failure),
        other => Error::Invalid(format!("accounts were refused: {other:?}")),
    })
}

async fn work(import_id: &str, row: &ImportRow) -> Result<Done, Failure> {
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

fn student_id(import_id: &str, student: &str) -> String {
    ids::derived(&[import_id, "student", student])
}

education::exports::import_chunk::export!(Component);
