//! `education:enrollment/import-work`: the saga that works through a loaded import: the courses first, then the rows,
//! chunk by chunk. Nothing is undone; a chunk that fails is tried again, and its finished rows stay finished.

use education::courses::importing::{self as courses, NewCourse};
use education::enrollment::import_chunk;
use education::exports::import_work::{Error, Guest};
use enrollment_domain::import;
use weft_guest::saga::{self, RetryPolicy, Saga};
use weft_guest::sql::{query, query_first};
use weft_guest::{ids, params};

const WORK: &str = "education:enrollment/import-work@1.0.0#work";
const CHUNK_TIMEOUT_MS: u32 = 120_000;
const PATIENT: RetryPolicy = RetryPolicy { max_attempts: 1_000, base_ms: 500, factor_percent: 200, cap_ms: 15_000 };

struct Component;

impl Guest for Component {
    async fn work(key: String, import_id: String) -> Result<u64, Error> {
        saga::run(WORK, key, import_id, steps).await
    }
}

async fn steps(saga: Saga, import_id: String) -> Result<u64, Error> {
    saga.step("create-courses", |key| create_courses(key, import_id.clone())).retry(PATIENT).await?;
    let rows = saga.step("count-rows", |_| count_rows(import_id.clone())).retry(PATIENT).await?;
    let mut worked = 0;
    for (first, count) in import::chunks(rows) {
        let process = |key| import_chunk::process(key, import_id.clone(), first, count);
        let step = saga.step(&format!("chunk-{first}"), process).timeout_ms(CHUNK_TIMEOUT_MS).retry(PATIENT);
        worked += u64::from(step.await.map_err(|error| match error {
            import_chunk::Error::Invalid(message) => Error::Invalid(message),
            import_chunk::Error::Unavailable(failure) => Error::Unavailable(failure),
        })?);
    }
    Ok(worked)
}

async fn create_courses(key: String, import_id: String) -> Result<u32, Error> {
    let select = "SELECT code, title, capacity FROM enrollment_import_courses WHERE import_id = $1 ORDER BY code";
    let mut new = Vec::new();
    for row in query(select, params![&import_id]).await? {
        let code = row.text("code")?;
        let capacity = u32::try_from(row.int("capacity")?).map_err(|_| Error::Invalid("a capacity".to_string()))?;
        let (id, teacher_id) = (ids::derived(&[&import_id, "course", &code]), ids::derived(&[&import_id, "teacher"]));
        new.push(NewCourse { id, code, title: row.text("title")?, teacher_id, capacity });
    }
    courses::create_many(key, new).await.map_err(|error| match error {
        courses::Error::Invalid(message) => Error::Invalid(message),
        courses::Error::Unavailable(failure) => Error::Unavailable(failure),
    })
}

async fn count_rows(import_id: String) -> Result<u32, Error> {
    let select = "SELECT COUNT(*) AS total FROM enrollment_import_rows WHERE import_id = $1";
    let total = query_first(select, params![&import_id]).await?.map_or(Ok(0), |row| row.count("total"))?;
    u32::try_from(total).map_err(|_| Error::Invalid("too many rows".to_string()))
}

weft_guest::resumable!(WORK => steps);
education::exports::import_work::export!(Component);
