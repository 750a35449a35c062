//! `GET /api/enrollments`: the enrollments of who asks, oldest first.

use serde::Serialize;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::params;
use weft_guest::sql::{Error, Row, query};

weft_guest::http_handler!(handle);

#[derive(Serialize)]
struct Enrollment {
    id: String,
    course_id: String,
    status: String,
    payment_id: Option<String>,
}

#[derive(Serialize)]
struct Enrollments {
    items: Vec<Enrollment>,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let select = "SELECT id, course_id, status, payment_id FROM enrollment_enrollments \
                  WHERE student_id = $1 ORDER BY id LIMIT 1000";
    let rows = query(select, params![&user.id]).await?;
    let items = rows.iter().map(enrollment).collect::<Result<_, _>>()?;
    Ok(Response::json(200, &Enrollments { items }))
}

fn enrollment(row: &Row) -> Result<Enrollment, Error> {
    Ok(Enrollment {
        id: row.text("id")?,
        course_id: row.text("course_id")?,
        status: row.text("status")?,
        payment_id: row.optional_text("payment_id")?,
    })
}
