//! The WIT interfaces `wasi:io` (poll, streams) and `wasi:http` (types, outgoing-handler) of `0.2.0-rc-2023-10-18`, on
//! wasmtime's implementation of 0.2. The resources are those of 0.2 too, so what one interface makes the other takes,
//! and a handler of the snapshot is called like one of 0.2.

mod http;
mod io;

use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi_http::WasiHttpCtxView;

mod bindings {
    use wasmtime_wasi::p2::bindings::io;
    use wasmtime_wasi_http::p2::bindings::http::types;

    wasmtime::component::bindgen!({
        path: ["../../wit/deps/wasi-io@0.2.0-rc-2023-10-18", "../../wit/deps/wasi-http@0.2.0-rc-2023-10-18"],
        inline: "
            package weft:wasi-snapshot;
            world host {
                import wasi:io/poll@0.2.0-rc-2023-10-18;
                import wasi:io/streams@0.2.0-rc-2023-10-18;
                import wasi:http/types@0.2.0-rc-2023-10-18;
                import wasi:http/outgoing-handler@0.2.0-rc-2023-10-18;
            }
        ",
        world: "weft:wasi-snapshot/host",
        imports: {
            "wasi:io/poll.poll-list": async | trappable,
            "wasi:io/poll.poll-one": async | trappable,
            "wasi:io/streams.[method]input-stream.blocking-read": async | trappable,
            "wasi:io/streams.[method]input-stream.blocking-skip": async | trappable,
            "wasi:io/streams.[drop]input-stream": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-write-and-flush": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-flush": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-write-zeroes-and-flush": async | trappable,
            "wasi:io/streams.[method]output-stream.splice": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-splice": async | trappable,
            "wasi:io/streams.[drop]output-stream": async | trappable,
            default: trappable,
        },
        with: {
            "wasi:io/poll.pollable": io::poll::Pollable,
            "wasi:io/streams.error": io::error::Error,
            "wasi:io/streams.input-stream": io::streams::InputStream,
            "wasi:io/streams.output-stream": io::streams::OutputStream,
            "wasi:http/types.fields": types::Fields,
            "wasi:http/types.incoming-request": types::IncomingRequest,
            "wasi:http/types.outgoing-request": types::OutgoingRequest,
            "wasi:http/types.response-outparam": types::ResponseOutparam,
            "wasi:http/types.incoming-response": types::IncomingResponse,
            "wasi:http/types.incoming-body": types::IncomingBody,
            "wasi:http/types.future-trailers": types::FutureTrailers,
            "wasi:http/types.outgoing-response": types::OutgoingResponse,
            "wasi:http/types.outgoing-body": types::OutgoingBody,
            "wasi:http/types.future-incoming-response": types::FutureIncomingResponse,
        },
        trappable_error_type: { "wasi:io/streams.stream-error" => wasmtime_wasi::p2::StreamError },
        require_store_data_send: true,
    });
}

/// Links all four.
///
/// # Errors
/// If one is linked already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    table: fn(&mut T) -> &mut ResourceTable,
    http: fn(&mut T) -> WasiHttpCtxView<'_>,
) -> wasmtime::Result<()> {
    bindings::wasi::io::poll::add_to_linker::<T, Io>(linker, table)?;
    bindings::wasi::io::streams::add_to_linker::<T, Io>(linker, table)?;
    bindings::wasi::http::types::add_to_linker::<T, Http>(linker, http)?;
    bindings::wasi::http::outgoing_handler::add_to_linker::<T, Http>(linker, http)
}

/// Tells wasmtime what the functions of `wasi:io` see of a store.
struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// Tells wasmtime what the functions of `wasi:http` see of a store.
struct Http;

impl HasData for Http {
    type Data<'a> = WasiHttpCtxView<'a>;
}
