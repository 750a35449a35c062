//! GET /api/recommendations: the courses that suit who asks, the best first.

use analytics_suggesting::{Error, suggest};
use education::analytics::suggestions::Suggestion;
use serde::Serialize;
use weft_guest::http::{Problem, Request, Response};

const LIMIT_DEFAULT: u32 = 10;
const LIMIT_MAX: u32 = 50;

#[derive(Serialize)]
struct Answer {
    items: Vec<Item>,
    /// Whether they are ordered by how well they suit.
    ranked: bool,
}

#[derive(Serialize)]
struct Item {
    course_id: String,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    reasons: Vec<String>,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let limit = request.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let suggested = suggest(user.id, limit).await.map_err(|error| match error {
        Error::Unavailable(failure) => failure.into(),
        Error::Internal(why) => Problem::internal(&why),
    })?;
    let items = suggested.items.into_iter().map(item).collect();
    Ok(Response::json(200, &Answer { items, ranked: suggested.ranked }))
}

fn item(one: Suggestion) -> Item {
    Item { course_id: one.course_id, title: one.title, score: one.score, reasons: one.reasons }
}

weft_guest::http_handler!(handle);
