//! Bindings of `example:durable`: as callers import its interfaces, and as providers implement them ([`exports`]).

mod bindings {
    #![allow(missing_docs, clippy::all, clippy::restriction)]

    wit_bindgen::generate!({
        inline: r"
            package example:durable-callers@1.0.0;
            world callers {
                import example:durable/shop@1.0.0;
                import example:durable/orders@1.0.0;
                import example:durable/gifts@1.0.0;
                import example:durable/desk@1.0.0;
            }
        ",
        path: ["../../../wit/weft-call", "../../../wit/example-durable"],
        world: "callers",
        generate_all,
        additional_derives: [Clone, PartialEq, serde::Serialize, serde::Deserialize],
        with: { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types },
    });

    weft_guest::fallible_revocable!(example::durable::shop::Error);
    weft_guest::fallible!(
        example::durable::orders::Error,
        example::durable::gifts::Error,
        example::durable::desk::Error
    );
}

pub use bindings::example::durable::{desk, gifts, orders, shop};

/// The interfaces as providers implement them, one world each.
pub mod exports {
    /// One world that exports one interface.
    macro_rules! provided {
        ($(#[$doc:meta])* $name:ident, $world:literal, $module:literal, [$($with:tt)*], $($errors:tt)+) => {
            $(#[$doc])*
            pub mod $name {
                /// As generated.
                #[allow(missing_docs, clippy::all, clippy::restriction)]
                pub mod bindings {
                    wit_bindgen::generate!({
                        inline: $world,
                        path: ["../../../wit/weft-call", "../../../wit/example-durable"],
                        additional_derives: [Clone, PartialEq, serde::Serialize, serde::Deserialize],
                        with: { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types, $($with)* },
                        pub_export_macro: true,
                        default_bindings_module: $module,
                    });
                }
                pub use bindings::exports::example::durable::$name::*;
                pub use bindings::export;
                $($errors)+ (Error);
            }
        };
    }

    provided!(
        /// `example:durable/shop`.
        shop,
        "package example:provide-shop@1.0.0; world provide-shop { export example:durable/shop@1.0.0; }",
        "example_durable_bindings::exports::shop::bindings",
        [],
        weft_guest::fallible_revocable!
    );
    provided!(
        /// `example:durable/orders`.
        orders,
        "package example:provide-orders@1.0.0; world provide-orders { export example:durable/orders@1.0.0; }",
        "example_durable_bindings::exports::orders::bindings",
        [],
        weft_guest::fallible!
    );
    provided!(
        /// `example:durable/gifts`.
        gifts,
        "package example:provide-gifts@1.0.0; world provide-gifts { export example:durable/gifts@1.0.0; }",
        "example_durable_bindings::exports::gifts::bindings",
        ["example:durable/orders@1.0.0": crate::orders],
        weft_guest::fallible!
    );
    provided!(
        /// `example:durable/desk`.
        desk,
        "package example:provide-desk@1.0.0; world provide-desk { export example:durable/desk@1.0.0; }",
        "example_durable_bindings::exports::desk::bindings",
        ["example:durable/orders@1.0.0": crate::orders],
        weft_guest::fallible!
    );
}
