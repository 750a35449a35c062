//! The WIT bindings of the store's component. Types of `weft:*` are those of the `adapter-store` crate, so that nothing is
//! turned from one form into another on the way.
#![allow(missing_docs, clippy::all, clippy::restriction)]

wit_bindgen::generate!({
    inline: r"
        package weft:spin-store@0.1.0;
        world store {
            import weft:adapter/settings@0.1.0;
            import spin:sqlite/sqlite@3.1.0;
            import wasi:clocks/monotonic-clock@0.3.0;
            import wasi:clocks/system-clock@0.3.0;
            import wasi:random/random@0.3.0;
            export weft:sql/database@0.1.0;
            export weft:events/store@0.1.0;
            export weft:messaging/producer@0.1.0;
            export weft:push/pusher@1.0.0;
            export weft:adapter/work@0.1.0;
            export weft:durable/journal@0.1.0;
            export weft:durable/handles@0.1.0;
            export spin:key-value/key-value@3.0.0;
        }
    ",
    path: [
        "../../../wit/deps/wasi-clocks@0.3.0",
        "../../../wit/deps/wasi-random@0.3.0",
        "../../../wit/deps/wasi-filesystem@0.3.0",
        "../../../wit/deps/wasi-sockets@0.3.0",
        "../../../wit/deps/wasi-cli@0.3.0",
        "../../../wit/deps/wasi-http@0.3.0",
        "../../../wit/deps/spin-key-value@3.0.0",
        "../../../wit/deps/spin-sqlite@3.1.0",
        "../../../wit/weft-sql",
        "../../../wit/weft-events",
        "../../../wit/weft-messaging",
        "../../../wit/weft-push",
        "../../../wit/weft-durable",
        "../../../wit/weft-adapter",
    ],
    world: "store",
    generate_all,
    with: {
        "weft:sql/types@0.1.0": adapter_store::bindings::weft::sql::types,
        "weft:events/types@0.1.0": adapter_store::bindings::weft::events::types,
        "weft:messaging/types@0.1.0": adapter_store::bindings::weft::messaging::types,
        "weft:messaging/deliveries@0.1.0": adapter_store::bindings::weft::messaging::deliveries,
    },
});
