//! HTTP middleware in the world of `wasi:http`: it lets a request through that says the word, and answers the others
//! itself. What stands behind it is none of its business.

mod bindings {
    #![allow(missing_docs, clippy::all, clippy::restriction)]

    wit_bindgen::generate!({
        world: "wasi:http/middleware@0.3.0",
        path: [
            "../../../wit/deps/wasi-clocks@0.3.0",
            "../../../wit/deps/wasi-random@0.3.0",
            "../../../wit/deps/wasi-filesystem@0.3.0",
            "../../../wit/deps/wasi-sockets@0.3.0",
            "../../../wit/deps/wasi-cli@0.3.0",
            "../../../wit/deps/wasi-http@0.3.0",
        ],
        generate_all,
    });
}

use bindings::wasi::http::handler;
use bindings::wasi::http::types::{ErrorCode, Fields, Request, Response};

struct Guard;

impl bindings::exports::wasi::http::handler::Guest for Guard {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let words = request.get_headers().get("x-word");
        if words.iter().any(|word| word == b"sesame") {
            return handler::handle(request).await;
        }
        let (_, trailers) = bindings::wit_future::new(|| Ok(None));
        let (refusal, _sent) = Response::new(Fields::new(), None, trailers);
        refusal.set_status_code(403).map_err(|()| ErrorCode::InternalError(None))?;
        Ok(refusal)
    }
}

bindings::export!(Guard with_types_in bindings);
