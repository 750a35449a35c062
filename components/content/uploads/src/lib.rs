//! education:content/uploads: stores content that is not published yet, and takes that back. In the choreographed form it
//! announces the upload, and listens for `content.failed`, by which the upload is deleted.

use content_domain::lifecycle::{Command, Upload};
use content_domain::upload::check;
use content_store::history::{History, Route};
use content_store::runs::{self, deletion};
use education::content::types::Submission;
use education::exports::uploads::{Error, Guest, export};
use weft_guest::operation::{Effect, command, undo};
use weft_guest::sql::{Statement, query_first, sql};
use weft_guest::{clock, ids, params};

const UPLOAD: &str = "education:content/uploads@1.0.0#upload";
const START: &str = "education:content/uploads@1.0.0#start";

struct Uploads;

impl Guest for Uploads {
    async fn upload(key: String, content_id: String, submission: Submission) -> Result<(), Error> {
        command(UPLOAD, &key, &(&content_id, &submission), async || {
            let (insert, upload) = store(&content_id, &submission, &key)?;
            let refusal = Error::Invalid("there is content with this id".to_owned());
            let effect = Effect::answer(()).then_or(insert, refusal);
            Ok(History::load(&content_id).await?.apply(effect, upload, Route::Facts)?.0)
        })
        .await
    }

    async fn delete_upload(key: String) -> Result<(), Error> {
        undo(UPLOAD, &key, async || {
            let find = "SELECT id FROM content_contents WHERE uploaded_by = $1";
            let Some(row) = query_first(find, params![&key]).await? else { return Ok(Effect::answer(())) };
            let id = row.text("id")?;
            let effect = deletion(&id).into_iter().fold(Effect::answer(()), Effect::then);
            Ok(History::load(&id).await?.apply(effect, Command::Delete, Route::Facts)?.0)
        })
        .await
        .map(drop)
    }

    async fn start(key: String, submission: Submission) -> Result<(), Error> {
        command(START, &key, &submission, async || {
            let content_id = ids::uuid();
            let (insert, upload) = store(&content_id, &submission, &key)?;
            let [run, line] = runs::begin(&key, &content_id, &submission);
            let effect = Effect::answer(()).then(insert).then(run).then(line);
            Ok(History::load(&content_id).await?.apply(effect, upload, Route::Notices(&key))?.0)
        })
        .await
    }
}

fn store(id: &str, submission: &Submission, by: &str) -> Result<(Statement, Command), Error> {
    let Submission { course_id, author_id, title, kind, text } = submission;
    if ![id, course_id, author_id].into_iter().all(ids::is_uuid) {
        return Err(Error::Invalid("an id is not a UUID".to_owned()));
    }
    let (title, kind) = check(title, kind, text).map_err(|invalid| Error::Invalid(invalid.to_string()))?;
    let insert = sql(
        "INSERT INTO content_contents (id, course_id, author_id, title, kind, text, status, created_at, uploaded_by) \
         VALUES ($1, $2, $3, $4, $5, $6, 'uploaded', $7, $8)",
        params![id, course_id, author_id, &title, kind.name(), text, clock::now_rfc3339(), by],
    );
    let (course_id, author_id) = (course_id.clone(), author_id.clone());
    Ok((insert, Command::Upload(Upload { course_id, author_id, title, kind })))
}

export!(Uploads with_types_in education::exports::uploads::bindings);
weft_guest::subscription!(runs::take_back);
