//! Stands where a closed form has no part of a kind: the front imports a handler for each method, the pump one for each
//! kind of work, and a component has few of them. Whoever calls it gets an error; the settings keep everybody from it.

mod bindings {
    #![allow(missing_docs, clippy::all, clippy::restriction)]

    wit_bindgen::generate!({
        inline: r"
            package weft:unused@0.1.0;
            world unused {
                export weft:adapter/on-get@0.1.0;
                export weft:adapter/on-post@0.1.0;
                export weft:adapter/on-put@0.1.0;
                export weft:adapter/on-patch@0.1.0;
                export weft:adapter/on-delete@0.1.0;
                export weft:durable/resumable@0.1.0;
                export weft:messaging/handler@0.1.0;
                export weft:messaging/batch-handler@0.1.0;
                export weft:events/projection@0.1.0;
                export weft:control/startup@0.1.0;
            }
        ",
        path: [
            "../../../wit/deps/wasi-clocks@0.3.0",
            "../../../wit/deps/wasi-random@0.3.0",
            "../../../wit/deps/wasi-filesystem@0.3.0",
            "../../../wit/deps/wasi-sockets@0.3.0",
            "../../../wit/deps/wasi-cli@0.3.0",
            "../../../wit/deps/wasi-http@0.3.0",
            "../../../wit/weft-sql",
            "../../../wit/weft-events",
            "../../../wit/weft-messaging",
            "../../../wit/weft-durable",
            "../../../wit/weft-control",
            "../../../wit/weft-adapter",
        ],
        world: "unused",
        with: {
            "wasi:clocks/types@0.3.0": weft_guest::bindings::wasi::clocks::types,
            "wasi:http/types@0.3.0": weft_guest::bindings::wasi::http::types,
            "weft:sql/types@0.1.0": weft_guest::bindings::weft::sql::types,
            "weft:messaging/types@0.1.0": weft_guest::bindings::weft::messaging::types,
            "weft:messaging/deliveries@0.1.0": weft_guest::bindings::weft::messaging::deliveries,
        },
    });
}

use bindings::exports::weft as exports;
use weft_guest::bindings::wasi::http::types::{ErrorCode, Request, Response};
use weft_guest::messaging::{Delivery, Refusal};
use weft_guest::sql::Statement;

struct Unused;

bindings::export!(Unused with_types_in bindings);

/// What every call gets.
fn missing(what: &str) -> String {
    format!("this closed form has no {what}")
}

macro_rules! no_handler {
    ($($interface:ident => $method:literal),+ $(,)?) => {$(
        impl exports::adapter::$interface::Guest for Unused {
            async fn handle(_request: Request) -> Result<Response, ErrorCode> {
                Err(ErrorCode::InternalError(Some(missing(concat!("handler for ", $method)))))
            }
        }
    )+};
}
no_handler! { on_get => "GET", on_post => "POST", on_put => "PUT", on_patch => "PATCH", on_delete => "DELETE" }

impl exports::durable::resumable::Guest for Unused {
    async fn resume(_key: String) -> Result<(), String> {
        Err(missing("durable function"))
    }
}

impl exports::messaging::handler::Guest for Unused {
    async fn handle(_delivery: Delivery) -> Result<(), Refusal> {
        Err(Refusal::Retry(missing("handler of events")))
    }
}

impl exports::messaging::batch_handler::Guest for Unused {
    async fn handle_batch(deliveries: Vec<Delivery>) -> Vec<Result<(), Refusal>> {
        deliveries.iter().map(|_| Err(Refusal::Retry(missing("handler of batches")))).collect()
    }
}

impl exports::events::projection::Guest for Unused {
    async fn project(_events: Vec<exports::events::projection::SourceEvent>) -> Result<Vec<Statement>, String> {
        Err(missing("projection"))
    }
}

impl exports::control::startup::Guest for Unused {
    async fn run() -> Result<Option<String>, String> {
        Err(missing("startup function"))
    }
}
