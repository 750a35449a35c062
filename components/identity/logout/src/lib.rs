//! POST /api/auth/logout: ends the family of a refresh token. A token that is worth nothing is as good as logged out.

use identity_domain::refresh;
use identity_store::sessions::end_family;
use serde::Deserialize;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::operation::{Effect, operation};
use weft_guest::params;
use weft_guest::sql::query_first;

const LOGOUT: &str = "POST /api/auth/logout";

#[derive(Deserialize)]
struct Body {
    refresh_token: String,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let body: Body = request.json()?;
    let Some(digest) = refresh::digest(&body.refresh_token) else { return Ok(Response::no_content()) };
    let text = "SELECT family_id FROM identity_refresh_tokens WHERE digest = $1";
    if let Some(row) = query_first(text, params![&digest]).await? {
        let family = row.text("family_id")?;
        let effect = async || Ok(Effect::answer(()).then(end_family(&family)));
        operation::<_, (), Problem>(LOGOUT, &family, &(), effect).await?;
    }
    Ok(Response::no_content())
}

weft_guest::http_handler!(handle);
