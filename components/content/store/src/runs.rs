//! Choreographed runs: each step reacts to the event before it and commits its effect, its event and its line of the run
//! together, under the event's id. So an event that is delivered again does nothing again, and none is lost. A step that
//! refuses for good commits `content.failed` in place of its effect.

use education::content::types::{Error, Submission};
use education::events::content::{Content, Happened};
use weft_guest::messaging::{Delivery, Refusal, decode};
use weft_guest::operation::{Effect, operation};
use weft_guest::sql::{Statement, sql};
use weft_guest::{clock, params};

/// The steps, under the names that they have in the orchestrated form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Stores the text.
    Upload,
    /// Makes its summary.
    Process,
    /// Lets searches find it.
    Index,
    /// Publishes it and tells of it.
    Notify,
}

impl Stage {
    /// What the step announces when it is done.
    pub fn announces(self) -> Happened {
        match self {
            Self::Upload => Happened::Uploaded,
            Self::Process => Happened::Processed,
            Self::Index => Happened::Indexed,
            Self::Notify => Happened::Published,
        }
    }

    fn line(self) -> Line<'static> {
        let (number, name) = match self {
            Self::Upload => (1, "upload"),
            Self::Process => (2, "process"),
            Self::Index => (3, "index"),
            Self::Notify => (4, "notify"),
        };
        Line { number, name, undo: false, status: "completed", error: None }
    }
}

/// One line of a run.
struct Line<'a> {
    number: u32,
    name: &'a str,
    undo: bool,
    status: &'a str,
    error: Option<&'a str>,
}

impl Line<'_> {
    fn write(&self, run: &str) -> Statement {
        sql(
            "INSERT INTO content_run_steps (run_id, number, name, undo, status, error, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            params![run, self.number, self.name, self.undo, self.status, self.error, clock::now_rfc3339()],
        )
    }
}

/// What a step does when the event before it comes: `work` gets the content's id and the event's, which is the key by
/// which the step's rows are written.
///
/// # Errors
/// If the event is none of a run (never again), or the step could not tell (again later).
pub async fn react(
    delivery: Delivery,
    stage: Stage,
    work: impl AsyncFn(&str, &str) -> Result<Vec<Statement>, Error>,
) -> Result<(), Refusal> {
    let Delivery { event, subscription, .. } = delivery;
    let (content, run) = (decode::<Content>(&event)?, run_of(event.correlation_id.clone())?);
    operation(&subscription, &event.id, &event.data, async || match work(&content.content_id, &event.id).await {
        Ok(statements) => {
            let done = Effect::answer(()).event(content.notice(stage.announces(), &run)).then(stage.line().write(&run));
            let done = statements.into_iter().fold(done, Effect::then);
            Ok(if stage == Stage::Notify { done.then(stand(&run, "completed")) } else { done })
        }
        Err(Error::Unavailable(failure)) => Err(failure.into()),
        Err(definite) => {
            let reason = reason(definite);
            let line = Line { status: "failed", error: Some(&reason), ..stage.line() };
            let failed = Content { reason: Some(reason.clone()), ..content.clone() };
            Ok(Effect::answer(())
                .event(failed.notice(Happened::Failed, &run))
                .then(line.write(&run))
                .then(fail(&run, &reason)))
        }
    })
    .await
}

/// What the first step does when a later one has failed: everything that the run has left goes at once.
///
/// # Errors
/// As [`react`].
pub async fn take_back(delivery: Delivery) -> Result<(), Refusal> {
    let Delivery { event, subscription, .. } = delivery;
    let (content, run) = (decode::<Content>(&event)?, run_of(event.correlation_id.clone())?);
    operation(&subscription, &event.id, &event.data, async || {
        let delete = |table: &str, column: &str| {
            sql(&format!("DELETE FROM {table} WHERE {column} = $1"), params![&content.content_id])
        };
        let line = Line { number: 5, undo: true, status: "compensated", ..Stage::Upload.line() };
        Ok(Effect::answer(())
            .then(delete("content_index", "content_id"))
            .then(delete("content_terms", "content_id"))
            .then(delete("content_results", "content_id"))
            .then(delete("content_contents", "id"))
            .then(line.write(&run))
            .then(stand(&run, "compensated")))
    })
    .await
}

/// The lines of a run that begins with content that was just uploaded.
pub fn begin(run: &str, content_id: &str, submission: &Submission) -> [Statement; 2] {
    let insert = sql(
        "INSERT INTO content_runs (id, content_id, author_id, status) VALUES ($1, $2, $3, 'running')",
        params![run, content_id, &submission.author_id],
    );
    [insert, Stage::Upload.line().write(run)]
}

fn run_of(correlation_id: Option<String>) -> Result<String, Refusal> {
    correlation_id.ok_or_else(|| Refusal::Reject("the event has no correlation id, so it is of no run".to_owned()))
}

fn stand(run: &str, status: &str) -> Statement {
    sql("UPDATE content_runs SET status = $2 WHERE id = $1", params![run, status])
}

fn fail(run: &str, reason: &str) -> Statement {
    sql("UPDATE content_runs SET status = 'compensating', error = $2 WHERE id = $1", params![run, reason])
}

/// A definite error, in the words that the orchestrated form's sagas show.
fn reason(error: Error) -> String {
    match error {
        Error::Invalid(reason) => format!("invalid: {reason}"),
        Error::NotFound => "not-found".to_owned(),
        Error::Revoked => "revoked".to_owned(),
        Error::Unavailable(failure) => format!("unavailable: {}", failure.message),
    }
}
