//! `GET /hostile-p2`: writes bodies of answers that it never sends, as much of each as the host takes, and keeps them
//! all. WASI 0.2 buffers such bodies in the host.

use std::hint::black_box;

use wasip2::http::types::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam};

struct Component;

wasip2::http::proxy::export!(Component);

impl wasip2::exports::http::incoming_handler::Guest for Component {
    fn handle(_: IncomingRequest, _out: ResponseOutparam) {
        let mut kept = Vec::new();
        while black_box(true) {
            let response = OutgoingResponse::new(Fields::new());
            let Ok(body) = response.body() else { return };
            let Ok(stream) = body.write() else { return };
            // Until nothing more fits.
            while let Ok(room @ 1..) = stream.check_write() {
                let chunk = vec![b'x'; usize::try_from(room).unwrap_or_default()];
                if stream.write(&chunk).is_err() {
                    break;
                }
            }
            kept.push((response, body, stream));
        }
    }
}
