//! The interfaces as callers import them, generated once, and how their errors carry failures.
//!
//! An interface that a component exports shows up among its imports as well, with its types and without functions:
//! wit-component keeps a type alive that an async export returns. It grants nothing, and the host asks for no grant.
#![allow(missing_docs, clippy::all, clippy::restriction)]

wit_bindgen::generate!({
    inline: r"
        package education:callers@1.0.0;
        world callers {
            import education:identity/accounts@1.0.0;
            import education:identity/registration@1.0.0;
            import education:identity/passwords@1.0.0;
            import education:identity/sign-ups@1.0.0;
            import education:courses/catalog@1.0.0;
            import education:courses/seats@1.0.0;
            import education:courses/importing@1.0.0;
            import education:courses/records@1.0.0;
            import education:courses/media@1.0.0;
            import education:courses/index@1.0.0;
            import education:courses/creation@1.0.0;
            import education:content/uploads@1.0.0;
            import education:content/results@1.0.0;
            import education:content/index@1.0.0;
            import education:content/notices@1.0.0;
            import education:content/processing@1.0.0;
            import education:content/runs@1.0.0;
            import education:payments/charges@1.0.0;
            import education:enrollment/records@1.0.0;
            import education:enrollment/enrolling@1.0.0;
            import education:enrollment/cancelling@1.0.0;
            import education:enrollment/importing@1.0.0;
            import education:enrollment/import-work@1.0.0;
            import education:enrollment/import-chunk@1.0.0;
            import education:notifications/channel@1.0.0;
            import education:notifications/inbox@1.0.0;
            import education:analytics/recommendations@1.0.0;
            import education:analytics/suggestions@1.0.0;
            import education:assessment/results@1.0.0;
        }
    ",
    path: [
        "../../wit/weft-call",
        "../../wit/education-identity",
        "../../wit/education-courses",
        "../../wit/education-content",
        "../../wit/education-payments",
        "../../wit/education-enrollment",
        "../../wit/education-notifications",
        "../../wit/education-analytics",
        "../../wit/education-assessment",
    ],
    world: "callers",
    generate_all,
    additional_derives: [Clone, PartialEq, serde::Serialize, serde::Deserialize],
    with: { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types },
});

mod errors {
    use super::education::{analytics, assessment, content, courses, enrollment, identity, notifications, payments};

    weft_guest::fallible_revocable!(
        identity::accounts::Error,
        identity::sign_ups::Error,
        content::types::Error,
        courses::types::Error,
        courses::seats::Error,
        payments::charges::Error,
        enrollment::records::Error
    );
    weft_guest::fallible!(
        identity::registration::Error,
        identity::passwords::Error,
        courses::catalog::Error,
        courses::importing::Error,
        enrollment::enrolling::Error,
        enrollment::cancelling::Error,
        enrollment::importing::Error,
        enrollment::import_work::Error,
        enrollment::import_chunk::Error,
        notifications::channel::Error,
        notifications::inbox::Error,
        analytics::recommendations::Error,
        analytics::suggestions::Error,
        assessment::results::Error
    );
}
