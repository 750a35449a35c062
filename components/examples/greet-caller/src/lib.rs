//! `GET /greet?name=`: lets `example:greet/greeter` greet. The smallest function that calls another.

use example_bindings::greet::greeter::{self, Error};
use serde_json::json;
use weft_guest::http::{Problem, Request, Response};

weft_guest::http_handler!(handle);

async fn handle(request: Request) -> Result<Response, Problem> {
    let name = request.query("name").unwrap_or("world").to_string();
    let greeting = greeter::greet(request.command_key()?, name).await.map_err(|error| match error {
        Error::Nameless => Problem::invalid("name", "has to be a name"),
        Error::Unavailable(failure) => failure.into(),
    })?;
    Ok(Response::json(200, &json!({ "message": greeting })))
}
