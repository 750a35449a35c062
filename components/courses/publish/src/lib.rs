//! POST /api/courses/:id/publish: the course's teacher or an admin opens it to everybody. Once open it stays so, and
//! doing it again changes nothing.

use courses_domain::course::may_change;
use courses_store::{Course, viewer};
use weft_guest::http::{Problem, Request, Response};
use weft_guest::operation::{Effect, operation};
use weft_guest::params;
use weft_guest::sql::sql;

const PUBLISH: &str = "POST /api/courses/:id/publish";

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let id = request.id_of("course")?;
    let unknown = || Problem::not_found("course");
    let course = Course::load(&id).await?.ok_or_else(unknown)?;
    if !may_change(viewer(Some(&user)), &course.teacher_id) {
        return Err(Problem::forbidden().detail("Only the course's teacher or an admin can publish it."));
    }
    operation(PUBLISH, &request.command_key()?, &(&user.id, &id), async || {
        let publish = sql("UPDATE courses_courses SET published = $2 WHERE id = $1", params![&id, true]);
        Ok(Effect::answer(()).then_or(publish.expect_rows(1), unknown()))
    })
    .await?;
    let course = Course::load(&id).await?.ok_or_else(unknown)?;
    Ok(Response::json(200, &course))
}

weft_guest::http_handler!(handle);
