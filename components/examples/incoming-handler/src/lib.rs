//! A component of WASI 0.2: exports `wasi:http/incoming-handler`, counts visits by `wasi:keyvalue`. It knows nothing of
//! Weft and is here to show that such components run unchanged.

use std::io::Write as _;

use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

mod bindings {
    #![allow(missing_docs, clippy::all, clippy::restriction)]

    wit_bindgen::generate!({
        inline: "package example:visits@1.0.0; world visits { import wasi:keyvalue/store@0.2.0-draft2; }",
        path: ["../../../wit/deps/wasi-keyvalue@0.2.0-draft2"],
        world: "visits",
        generate_all,
    });
}
use bindings::wasi::keyvalue::store;

struct Component;

wasip2::http::proxy::export!(Component);

impl wasip2::exports::http::incoming_handler::Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let (status, text) = match visit(&path) {
            Ok(count) => (200, format!("{path} was asked for {count} times\n")),
            Err(error) => (500, format!("{error:?}\n")),
        };
        let response = OutgoingResponse::new(Fields::new());
        // A status that is a constant, and a body that is taken once.
        let body = response.set_status_code(status).and_then(|()| response.body());
        ResponseOutparam::set(out, Ok(response));
        if let Ok(body) = body {
            let written = body.write().map(|mut stream| stream.write_all(text.as_bytes()));
            // The client may be gone.
            drop(written);
            drop(OutgoingBody::finish(body, None));
        }
    }
}

/// How often this path was asked for, this time included.
fn visit(path: &str) -> Result<u64, store::Error> {
    let visits = store::open("default")?;
    let before = visits.get(path)?.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
    let count: u64 = before.unwrap_or(0) + 1;
    visits.set(path, count.to_string().as_bytes())?;
    Ok(count)
}
