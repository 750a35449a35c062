//! `GET /api/courses/:id/results`: how the submissions of a course were marked. `:id` is the course's code, such as
//! `AAA-2013J`, as in the events.

use assessment_domain::Tally;
use serde::Serialize;
use weft_guest::http::{Problem, Request, Response};

#[derive(Serialize)]
struct Results {
    course: String,
    submitted: u64,
    scored: u64,
    /// Null where nothing has a score.
    average: Option<f64>,
    passed: u64,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let course = request.path_param("id").ok_or_else(|| Problem::not_found("course"))?;
    let found = assessment_store::of_courses(&[course]).await?.into_iter().next();
    let (course, tally) = found.ok_or_else(|| Problem::not_found("results of the course"))?;
    let Tally { submitted, scored, passed, .. } = tally;
    Ok(Response::json(200, &Results { course, submitted, scored, average: tally.average(), passed }))
}

weft_guest::http_handler!(handle);
