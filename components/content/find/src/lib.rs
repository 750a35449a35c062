//! GET /api/contents: searches the content of all courses, out of the read model of the projection content-search, which
//! follows what happens a moment later. Who sees what is as in the listing of one course: published content of published
//! courses is for everybody who is signed in, the rest for the course's teacher and admins.

use weft_guest::http::{Problem, Request, Response};
use weft_guest::params;
use weft_guest::read_model::{self, Column, Kind, ReadModel, Scope};

const CONTENTS: ReadModel = ReadModel {
    table: "content_search",
    key: "content_id",
    columns: &[
        Column::new("content_id", Kind::Text).filtered().sorted(),
        Column::new("course_id", Kind::Text).filtered().sorted(),
        Column::new("author_id", Kind::Text).filtered(),
        Column::new("title", Kind::Text).filtered().sorted(),
        Column::new("kind", Kind::OneOf(&["article", "video"])).filtered().sorted(),
        Column::new("status", Kind::OneOf(&["uploaded", "published"])).filtered().sorted(),
        Column::new("words", Kind::Integer).filtered(),
        Column::new("minutes", Kind::Integer).filtered(),
        Column::new("excerpt", Kind::Text),
        Column::new("uploaded_at", Kind::Text).filtered().sorted(),
    ],
    sort: "uploaded_at",
    terms: Some("content_search_terms"),
};

const VISIBLE: &str = "status = 'published' AND course_id IN (SELECT course_id FROM content_search_courses WHERE published) \
                       OR course_id IN (SELECT course_id FROM content_search_courses WHERE teacher_id = $1)";

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let scope = if user.is_admin() { Scope::all() } else { Scope::only(VISIBLE, params![&user.id]) };
    Ok(Response::json(200, &read_model::answer(&CONTENTS, &request, scope).await?))
}

weft_guest::http_handler!(handle);
