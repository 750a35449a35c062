//! Choreographed runs: each step reacts to the event before it and commits its effect, its event in the content's stream
//! and its line of the run together, under the event's id. So an event that is delivered again does nothing again, and none is lost. A step that
//! refuses for good commits `content.failed` in place of its effect.

use content_domain::lifecycle::Command;
use education::content::types::{Error, Submission};
use education::events::content::{Content, Happened};
use weft_guest::messaging::{Delivery, Refusal, decode};
use weft_guest::operation::{Effect, command};
use weft_guest::sql::{Statement, sql};
use weft_guest::{clock, params};

use crate::history::{History, Route};

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

/// What a step wants to happen in both forms: to the content, and to the tables that are kept of it.
pub struct Work {
    /// For the domain to decide on.
    pub command: Command,
    /// Run where the domain agrees.
    pub statements: Vec<Statement>,
}

/// What a step does when the event before it comes: `work` gets the content's id and the event's, which is the key by
/// which the step's rows are written. What happens is published as the next step's event.
///
/// # Errors
/// If the event is none of a run (never again), or the step could not tell (again later).
pub async fn react(
    delivery: Delivery,
    stage: Stage,
    work: impl AsyncFn(&str, &str) -> Result<Work, Error>,
) -> Result<(), Refusal> {
    let Delivery { event, subscription, .. } = delivery;
    let (content, run) = (decode::<Content>(&event)?, run_of(event.correlation_id.clone())?);
    command(&subscription, &event.id, &event.data, async || {
        let done = match work(&content.content_id, &event.id).await {
            Ok(work) => done(work, &content.content_id, stage, &run).await,
            Err(error) => Err(error),
        };
        match done {
            Err(Error::Unavailable(failure)) => Err(failure.into()),
            Err(definite) => failed(&content, reason(definite), stage, &run).await,
            Ok(done) => Ok(done),
        }
    })
    .await
}

async fn done(work: Work, id: &str, stage: Stage, run: &str) -> Result<Effect<(), Refusal>, Error> {
    let Work { command, statements } = work;
    let effect = statements.into_iter().fold(Effect::answer(()).then(stage.line().write(run)), Effect::then);
    let (effect, _) = History::load(id).await?.apply(effect, command, Route::Notices(run))?;
    Ok(if stage == Stage::Notify { effect.then(stand(run, "completed")) } else { effect })
}

async fn failed(content: &Content, reason: String, stage: Stage, run: &str) -> Result<Effect<(), Refusal>, Refusal> {
    let line = Line { status: "failed", error: Some(&reason), ..stage.line() };
    let effect = || Effect::answer(()).then(line.write(run)).then(fail(run, &reason));
    let history = History::load(&content.content_id).await?;
    Ok(match history.apply(effect(), Command::Fail(reason.clone()), Route::Notices(run)) {
        Ok((effect, true)) => effect,
        // Of content that is gone the run has to hear all the same.
        Ok((_, false)) | Err(_) => {
            let failed = Content { reason: Some(reason.clone()), ..content.clone() };
            effect().event(failed.notice(Happened::Failed, run))
        }
    })
}

/// What the first step does when a later one has failed: everything that the run has left goes at once.
///
/// # Errors
/// As [`react`].
pub async fn take_back(delivery: Delivery) -> Result<(), Refusal> {
    let Delivery { event, subscription, .. } = delivery;
    let (content, run) = (decode::<Content>(&event)?, run_of(event.correlation_id.clone())?);
    command(&subscription, &event.id, &event.data, async || {
        let line = Line { number: 5, undo: true, status: "compensated", ..Stage::Upload.line() };
        let effect = deletion(&content.content_id).into_iter().fold(Effect::answer(()), Effect::then);
        let effect = effect.then(line.write(&run)).then(stand(&run, "compensated"));
        let history = History::load(&content.content_id).await?;
        history.apply(effect, Command::Delete, Route::Facts).map(|(effect, _)| effect).map_err(unwilling)
    })
    .await
}

/// The statements that delete content and all that was made of it.
#[must_use]
pub fn deletion(id: &str) -> [Statement; 4] {
    let delete = |table: &str, column: &str| sql(&format!("DELETE FROM {table} WHERE {column} = $1"), params![id]);
    [
        delete("content_index", "content_id"),
        delete("content_terms", "content_id"),
        delete("content_results", "content_id"),
        delete("content_contents", "id"),
    ]
}

fn unwilling(error: Error) -> Refusal {
    match error {
        Error::Unavailable(failure) => failure.into(),
        definite => Refusal::Reject(reason(definite)),
    }
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
