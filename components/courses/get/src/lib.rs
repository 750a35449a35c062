//! GET /api/courses/:id: one course. For those who may not see it, it does not exist.

use courses_domain::course::may_see;
use courses_store::{Course, viewer};
use weft_guest::http::{Problem, Request, Response};

async fn handle(request: Request) -> Result<Response, Problem> {
    let id = request.id_of("course")?;
    let user = request.user();
    let course = Course::load(&id).await?;
    let visible = course.filter(|course| may_see(viewer(user.as_ref()), &course.teacher_id, course.published));
    Ok(Response::json(200, &visible.ok_or_else(|| Problem::not_found("course"))?))
}

weft_guest::http_handler!(handle);
