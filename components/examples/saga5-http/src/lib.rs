//! `POST /sagas?decline=`: runs one `example:bench/saga5` and answers when it has ended: 200, or 409 if it declined.

use example_bindings::bench::saga5::{self, Error};
use serde_json::json;
use weft_guest::http::{Problem, Request, Response};

weft_guest::http_handler!(handle);

async fn handle(request: Request) -> Result<Response, Problem> {
    let key = request.command_key()?;
    let decline = request.query("decline") == Some("true");
    let steps = saga5::run(key.clone(), decline).await.map_err(|error| match error {
        Error::Declined => Problem::conflict("declined", "The saga declined"),
        Error::Unavailable(failure) => failure.into(),
    })?;
    Ok(Response::json(200, &json!({ "saga_id": key, "steps": steps })))
}
