//! The front of one path: what Weft's gateway does before a function, as a component, for a host whose own listener does
//! not. It answers for methods that the path does not have, takes off headers that only it may set, verifies the bearer
//! token with the public key alone, asks for role and permissions, tells the function who calls, and bounds body and time.
//! Problems, titles and headers are those of the gateway.
//!
//! Beyond the gateway it does what a host without a start does not: before the first request it has the startup functions
//! run that have not run on this database, and after a request that may have left work it calls the timer.
//!
//! Left out are the gateway's trace and its log: the host in front of it has its own.

mod exchange;
mod head;
mod headers;
mod path;
mod problem;
mod state;
mod token;

use weft_guest::bindings::exports::http::exports::wasi::http::handler::Guest;
use weft_guest::bindings::wasi::http::types::{ErrorCode, Request, Response};

struct Front;

impl Guest for Front {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        exchange::serve(request).await
    }
}

weft_guest::bindings::exports::http::export_http!(Front with_types_in weft_guest::bindings::exports::http);
