//! Bindings of the example interfaces: as callers import them, and as providers implement them ([`exports`]). They
//! stand for what an application's own bindings crate looks like.

mod bindings {
    #![allow(missing_docs, clippy::all, clippy::restriction)]

    wit_bindgen::generate!({
        inline: r"
            package example:callers@1.0.0;
            world callers {
                import example:greet/greeter@1.0.0;
                import example:bench/noop@1.0.0;
                import example:bench/saga5@1.0.0;
                import example:planted/effects@1.0.0;
                import example:probe/behaviour@1.0.0;
            }
        ",
        path: ["../../../wit/weft-call", "../../../wit/example-greet", "../../../wit/example-bench", "../../../wit/example-planted", "../../../wit/example-probe"],
        world: "callers",
        generate_all,
        additional_derives: [Clone, PartialEq, serde::Serialize, serde::Deserialize],
        with: { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types },
    });

    weft_guest::fallible_revocable!(example::bench::noop::Error, example::planted::effects::Error);
    weft_guest::fallible!(
        example::greet::greeter::Error,
        example::bench::saga5::Error,
        example::probe::behaviour::Error
    );
}

pub use bindings::example::{bench, greet, planted, probe};

/// The interfaces as providers implement them, one world each.
pub mod exports {
    /// One world that exports one interface.
    macro_rules! provided {
        ($(#[$doc:meta])* $name:ident, $world:literal, $module:literal, [$($interface:ident)::+], $($errors:tt)+) => {
            $(#[$doc])*
            pub mod $name {
                /// As generated.
                #[allow(missing_docs, clippy::all, clippy::restriction)]
                pub mod bindings {
                    wit_bindgen::generate!({
                        inline: $world,
                        path: ["../../../wit/weft-call", "../../../wit/example-greet", "../../../wit/example-bench", "../../../wit/example-planted", "../../../wit/example-probe"],
                        additional_derives: [Clone, PartialEq, serde::Serialize, serde::Deserialize],
                        with: { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types },
                        pub_export_macro: true,
                        default_bindings_module: $module,
                    });
                }
                pub use bindings::exports::example::$($interface)::+::*;
                pub use bindings::export;
                $($errors)+ (Error);
            }
        };
    }

    provided!(
        /// `example:greet/greeter`.
        greeter,
        "package example:provide-greeter@1.0.0; world provide-greeter { export example:greet/greeter@1.0.0; }",
        "example_bindings::exports::greeter::bindings",
        [greet::greeter],
        weft_guest::fallible!
    );
    provided!(
        /// `example:bench/noop`.
        noop,
        "package example:provide-noop@1.0.0; world provide-noop { export example:bench/noop@1.0.0; }",
        "example_bindings::exports::noop::bindings",
        [bench::noop],
        weft_guest::fallible_revocable!
    );
    provided!(
        /// `example:bench/saga5`.
        saga5,
        "package example:provide-saga5@1.0.0; world provide-saga5 { export example:bench/saga5@1.0.0; }",
        "example_bindings::exports::saga5::bindings",
        [bench::saga5],
        weft_guest::fallible!
    );
    provided!(
        /// `example:probe/behaviour`.
        behaviour,
        "package example:provide-behaviour@1.0.0; world provide-behaviour { export example:probe/behaviour@1.0.0; }",
        "example_bindings::exports::behaviour::bindings",
        [probe::behaviour],
        weft_guest::fallible!
    );
    provided!(
        /// `example:planted/effects`.
        effects,
        "package example:provide-effects@1.0.0; world provide-effects { export example:planted/effects@1.0.0; }",
        "example_bindings::exports::effects::bindings",
        [planted::effects],
        weft_guest::fallible_revocable!
    );
    provided!(
        /// `example:planted/saga`.
        planted_saga,
        "package example:provide-planted@1.0.0; world provide-planted { export example:planted/saga@1.0.0; }",
        "example_bindings::exports::planted_saga::bindings",
        [planted::saga],
        weft_guest::fallible!
    );
}
