//! The HTTP shell of a function: reads the request, runs the handler, writes the answer. The gateway in front has
//! authenticated the user and matched the route; this module owns only the shape of the exchange.

mod problem;
mod request;

use std::rc::Rc;

use request::Headers;
use wit_bindgen::StreamResult;

use crate::bindings::wasi::http::types::{self as wasi, ErrorCode};
use crate::bindings::{wit_future, wit_stream};

pub use problem::{FieldError, Problem};
pub use request::{Request, Service, User};

/// A body past this many bytes answers 413. The gateway's own limit may be lower.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// An answer.
#[derive(Debug)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Response {
    /// A JSON answer. A value that does not serialize is a defect and answers 500.
    pub fn json<T: serde::Serialize + ?Sized>(status: u16, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self { status, headers: vec![("content-type".into(), "application/json".into())], body },
            Err(error) => Problem::internal(&error).into_response(None),
        }
    }

    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// 204.
    pub fn no_content() -> Self {
        Self::empty(204)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_string(), value.into()));
        self
    }

    fn into_wasi(mut self) -> Result<wasi::Response, ErrorCode> {
        if self.status != 204 {
            self.headers.push(("content-length".into(), self.body.len().to_string()));
        }
        let fields: Vec<_> = self.headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
        let fields = wasi::Fields::from_list(&fields)
            .map_err(|error| ErrorCode::InternalError(Some(format!("response headers: {error:?}"))))?;
        let (trailers, trailers_reader) = wit_future::new::<Result<Option<wasi::Trailers>, ErrorCode>>(|| Ok(None));
        let contents = (!self.body.is_empty()).then(|| {
            let (mut writer, reader) = wit_stream::new::<u8>();
            let body = self.body;
            // After the answer is returned: the host reads the body while this task lives on.
            wit_bindgen::spawn_local(async move {
                writer.write_all(body).await;
                drop(writer);
                drop(trailers);
            });
            reader
        });
        let (response, _sent) = wasi::Response::new(fields, contents, trailers_reader);
        response
            .set_status_code(self.status)
            .map_err(|()| ErrorCode::InternalError(Some(format!("{} is no status code", self.status))))?;
        Ok(response)
    }
}

/// Serves one exchange; what `http_handler!` expands to.
pub async fn serve(
    request: wasi::Request,
    handle: impl AsyncFnOnce(Request) -> Result<Response, Problem>,
) -> Result<wasi::Response, ErrorCode> {
    let headers = Rc::new(Headers::of(&request));
    let answer = match receive(request, Rc::clone(&headers)).await {
        Ok(request) => handle(request).await,
        Err(problem) => Err(problem),
    };
    let with_id = |problem: Problem| problem.into_response(headers.first("x-request-id").map(str::to_string));
    answer.unwrap_or_else(with_id).into_wasi()
}

async fn receive(request: wasi::Request, headers: Rc<Headers>) -> Result<Request, Problem> {
    let method = request::method_of(&request);
    let target = request.get_path_with_query().unwrap_or_default();
    let body = if matches!(method.as_str(), "GET" | "HEAD") { Vec::new() } else { body_of(request).await? };
    Ok(Request::received(method, &target, headers, body))
}

async fn body_of(request: wasi::Request) -> Result<Vec<u8>, Problem> {
    let (received, received_reader) = wit_future::new::<Result<(), ErrorCode>>(|| Ok(()));
    let (mut stream, trailers) = wasi::Request::consume_body(request, received_reader);
    let mut body = Vec::new();
    loop {
        let (status, chunk) = stream.read(Vec::with_capacity(16 * 1024)).await;
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(Problem::new(413, "body-too-large", "The body is too large")
                .detail(format!("at most {MAX_BODY_BYTES} bytes")));
        }
        body.extend(chunk);
        if !matches!(status, StreamResult::Complete(_)) {
            break;
        }
    }
    drop(stream);
    // Tells a body that ended from one that was cut off.
    let whole = trailers.await;
    drop(received);
    whole.map_err(|_| Problem::new(400, "incomplete-body", "The body was cut off"))?;
    Ok(body)
}
