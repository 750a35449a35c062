//! POST /api/courses/:id/publish: the course's teacher or an admin opens it to everybody. Once open it stays so, and
//! doing it again changes nothing.

use courses_domain::lifecycle::{Command, Refused, decide};
use courses_store::history::History;
use courses_store::{Course, viewer};
use weft_guest::http::{Problem, Request, Response};
use weft_guest::operation::{Effect, command};
use weft_guest::params;
use weft_guest::sql::sql;

const PUBLISH: &str = "POST /api/courses/:id/publish";

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let id = request.id_of("course")?;
    command(PUBLISH, &request.command_key()?, &(&user.id, &id), async || {
        let history = History::load(&id).await?;
        let publish = Command::Publish { viewer: viewer(Some(&user)) };
        let events = decide(&history.state, publish).map_err(problem)?;
        let show = sql("UPDATE courses_courses SET published = $2 WHERE id = $1", params![&id, true]);
        let effect = Effect::answer(()).then_or(show.expect_rows(1), problem(Refused::Unknown));
        Ok(history.append(effect, &events))
    })
    .await?;
    let course = Course::load(&id).await?.ok_or_else(|| problem(Refused::Unknown))?;
    Ok(Response::json(200, &course))
}

fn problem(refused: Refused) -> Problem {
    match refused {
        Refused::Unknown | Refused::Taken => Problem::not_found("course"),
        Refused::NotYours => Problem::forbidden().detail("Only the course's teacher or an admin can publish it."),
    }
}

weft_guest::http_handler!(handle);
