//! `education:enrollment/importing`: loads courses and rows of another system, chunk by chunk under the chunk's key, and
//! tells how far the work on them has come.

use education::exports::importing::{Error, Guest, ImportCourse, ImportRow, Progress};
use enrollment_domain::import::{self, MAX_LOAD, check_text};
use weft_guest::operation::{Effect, operation};
use weft_guest::params;
use weft_guest::sql::{Statement, Value, query_first, sql};

const LOAD_COURSES: &str = "education:enrollment/importing@1.0.0#load-courses";
const LOAD_ROWS: &str = "education:enrollment/importing@1.0.0#load-rows";
/// Rows of one INSERT: 6 parameters each, well under the limit of 999.
const ROWS_PER_STATEMENT: usize = 100;

struct Component;

impl Guest for Component {
    async fn load_courses(key: String, import_id: String, courses: Vec<ImportCourse>) -> Result<u32, Error> {
        let checks = courses.iter().flat_map(|course| [("code", &course.code), ("title", &course.title)]);
        let count = check(courses.len(), checks)?;
        operation(LOAD_COURSES, &key, &(&import_id, &courses), async || {
            let row = |course: &ImportCourse| params![&import_id, &course.code, &course.title, course.capacity];
            let insert = "INSERT INTO enrollment_import_courses (import_id, code, title, capacity) VALUES";
            Ok(inserts(insert, courses.iter().map(row)).fold(Effect::answer(count), Effect::then))
        })
        .await
    }

    async fn load_rows(key: String, import_id: String, first: u32, rows: Vec<ImportRow>) -> Result<u32, Error> {
        let count =
            check(rows.len(), rows.iter().flat_map(|row| [("student", &row.student), ("course", &row.course)]))?;
        rows.iter().try_for_each(|row| import::follow_up(&row.final_result).map(drop)).map_err(Error::Invalid)?;
        operation(LOAD_ROWS, &key, &(&import_id, first, &rows), async || {
            let row = |(position, row): (u32, &ImportRow)| {
                let ImportRow { student, course, final_result, registered_day } = row;
                params![&import_id, position, student, course, final_result, *registered_day]
            };
            let insert = "INSERT INTO enrollment_import_rows \
                          (import_id, position, student, course, final_result, registered_day) VALUES";
            Ok(inserts(insert, (first..).zip(&rows).map(row)).fold(Effect::answer(count), Effect::then))
        })
        .await
    }

    async fn get_progress(import_id: String) -> Result<Progress, Error> {
        let loaded = "SELECT COUNT(*) AS loaded FROM enrollment_import_rows WHERE import_id = $1";
        let loaded = query_first(loaded, params![&import_id]).await?.map_or(Ok(0), |row| row.count("loaded"))?;
        let select = "SELECT COALESCE(SUM(worked), 0) AS worked, COALESCE(SUM(enrollments), 0) AS enrollments, \
                      COALESCE(SUM(cancelled), 0) AS cancelled, COALESCE(SUM(completed), 0) AS completed, \
                      COALESCE(SUM(failed), 0) AS failed FROM enrollment_import_chunks WHERE import_id = $1";
        let sums = query_first(select, params![&import_id]).await?;
        let sum = |column| sums.as_ref().map_or(Ok(0), |row| row.count(column));
        Ok(Progress {
            loaded,
            worked: sum("worked")?,
            enrollments: sum("enrollments")?,
            cancelled: sum("cancelled")?,
            completed: sum("completed")?,
            failed: sum("failed")?,
        })
    }
}

fn check<'a>(items: usize, texts: impl Iterator<Item = (&'static str, &'a String)>) -> Result<u32, Error> {
    if items > MAX_LOAD {
        return Err(Error::Invalid(format!("at most {MAX_LOAD} items can be loaded at once")));
    }
    texts.into_iter().try_for_each(|(name, text)| check_text(name, text)).map_err(Error::Invalid)?;
    u32::try_from(items).map_err(|_| Error::Invalid("too many items".to_string()))
}

/// INSERTs of several rows each. All rows have the same number of values.
fn inserts(insert: &str, rows: impl Iterator<Item = Vec<Value>>) -> impl Iterator<Item = Statement> {
    let rows: Vec<_> = rows.collect();
    let statement = |chunk: &[Vec<Value>]| {
        let mut number = 0;
        let mut placeholders = |row: &Vec<Value>| {
            let numbers: Vec<_> = row
                .iter()
                .map(|_| {
                    number += 1;
                    format!("${number}")
                })
                .collect();
            format!("({})", numbers.join(", "))
        };
        let values: Vec<_> = chunk.iter().map(&mut placeholders).collect();
        sql(&format!("{insert} {}", values.join(", ")), chunk.concat())
    };
    rows.chunks(ROWS_PER_STATEMENT).map(statement).collect::<Vec<_>>().into_iter()
}

education::exports::importing::export!(Component);
