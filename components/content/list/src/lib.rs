//! GET /api/courses/:id/contents: the content of a course, oldest first, that which holds every word of `query` among its
//! terms if there is one. What is not published yet is shown to the course's teacher and to admins alone.

use content_domain::search;
use content_store::{Content, asked, course, invalid};
use serde::Serialize;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::sql::query;
use weft_guest::{cursor, params};

const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u32 = 100;

#[derive(Serialize)]
struct Page {
    items: Vec<Content>,
    next_cursor: Option<String>,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let course = course(&request.id_of("course")?).await?;
    let asked = asked(&user, &course);
    if !asked.may_read() {
        return Err(Problem::not_found("course"));
    }
    let limit = request.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let [after] = request.cursor::<1>()?.unwrap_or_default();
    let terms = search::terms(request.query("query")).map_err(invalid)?;

    // One more than asked for tells whether there is a next page.
    let mut parameters = params![&course.id, after, asked.may_change(), limit + 1];
    let mut text = format!("{} WHERE course_id = $1 AND id > $2 AND ($3 OR status = 'published')", Content::SELECT);
    for term in terms {
        parameters.push(term.into());
        text += &format!(" AND id IN (SELECT content_id FROM content_index WHERE term = ${})", parameters.len());
    }
    let rows = query(&format!("{text} ORDER BY id LIMIT $4"), parameters).await?;
    let mut items = rows.iter().map(Content::from_row).collect::<Result<Vec<_>, _>>()?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_cursor = items.last().filter(|_| more).map(|last| cursor::encode(&[&last.id]));
    Ok(Response::json(200, &Page { items, next_cursor }))
}

weft_guest::http_handler!(handle);
