//! GET /api/courses/:id/enrollments: who is in a course, for its teacher and admins, out of the read model of the
//! projection course-enrollments, which follows what happens a moment later.

use education::courses::catalog;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::params;
use weft_guest::read_model::{self, Column, Kind, ReadModel, Scope};

const ENROLLMENTS: ReadModel = ReadModel {
    table: "enrollment_course_enrollments",
    key: "enrollment_id",
    columns: &[
        Column::new("enrollment_id", Kind::Text).filtered().sorted(),
        Column::new("student_id", Kind::Text).filtered().sorted(),
        Column::new("status", Kind::OneOf(&["active", "completed", "cancelled"])).filtered().sorted(),
        Column::new("grade", Kind::Text).filtered(),
        Column::new("since", Kind::Text).filtered().sorted(),
        Column::new("updated_at", Kind::Text).filtered().sorted().on_demand(),
    ],
    sort: "since",
    terms: None,
};

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let id = request.id_of("course")?;
    let course = catalog::get(id).await.map_err(|error| match error {
        catalog::Error::NotFound => Problem::not_found("course"),
        catalog::Error::Unavailable(failure) => failure.into(),
    })?;
    if !user.is_admin() && user.id != course.teacher_id {
        return Err(Problem::forbidden().detail("Only the course's teacher or an admin can see who is in it."));
    }
    let scope = Scope::only("course_id = $1", params![course.id]);
    Ok(Response::json(200, &read_model::answer(&ENROLLMENTS, &request, scope).await?))
}

weft_guest::http_handler!(handle);
