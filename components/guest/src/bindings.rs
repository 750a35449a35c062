//! The WIT bindings of everything a function may import, generated once. Owns nothing else: what a function does not
//! use is pruned from its component, so sharing them grants nothing. Each export is a world of its own below
//! [`exports`], because a world's exports are demanded of whoever links it.
#![allow(missing_docs, clippy::all, clippy::restriction)]

wit_bindgen::generate!({
    inline: r"
        package weft:guest@0.1.0;
        world imports {
            import wasi:clocks/monotonic-clock@0.3.0;
            import wasi:clocks/system-clock@0.3.0;
            import wasi:random/random@0.3.0;
            import wasi:http/types@0.3.0;
            import wasi:http/client@0.3.0;
            import spin:key-value/key-value@3.0.0;
            import spin:variables/variables@3.0.0;
            import weft:call/types@0.1.0;
            import weft:sql/database@0.1.0;
            import weft:events/store@0.1.0;
            import weft:messaging/types@0.1.0;
            import weft:messaging/producer@0.1.0;
            import weft:messaging/deliveries@0.1.0;
            import weft:push/pusher@1.0.0;
            import weft:durable/journal@0.1.0;
            import weft:durable/handles@0.1.0;
        }
    ",
    path: [
        "../../wit/deps/wasi-clocks@0.3.0",
        "../../wit/deps/wasi-random@0.3.0",
        "../../wit/deps/wasi-filesystem@0.3.0",
        "../../wit/deps/wasi-sockets@0.3.0",
        "../../wit/deps/wasi-cli@0.3.0",
        "../../wit/deps/wasi-http@0.3.0",
        "../../wit/deps/spin-key-value@3.0.0",
        "../../wit/deps/spin-variables@3.0.0",
        "../../wit/weft-call",
        "../../wit/weft-sql",
        "../../wit/weft-events",
        "../../wit/weft-messaging",
        "../../wit/weft-push",
        "../../wit/weft-durable",
    ],
    world: "imports",
    generate_all,
    generate_unused_types: true,
    additional_derives: [Clone, PartialEq, serde::Serialize, serde::Deserialize],
    additional_derives_ignore: ["store", "fields", "request", "request-options", "response", "cursor", "transaction"],
});

/// What a function may export to the host, one world each.
pub mod exports {
    /// `wasi:http/handler@0.3.0`.
    pub mod http {
        wit_bindgen::generate!({
            inline: r"
                package weft:guest-http@0.1.0;
                world http { export wasi:http/handler@0.3.0; }
            ",
            path: [
                "../../wit/deps/wasi-clocks@0.3.0",
                "../../wit/deps/wasi-random@0.3.0",
                "../../wit/deps/wasi-filesystem@0.3.0",
                "../../wit/deps/wasi-sockets@0.3.0",
                "../../wit/deps/wasi-cli@0.3.0",
                "../../wit/deps/wasi-http@0.3.0",
            ],
            world: "http",
            with: {
                "wasi:http/types@0.3.0": crate::bindings::wasi::http::types,
                "wasi:clocks/types@0.3.0": crate::bindings::wasi::clocks::types,
            },
            pub_export_macro: true,
            export_macro_name: "export_http",
            default_bindings_module: "weft_guest::bindings::exports::http",
        });
    }

    /// `weft:durable/resumable`.
    pub mod resumable {
        wit_bindgen::generate!({
            inline: r"
                package weft:guest-resumable@0.1.0;
                world resumable { export weft:durable/resumable@0.1.0; }
            ",
            path: ["../../wit/weft-durable"],
            world: "resumable",
            pub_export_macro: true,
            export_macro_name: "export_resumable",
            default_bindings_module: "weft_guest::bindings::exports::resumable",
        });
    }

    /// `weft:messaging/handler`.
    pub mod subscription {
        wit_bindgen::generate!({
            inline: r"
                package weft:guest-subscription@0.1.0;
                world subscription { export weft:messaging/handler@0.1.0; }
            ",
            path: ["../../wit/weft-messaging"],
            world: "subscription",
            with: {
                "weft:messaging/types@0.1.0": crate::bindings::weft::messaging::types,
                "weft:messaging/deliveries@0.1.0": crate::bindings::weft::messaging::deliveries,
            },
            pub_export_macro: true,
            export_macro_name: "export_subscription",
            default_bindings_module: "weft_guest::bindings::exports::subscription",
        });
    }

    /// `weft:events/projection`.
    pub mod projection {
        wit_bindgen::generate!({
            inline: r"
                package weft:guest-projection@0.1.0;
                world projection { export weft:events/projection@0.1.0; }
            ",
            path: ["../../wit/weft-sql", "../../wit/weft-events"],
            world: "projection",
            with: { "weft:sql/types@0.1.0": crate::bindings::weft::sql::types },
            additional_derives: [Clone, PartialEq, serde::Serialize, serde::Deserialize],
            pub_export_macro: true,
            export_macro_name: "export_projection",
            default_bindings_module: "weft_guest::bindings::exports::projection",
        });
    }

    /// `weft:messaging/batch-handler`.
    pub mod batch_subscription {
        wit_bindgen::generate!({
            inline: r"
                package weft:guest-batch-subscription@0.1.0;
                world batch-subscription { export weft:messaging/batch-handler@0.1.0; }
            ",
            path: ["../../wit/weft-messaging"],
            world: "batch-subscription",
            with: {
                "weft:messaging/types@0.1.0": crate::bindings::weft::messaging::types,
                "weft:messaging/deliveries@0.1.0": crate::bindings::weft::messaging::deliveries,
            },
            pub_export_macro: true,
            export_macro_name: "export_batch_subscription",
            default_bindings_module: "weft_guest::bindings::exports::batch_subscription",
        });
    }

    /// `weft:control/startup`.
    pub mod startup {
        wit_bindgen::generate!({
            inline: r"
                package weft:guest-startup@0.1.0;
                world startup { export weft:control/startup@0.1.0; }
            ",
            path: ["../../wit/weft-control"],
            world: "startup",
            pub_export_macro: true,
            export_macro_name: "export_startup",
            default_bindings_module: "weft_guest::bindings::exports::startup",
        });
    }
}
