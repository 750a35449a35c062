//! `GET /hello?name=`: greets in JSON, as `example-hello` does, written in WASI 0.2 alone.

use std::io::Write as _;

use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Component;

wasip2::http::proxy::export!(Component);

impl wasip2::exports::http::incoming_handler::Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let name = path.split_once("name=").map_or("world", |(_, name)| name);
        let headers = Fields::new();
        let typed = headers.append("content-type", b"application/json");
        let response = OutgoingResponse::new(headers);
        // The field is a valid one, and a body is taken once.
        let body = typed.ok().and_then(|()| response.body().ok());
        ResponseOutparam::set(out, Ok(response));
        if let Some(body) = body {
            let written = body.write().map(|mut stream| write!(stream, "{{\"message\":\"Hello, {name}!\"}}"));
            // The client may be gone.
            drop(written);
            drop(OutgoingBody::finish(body, None));
        }
    }
}
