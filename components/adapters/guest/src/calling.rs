//! Calls of other components of the application, over the network that the host has inside of itself.

use weft_guest::bindings::wasi::http::client;
use weft_guest::bindings::wasi::http::types::{ErrorCode, Fields, Request, Response, Scheme, Trailers};
use weft_guest::bindings::wit_future;
use wit_bindgen::StreamResult;

/// The most bytes of an answer that are read.
const ANSWER_BYTES: usize = 64 * 1024;

/// What a component answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// The body, or as much of it as fits into 64 KiB.
    pub body: Vec<u8>,
}

/// Asks a component of the application with GET and waits for its answer.
///
/// # Errors
/// In words, if it did not answer. It may have done what it does all the same.
pub async fn call(component: &str) -> Result<Answer, String> {
    let failed = |error: ErrorCode| format!("{component} did not answer: {error:?}");
    let (trailers, trailers_reader) = wit_future::new::<Result<Option<Trailers>, ErrorCode>>(|| Ok(None));
    drop(trailers);
    let (request, _sent) = Request::new(Fields::new(), None, trailers_reader, None);
    let built = request
        .set_scheme(Some(&Scheme::Http))
        .and_then(|()| request.set_authority(Some(&format!("{component}.spin.internal"))))
        .and_then(|()| request.set_path_with_query(Some("/")));
    built.map_err(|()| format!("{component} is no name of a host"))?;
    let response = client::send(request).await.map_err(failed)?;
    let status = response.get_status_code();
    let body = body_of(response).await.map_err(failed)?;
    Ok(Answer { status, body })
}

async fn body_of(response: Response) -> Result<Vec<u8>, ErrorCode> {
    let (received, received_reader) = wit_future::new::<Result<(), ErrorCode>>(|| Ok(()));
    let (mut stream, trailers) = Response::consume_body(response, received_reader);
    let mut body = Vec::new();
    loop {
        let (status, chunk) = stream.read(Vec::with_capacity(16 * 1024)).await;
        body.extend(chunk);
        if body.len() > ANSWER_BYTES {
            body.truncate(ANSWER_BYTES);
            return Ok(body);
        }
        if !matches!(status, StreamResult::Complete(_)) {
            break;
        }
    }
    drop(stream);
    // Tells a body that ended from one that was cut off.
    let whole = trailers.await;
    drop(received);
    whole.map(|_| body)
}
