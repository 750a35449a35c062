//! `GET /api/admin/enrollments?status=&limit=&cursor=`: all enrollments for admins, oldest first, with their number.

use enrollment_domain::status::{self, Status};
use serde::Serialize;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::sql::{Error, Row, query, query_first};
use weft_guest::{cursor, params};

weft_guest::http_handler!(handle);

#[derive(Serialize)]
struct Enrollment {
    id: String,
    student_id: String,
    course_id: String,
    status: String,
    payment_id: Option<String>,
    grade: Option<String>,
    created_at: String,
}

#[derive(Serialize)]
struct Page {
    items: Vec<Enrollment>,
    next_cursor: Option<String>,
    total: u64,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    if !request.require_user()?.is_admin() {
        return Err(Problem::forbidden());
    }
    let status = request.query("status").map(parse_status).transpose()?.map(Status::as_str);
    let limit = request.limit(50, 500)?;
    let [after] = request.cursor::<1>()?.unwrap_or_default();
    let select = "SELECT id, student_id, course_id, status, payment_id, grade, created_at FROM enrollment_enrollments \
                  WHERE ($1 IS NULL OR status = $1) AND id > $2 ORDER BY id LIMIT $3";
    // One more than asked for tells whether there is a next page.
    let mut rows = query(select, params![status, after, limit + 1]).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let items = rows.iter().map(enrollment).collect::<Result<Vec<_>, _>>()?;
    let next_cursor = items.last().filter(|_| more).map(|last| cursor::encode(&[&last.id]));
    let count = "SELECT COUNT(*) AS total FROM enrollment_enrollments WHERE ($1 IS NULL OR status = $1)";
    let total = query_first(count, params![status]).await?.map_or(Ok(0), |row| row.count("total"))?;
    Ok(Response::json(200, &Page { items, next_cursor, total }))
}

fn parse_status(text: &str) -> Result<Status, Problem> {
    let all = status::ALL.map(Status::as_str).join(", ");
    Status::parse(text).ok_or_else(|| Problem::invalid("status", format!("has to be one of {all}")))
}

fn enrollment(row: &Row) -> Result<Enrollment, Error> {
    Ok(Enrollment {
        id: row.text("id")?,
        student_id: row.text("student_id")?,
        course_id: row.text("course_id")?,
        status: row.text("status")?,
        payment_id: row.optional_text("payment_id")?,
        grade: row.optional_text("grade")?,
        created_at: row.text("created_at")?,
    })
}
