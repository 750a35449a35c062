//! `education:enrollment/import-chunk`: enrolls every row of one chunk of an import, then cancels or completes what the
//! row says. Ids and keys are derived from the import and the row, so that a chunk can be run again.

mod row;

use education::exports::import_chunk::{Error, Guest};
use education::identity::accounts::{self, NewAccount};
use futures::{StreamExt, stream};
use row::{Done, ImportRow, student_id, work};
use weft_guest::operation::{Effect, operation};
use weft_guest::sql::{query, sql};
use weft_guest::{Failure, params};

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

async fn load(import_id: &str, first: u32, count: u32) -> Result<Vec<ImportRow>, Error> {
    let select = "SELECT position, student, course, final_result FROM enrollment_import_rows \
                  WHERE import_id = $1 AND position >= $2 AND position < $3 ORDER BY position";
    let rows = query(select, params![import_id, first, u64::from(first) + u64::from(count)]).await?;
    Ok(rows.iter().map(ImportRow::read).collect::<Result<_, _>>()?)
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

education::exports::import_chunk::export!(Component);
