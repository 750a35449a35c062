//! GET /api/users/me: one's own account.

use identity_store::profile;
use weft_guest::http::{Problem, Request, Response};

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    Ok(Response::json(200, &profile::load(&user.id).await?))
}

weft_guest::http_handler!(handle);
