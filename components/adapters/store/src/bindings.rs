//! The WIT types that the store speaks in, generated once. They bring no imports: the interfaces have types alone.
#![allow(missing_docs, clippy::all, clippy::restriction)]

wit_bindgen::generate!({
    inline: r"
        package weft:adapter-store@0.1.0;
        world types {
            import weft:sql/types@0.1.0;
            import weft:events/types@0.1.0;
            import weft:messaging/types@0.1.0;
            import weft:messaging/deliveries@0.1.0;
        }
    ",
    path: ["../../../wit/weft-sql", "../../../wit/weft-events", "../../../wit/weft-messaging"],
    world: "types",
    generate_all,
    generate_unused_types: true,
    additional_derives: [Clone, PartialEq],
});
