//! `GET /api/courses/:id/results`: how the submissions of a course were marked. `:id` is the course's code, such as
//! `AAA-2013J`, as in the events.

use assessment_domain::Tally;
use serde::Serialize;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::params;
use weft_guest::sql::{Error, Row, query};

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
    let select = "SELECT submitted, scored, score_sum, passed FROM assessment_results WHERE course = $1";
    let rows = query(select, params![&course]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("results of the course"))?;
    let tally = tally(row)?;
    let Tally { submitted, scored, passed, .. } = tally;
    Ok(Response::json(200, &Results { course, submitted, scored, average: tally.average(), passed }))
}

fn tally(row: &Row) -> Result<Tally, Error> {
    Ok(Tally {
        submitted: row.count("submitted")?,
        scored: row.count("scored")?,
        score_sum: row.count("score_sum")?,
        passed: row.count("passed")?,
    })
}

weft_guest::http_handler!(handle);
