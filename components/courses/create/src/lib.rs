//! POST /api/courses: a teacher or an admin describes a course, and the course-creation saga makes it. It is unpublished
//! until its teacher says otherwise. What is wrong with the description is answered before the saga starts.

use courses_domain::course::Draft;
use courses_store::invalid;
use education::courses::creation::{self, NewCourse};
use education::courses::types::{Draft as Description, Error};
use serde::Deserialize;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::saga;
use weft_guest::sql::{Value, query};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    code: String,
    title: String,
    #[serde(default)]
    description: String,
    capacity: u32,
    #[serde(default)]
    price: u64,
    currency: Option<String>,
    #[serde(default)]
    prerequisites: Vec<String>,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let Body { code, title, description, capacity, price, currency, prerequisites } = request.json()?;
    let draft = Description { code, title, description, capacity, price, currency, prerequisites };
    let input = NewCourse { teacher_id: user.id, draft };
    // The key of the request is the saga's: a request that is repeated under its Idempotency-Key starts nothing anew.
    let key = request.command_key()?;
    saga::check_idempotency(&request, &key, &input).await?;
    check(input.draft.clone()).await?;
    let course = creation::create(key, input).await.map_err(|error| match error {
        Error::Invalid(reason) => Problem::new(422, "invalid-course", "The course is not valid").detail(reason),
        Error::NotFound | Error::Revoked => Problem::conflict("creation-undone", "The course was taken back"),
        Error::Unavailable(failure) => failure.into(),
    })?;
    Ok(Response::json(201, &course).header("location", format!("/api/courses/{}", course.id)))
}

async fn check(draft: Description) -> Result<(), Problem> {
    let Description { code, title, description, capacity, price, currency, prerequisites } = draft;
    let draft = Draft { code, title, description, capacity, price, currency, prerequisites };
    all_exist(&draft.check().map_err(invalid)?.prerequisites).await
}

/// Whether the prerequisites are courses. None that is known is ever deleted, so that they still are when the course is
/// stored.
async fn all_exist(ids: &[String]) -> Result<(), Problem> {
    if ids.is_empty() {
        return Ok(());
    }
    let places: Vec<String> = (1..=ids.len()).map(|number| format!("${number}")).collect();
    let text = format!("SELECT id FROM courses_courses WHERE id IN ({})", places.join(", "));
    let rows = query(&text, ids.iter().map(Value::from).collect()).await?;
    let known = rows.iter().map(|row| row.text("id")).collect::<Result<Vec<_>, _>>()?;
    match ids.iter().find(|id| !known.contains(id)) {
        Some(id) => Err(Problem::invalid("prerequisites", format!("there is no course {id}"))),
        None => Ok(()),
    }
}

weft_guest::http_handler!(handle);
