//! `POST /pushes` with `{"user" or "channel", "kind", "key", "data", "times"}`: pushes it, `times` over with a number in
//! each, and answers what became of the last. `GET /presence?channel=`: who is there.

use serde::Deserialize;
use serde_json::{Value, json};
use weft_guest::http::{Problem, Request, Response};
use weft_guest::push::{self, Error};

/// The most pushes of one request.
const MAX_TIMES: u32 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Push {
    user: Option<String>,
    channel: Option<String>,
    kind: String,
    key: Option<String>,
    data: Value,
    #[serde(default = "once")]
    times: u32,
}

fn once() -> u32 {
    1
}

weft_guest::http_handler!(handle);

async fn handle(request: Request) -> Result<Response, Problem> {
    if let Some(channel) = request.query("channel") {
        let presence = push::present(channel).await.map_err(refused)?;
        return Ok(Response::json(200, &json!({ "connections": presence.connections, "users": presence.users })));
    }
    let push: Push = request.json()?;
    let mut pushed = None;
    for number in 0..push.times.min(MAX_TIMES) {
        let data = json!({ "number": number, "data": push.data });
        let result = match (&push.user, &push.channel) {
            (Some(user), None) => push::to_user(user, &push.kind, push.key.as_deref(), &data).await,
            (None, Some(channel)) => push::to_channel(channel, &push.kind, &data).await,
            _ => return Err(Problem::invalid("user", "give a user or a channel")),
        };
        pushed = Some(result.map_err(refused)?);
    }
    let pushed = pushed.map(|pushed| json!({ "id": pushed.id.to_string(), "connections": pushed.connections }));
    Ok(Response::json(200, &pushed))
}

fn refused(error: Error) -> Problem {
    let (field, why) = match error {
        Error::Denied(why) => ("denied", why),
        Error::Invalid(why) => ("invalid", why),
        Error::TooLarge(why) => ("too-large", why),
        Error::Full(why) => ("full", why),
        Error::Unavailable(why) => ("unavailable", why),
        Error::Unsupported(why) => ("unsupported", why),
    };
    Problem::invalid(field, why)
}
