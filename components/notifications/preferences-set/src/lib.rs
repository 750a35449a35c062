//! PUT /api/notifications/preferences: says how one wants to be told besides in the application. The channel itself says
//! whether an address is one, and in which form it is kept; without that channel, 503.

use education::notifications::channel::{self, Error};
use serde::Deserialize;
use serde_json::json;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::operation::{Effect, operation};
use weft_guest::sql::sql;
use weft_guest::{clock, params};

const SET: &str = "PUT /api/notifications/preferences";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    /// Null for no text messages.
    sms: Option<Sms>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sms {
    number: String,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let Body { sms } = request.json()?;
    let number = sms.map(|sms| channel::check(&sms.number)).transpose().map_err(refused)?;
    let input = (&user.id, &number);
    operation(SET, &request.command_key()?, &input, async || {
        let statement = match &number {
            Some(number) => sql(
                "INSERT INTO notifications_preferences (user_id, sms_number, updated_at) VALUES ($1, $2, $3) \
                 ON CONFLICT (user_id) DO UPDATE SET sms_number = excluded.sms_number, updated_at = excluded.updated_at",
                params![&user.id, number, clock::now_rfc3339()],
            ),
            None => sql("DELETE FROM notifications_preferences WHERE user_id = $1", params![&user.id]),
        };
        Ok::<_, Problem>(Effect::answer(()).then(statement))
    })
    .await?;
    let sms = number.map(|number| json!({ "number": number }));
    Ok(Response::json(200, &json!({ "sms": sms })))
}

fn refused(error: Error) -> Problem {
    match error {
        Error::Invalid(why) | Error::Refused(why) => Problem::invalid("sms.number", why),
        Error::Unavailable(failure) => failure.into(),
    }
}

weft_guest::http_handler!(handle);
