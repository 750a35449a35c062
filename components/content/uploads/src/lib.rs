//! education:content/uploads: stores content that is not published yet, and takes that back. In the choreographed form it
//! announces the upload, and listens for `content.failed`, by which the upload is deleted.

use content_domain::upload::check;
use content_store::runs::{self, Stage};
use education::content::types::Submission;
use education::events::content::Content;
use education::exports::uploads::{Error, Guest, export};
use weft_guest::operation::{Effect, operation, revoke};
use weft_guest::sql::{Statement, sql};
use weft_guest::{clock, ids, params};

const UPLOAD: &str = "education:content/uploads@1.0.0#upload";
const START: &str = "education:content/uploads@1.0.0#start";

struct Uploads;

impl Guest for Uploads {
    async fn upload(key: String, content_id: String, submission: Submission) -> Result<(), Error> {
        operation(UPLOAD, &key, &(&content_id, &submission), async || {
            let (insert, _) = store(&content_id, &submission, &key)?;
            let refusal = Error::Invalid("there is content with this id".to_owned());
            Ok(Effect::answer(()).then_or(insert, refusal))
        })
        .await
    }

    async fn delete_upload(key: String) -> Result<(), Error> {
        let delete = sql("DELETE FROM content_contents WHERE uploaded_by = $1", params![&key]);
        revoke(UPLOAD, &key, vec![delete], Vec::new()).await.map(drop)
    }

    async fn start(key: String, submission: Submission) -> Result<(), Error> {
        operation(START, &key, &submission, async || {
            let content_id = ids::uuid();
            let (insert, content) = store(&content_id, &submission, &key)?;
            let [run, line] = runs::begin(&key, &content_id, &submission);
            let uploaded = content.notice(Stage::Upload.announces(), &key);
            Ok(Effect::answer(()).then(insert).then(run).then(line).event(uploaded))
        })
        .await
    }
}

fn store(id: &str, submission: &Submission, by: &str) -> Result<(Statement, Content), Error> {
    let Submission { course_id, author_id, title, kind, text } = submission;
    if ![id, course_id, author_id].into_iter().all(ids::is_uuid) {
        return Err(Error::Invalid("an id is not a UUID".to_owned()));
    }
    let (title, _) = check(title, kind, text).map_err(|invalid| Error::Invalid(invalid.to_string()))?;
    let insert = sql(
        "INSERT INTO content_contents (id, course_id, author_id, title, kind, text, status, created_at, uploaded_by) \
         VALUES ($1, $2, $3, $4, $5, $6, 'uploaded', $7, $8)",
        params![id, course_id, author_id, &title, kind, text, clock::now_rfc3339(), by],
    );
    let (content_id, course_id, author_id) = (id.to_owned(), course_id.clone(), author_id.clone());
    Ok((insert, Content { content_id, course_id, author_id, content_title: title, reason: None }))
}

export!(Uploads with_types_in education::exports::uploads::bindings);
weft_guest::subscription!(runs::take_back);
