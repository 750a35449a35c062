//! The WIT bindings of everything that an adapter before functions imports, generated once. What an adapter does not use is
//! pruned from its component. Types are those of the guest library.
#![allow(missing_docs, clippy::all, clippy::restriction)]

wit_bindgen::generate!({
    inline: r"
        package weft:adapter-guest@0.1.0;
        world imports {
            import weft:adapter/settings@0.1.0;
            import weft:adapter/work@0.1.0;
            import weft:adapter/on-get@0.1.0;
            import weft:adapter/on-post@0.1.0;
            import weft:adapter/on-put@0.1.0;
            import weft:adapter/on-patch@0.1.0;
            import weft:adapter/on-delete@0.1.0;
            import weft:durable/resumable@0.1.0;
            import weft:messaging/handler@0.1.0;
            import weft:messaging/batch-handler@0.1.0;
            import weft:events/projection@0.1.0;
            import weft:control/startup@0.1.0;
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
    world: "imports",
    with: {
        "wasi:clocks/types@0.3.0": weft_guest::bindings::wasi::clocks::types,
        "wasi:http/types@0.3.0": weft_guest::bindings::wasi::http::types,
        "weft:sql/types@0.1.0": weft_guest::bindings::weft::sql::types,
        "weft:messaging/types@0.1.0": weft_guest::bindings::weft::messaging::types,
        "weft:messaging/deliveries@0.1.0": weft_guest::bindings::weft::messaging::deliveries,
    },
    generate_all,
});
