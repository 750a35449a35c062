//! GET /api/courses: the published courses, oldest first, those that hold the words of `query` if there is one. A page
//! ends where the next begins, whatever is published in between.

use courses_domain::search;
use courses_store::{Course, invalid};
use serde::Serialize;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::sql::query;
use weft_guest::{cursor, params};

const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u32 = 100;

#[derive(Serialize)]
struct Page {
    items: Vec<Course>,
    next_cursor: Option<String>,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let limit = request.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let [after] = request.cursor::<1>()?.unwrap_or_default();
    let pattern = search::pattern(request.query("query")).map_err(invalid)?;
    let text = format!(
        r"SELECT {} FROM courses_courses JOIN courses_search ON course_id = id
          WHERE published AND id > $1 AND body LIKE $2 ESCAPE '\' ORDER BY id LIMIT $3",
        Course::COLUMNS
    );
    // One more than asked for tells whether there is a next page.
    let rows = query(&text, params![after, pattern.unwrap_or_else(|| "%".to_owned()), limit + 1]).await?;
    let mut items = rows.iter().map(Course::from_row).collect::<Result<Vec<_>, _>>()?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_cursor = items.last().filter(|_| more).map(|last| cursor::encode(&[&last.id]));
    Ok(Response::json(200, &Page { items, next_cursor }))
}

weft_guest::http_handler!(handle);
