//! POST /api/courses/:id/contents: starts content-processing, orchestrated or choreographed. Malformed input, an unknown
//! course and somebody else's course are answered before anything starts.

use content_domain::upload::check;
use content_store::{asked, course, invalid};
use education::content::types::{Error, Submission};
use education::content::{processing, runs, uploads};
use serde::Deserialize;
use serde_json::json;
use weft_guest::Failure;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::saga::{self, Started, handles};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    title: String,
    kind: String,
    text: String,
    #[serde(default)]
    form: Form,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    /// A saga calls the steps in turn. `Prefer: wait` waits for its outcome.
    #[default]
    Orchestrated,
    /// The steps follow each other's events; nobody waits.
    Choreographed,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let course_id = request.id_of("course")?;
    let Body { title, kind, text, form } = request.json()?;
    check(&title, &kind, &text).map_err(invalid)?;
    if !asked(&user, &course(&course_id).await?).may_change() {
        return Err(Problem::forbidden().detail("Only the course's teacher or an admin can add content."));
    }
    let saga_id = request.command_key()?;
    let submission = Submission { course_id, author_id: user.id, title, kind, text };
    let status_url = format!("/api/sagas/{saga_id}");
    let accepted = || Response::json(202, &json!({ "saga_id": saga_id, "status_url": status_url }));
    if request.header("idempotency-key").is_some() && taken_by_other(&form, &saga_id).await? {
        return Err(Failure::key_reused().into());
    }
    let response = match form {
        Form::Choreographed => uploads::start(saga_id.clone(), submission).await.map(|()| accepted()).map_err(problem),
        Form::Orchestrated => {
            saga::check_idempotency(&request, &saga_id, &submission).await?;
            let process = processing::process(saga_id.clone(), submission);
            match saga::start_and_wait(&saga_id, request.prefer_wait().unwrap_or(0), process).await? {
                Started::Running => Ok(accepted()),
                Started::Answered(Ok(summary)) => Ok(Response::json(201, &summary)),
                Started::Answered(Err(error)) => Err(problem(error)),
            }
        }
    };
    response.map(|response| response.header("location", status_url))
}

/// Whether the other form has a run under that id.
async fn taken_by_other(form: &Form, id: &str) -> Result<bool, Problem> {
    match form {
        Form::Choreographed => match handles::status(id.to_owned()).await {
            Ok(_) => Ok(true),
            Err(handles::Error::NotFound) => Ok(false),
            Err(error) => Err(Problem::internal(&error)),
        },
        Form::Orchestrated => match runs::get(id.to_owned()).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(problem(error)),
        },
    }
}

fn problem(error: Error) -> Problem {
    match error {
        Error::Invalid(reason) => Problem::new(422, "unusable-content", "The content cannot be used").detail(reason),
        Error::NotFound | Error::Revoked => Problem::conflict("content-undone", "The content was taken back"),
        Error::Unavailable(failure) => failure.into(),
    }
}

weft_guest::http_handler!(handle);
