//! GET /api/contents/:id: content with its text and terms. For those who may not read it, it does not exist.

use content_store::{Content, asked, course};
use serde::Serialize;
use weft_guest::http::{Problem, Request, Response};

#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    content: Content,
    terms: Vec<String>,
    text: String,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let id = request.id_of("content")?;
    let unknown = || Problem::not_found("content");
    let content = Content::load(&id).await?.ok_or_else(unknown)?;
    let course = course(&content.course_id).await?;
    let asked = asked(&user, &course);
    if !(asked.may_change() || asked.may_read() && content.is_published()) {
        return Err(unknown());
    }
    let (terms, text) = (Content::terms(&id).await?, Content::text(&id).await?);
    Ok(Response::json(200, &Whole { content, terms, text }))
}

weft_guest::http_handler!(handle);
