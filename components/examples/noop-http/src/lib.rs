//! `example:bench/noop` done by a service outside: each call is one request to it, with the step's key as its
//! `Idempotency-Key`.

use example_bindings::exports::noop::{Error, Guest};
use weft_guest::bindings::wasi::http::client;
use weft_guest::bindings::wasi::http::types::{ErrorCode, Fields, Method, Request, Scheme};
use weft_guest::bindings::wit_future;
use weft_guest::{Failure, variables};

struct Component;

impl Guest for Component {
    async fn run(key: String) -> Result<(), Error> {
        post("/run", key).await
    }

    async fn undo(key: String) -> Result<(), Error> {
        post("/undo", key).await
    }
}

async fn post(path: &str, key: String) -> Result<(), Error> {
    let service = variables::get("steps_address").await.map_err(|error| not_sent(&error))?;
    let request = request(&service, path, key)?;
    let response = client::send(request).await.map_err(failed)?;
    match response.get_status_code() {
        204 => Ok(()),
        status => Err(Error::Unavailable(Failure::unknown(format!("{path} was answered {status}")))),
    }
}

fn request(service: &str, path: &str, key: String) -> Result<Request, Error> {
    let headers = [("idempotency-key".to_owned(), key.into_bytes())];
    let headers = Fields::from_list(&headers).map_err(|error| not_sent(&error))?;
    // A request without a body still has trailers: none.
    let (_trailers, trailers_reader) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(headers, None, trailers_reader, None);
    let set = request
        .set_method(&Method::Post)
        .and_then(|()| request.set_scheme(Some(&Scheme::Http)))
        .and_then(|()| request.set_authority(Some(service)))
        .and_then(|()| request.set_path_with_query(Some(path)));
    set.map_err(|()| not_sent(&"a part of the URL is refused"))?;
    Ok(request)
}

fn not_sent(why: &impl std::fmt::Debug) -> Error {
    Error::Unavailable(Failure::not_attempted(format!("the request was not sent: {why:?}")))
}

/// No connection means that nothing happened; of anything later one cannot tell.
fn failed(error: ErrorCode) -> Error {
    let message = format!("the service gave no answer: {error:?}");
    Error::Unavailable(match error {
        ErrorCode::ConnectionRefused | ErrorCode::HttpRequestDenied => Failure::not_attempted(message),
        _ => Failure::unknown(message),
    })
}

example_bindings::exports::noop::export!(Component);
