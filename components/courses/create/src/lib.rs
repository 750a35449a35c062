//! POST /api/courses: a teacher or an admin describes a course. It is unpublished until its teacher says otherwise.

use courses_domain::course::Draft;
use courses_store::{Course, invalid};
use serde::{Deserialize, Serialize};
use weft_guest::http::{Problem, Request, Response};
use weft_guest::ids;
use weft_guest::operation::{Effect, operation};
use weft_guest::sql::{Value, query};

const CREATE: &str = "POST /api/courses";

#[derive(Clone, Serialize, Deserialize)]
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
    let body: Body = request.json()?;
    let input = (&user.id, &body);
    let course = operation(CREATE, &request.command_key()?, &input, async || {
        let Body { code, title, description, capacity, price, currency, prerequisites } = body.clone();
        let draft = Draft { code, title, description, capacity, price, currency, prerequisites };
        let checked = draft.check().map_err(invalid)?;
        all_exist(&checked.prerequisites).await?;
        let course = Course::new(ids::uuid(), &user.id, checked, false);
        let insert = course.insert();
        Ok::<_, Problem>(Effect::answer(course).then(insert))
    })
    .await?;
    Ok(Response::json(201, &course).header("location", format!("/api/courses/{}", course.id)))
}

/// Whether the prerequisites are courses. None is ever deleted, so that they still are when the course is stored.
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
