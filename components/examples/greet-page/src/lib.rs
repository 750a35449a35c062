//! `GET /page?name=`: a page of which the greeting is an optional part: without `example:greet/greeter` it is answered all the
//! same, and says that the greeting is missing.

use example_bindings::greet::greeter::{self, Error};
use serde_json::json;
use weft_guest::http::{Problem, Request, Response};

weft_guest::http_handler!(handle);

async fn handle(request: Request) -> Result<Response, Problem> {
    let name = request.query("name").unwrap_or("world").to_string();
    let greeting = match greeter::greet(request.command_key()?, name).await {
        Ok(greeting) => Some(greeting),
        Err(Error::Nameless) => return Err(Problem::invalid("name", "has to be a name")),
        // Whatever keeps it from greeting, the rest of the page is worth having.
        Err(Error::Unavailable(_)) => None,
    };
    Ok(Response::json(200, &json!({ "title": "A page", "greeting": greeting })))
}
