//! GET /api/notifications/preferences: how one is told besides in the application.

use serde_json::json;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::params;
use weft_guest::sql::query_first;

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let select = "SELECT sms_number FROM notifications_preferences WHERE user_id = $1";
    let row = query_first(select, params![&user.id]).await?;
    let number = row.map(|row| row.text("sms_number")).transpose()?;
    let sms = number.map(|number| json!({ "number": number }));
    Ok(Response::json(200, &json!({ "sms": sms })))
}

weft_guest::http_handler!(handle);
