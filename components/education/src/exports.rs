//! The interfaces as providers implement them, one world each, because a world's exports are demanded of whoever links
//! it. A provider implements `education::exports::seats::Guest` for a type of its own and ends with
//! `education::exports::seats::export!(Component);`.

/// One world that exports one interface. Errors that stand in a context's `types` carry failures already, in `bindings`.
macro_rules! provided {
    (
        $(#[$doc:meta])* $name:ident, $world:literal, $module:literal, [$($interface:ident)::+],
        with { $($key:literal : $path:path),* $(,)? } $(, $($errors:tt)+)?
    ) => {
        $(#[$doc])*
        pub mod $name {
            /// As generated.
            #[allow(missing_docs, clippy::all, clippy::restriction)]
            pub mod bindings {
                wit_bindgen::generate!({
                    inline: $world,
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
                    additional_derives: [Clone, PartialEq, serde::Serialize, serde::Deserialize],
                    with: { $($key : $path),* },
                    pub_export_macro: true,
                    default_bindings_module: $module,
                });
            }
            pub use bindings::exports::education::$($interface)::+::*;
            pub use bindings::export;
            $($($errors)+ (Error);)?
        }
    };
}

provided!(
    /// `education:identity/accounts`.
    accounts,
    "package education:provide-accounts@1.0.0; world provide-accounts { export education:identity/accounts@1.0.0; }",
    "education::exports::accounts::bindings",
    [identity::accounts],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types, "education:identity/types@1.0.0": crate::identity::types },
    weft_guest::fallible_revocable!
);
provided!(
    /// `education:identity/registration`.
    registration,
    "package education:provide-registration@1.0.0; world provide-registration { export education:identity/registration@1.0.0; }",
    "education::exports::registration::bindings",
    [identity::registration],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types, "education:identity/types@1.0.0": crate::identity::types, "education:identity/accounts@1.0.0": crate::identity::accounts },
    weft_guest::fallible!
);
provided!(
    /// `education:identity/passwords`.
    passwords,
    "package education:provide-passwords@1.0.0; world provide-passwords { export education:identity/passwords@1.0.0; }",
    "education::exports::passwords::bindings",
    [identity::passwords],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types },
    weft_guest::fallible!
);
provided!(
    /// `education:courses/catalog`.
    catalog,
    "package education:provide-catalog@1.0.0; world provide-catalog { export education:courses/catalog@1.0.0; }",
    "education::exports::catalog::bindings",
    [courses::catalog],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types },
    weft_guest::fallible!
);
provided!(
    /// `education:courses/seats`.
    seats,
    "package education:provide-seats@1.0.0; world provide-seats { export education:courses/seats@1.0.0; }",
    "education::exports::seats::bindings",
    [courses::seats],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types },
    weft_guest::fallible_revocable!
);
provided!(
    /// `education:courses/importing`.
    course_importing,
    "package education:provide-course-importing@1.0.0; world provide-course-importing { export education:courses/importing@1.0.0; }",
    "education::exports::course_importing::bindings",
    [courses::importing],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types },
    weft_guest::fallible!
);
provided!(
    /// `education:payments/charges`.
    charges,
    "package education:provide-charges@1.0.0; world provide-charges { export education:payments/charges@1.0.0; }",
    "education::exports::charges::bindings",
    [payments::charges],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types },
    weft_guest::fallible_revocable!
);
provided!(
    /// `education:enrollment/records`.
    records,
    "package education:provide-records@1.0.0; world provide-records { export education:enrollment/records@1.0.0; }",
    "education::exports::records::bindings",
    [enrollment::records],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types, "education:enrollment/types@1.0.0": crate::enrollment::types },
    weft_guest::fallible_revocable!
);
provided!(
    /// `education:enrollment/enrolling`.
    enrolling,
    "package education:provide-enrolling@1.0.0; world provide-enrolling { export education:enrollment/enrolling@1.0.0; }",
    "education::exports::enrolling::bindings",
    [enrollment::enrolling],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types, "education:enrollment/types@1.0.0": crate::enrollment::types },
    weft_guest::fallible!
);
provided!(
    /// `education:enrollment/cancelling`.
    cancelling,
    "package education:provide-cancelling@1.0.0; world provide-cancelling { export education:enrollment/cancelling@1.0.0; }",
    "education::exports::cancelling::bindings",
    [enrollment::cancelling],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types, "education:enrollment/types@1.0.0": crate::enrollment::types },
    weft_guest::fallible!
);
provided!(
    /// `education:enrollment/importing`.
    importing,
    "package education:provide-importing@1.0.0; world provide-importing { export education:enrollment/importing@1.0.0; }",
    "education::exports::importing::bindings",
    [enrollment::importing],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types },
    weft_guest::fallible!
);
provided!(
    /// `education:enrollment/import-work`.
    import_work,
    "package education:provide-import-work@1.0.0; world provide-import-work { export education:enrollment/import-work@1.0.0; }",
    "education::exports::import_work::bindings",
    [enrollment::import_work],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types },
    weft_guest::fallible!
);
provided!(
    /// `education:enrollment/import-chunk`.
    import_chunk,
    "package education:provide-import-chunk@1.0.0; world provide-import-chunk { export education:enrollment/import-chunk@1.0.0; }",
    "education::exports::import_chunk::bindings",
    [enrollment::import_chunk],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types },
    weft_guest::fallible!
);
provided!(
    /// `education:identity/sign-ups`.
    sign_ups,
    "package education:provide-sign-ups@1.0.0; world provide-sign-ups { export education:identity/sign-ups@1.0.0; }",
    "education::exports::sign_ups::bindings",
    [identity::sign_ups],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types },
    weft_guest::fallible_revocable!
);
provided!(
    /// `education:courses/records`.
    course_records,
    "package education:provide-course-records@1.0.0; world provide-course-records { export education:courses/records@1.0.0; }",
    "education::exports::course_records::bindings",
    [courses::records],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types, "education:courses/types@1.0.0": crate::courses::types }
);
provided!(
    /// `education:courses/media`.
    course_media,
    "package education:provide-course-media@1.0.0; world provide-course-media { export education:courses/media@1.0.0; }",
    "education::exports::course_media::bindings",
    [courses::media],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types, "education:courses/types@1.0.0": crate::courses::types }
);
provided!(
    /// `education:courses/index`.
    course_index,
    "package education:provide-course-index@1.0.0; world provide-course-index { export education:courses/index@1.0.0; }",
    "education::exports::course_index::bindings",
    [courses::index],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types, "education:courses/types@1.0.0": crate::courses::types }
);
provided!(
    /// `education:courses/creation`.
    creation,
    "package education:provide-creation@1.0.0; world provide-creation { export education:courses/creation@1.0.0; }",
    "education::exports::creation::bindings",
    [courses::creation],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types, "education:courses/types@1.0.0": crate::courses::types }
);
provided!(
    /// `education:content/uploads`.
    uploads,
    "package education:provide-uploads@1.0.0; world provide-uploads { export education:content/uploads@1.0.0; }",
    "education::exports::uploads::bindings",
    [content::uploads],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types, "education:content/types@1.0.0": crate::content::types }
);
provided!(
    /// `education:content/results`.
    results,
    "package education:provide-results@1.0.0; world provide-results { export education:content/results@1.0.0; }",
    "education::exports::results::bindings",
    [content::results],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types, "education:content/types@1.0.0": crate::content::types }
);
provided!(
    /// `education:content/index`.
    content_index,
    "package education:provide-content-index@1.0.0; world provide-content-index { export education:content/index@1.0.0; }",
    "education::exports::content_index::bindings",
    [content::index],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types, "education:content/types@1.0.0": crate::content::types }
);
provided!(
    /// `education:content/notices`.
    notices,
    "package education:provide-notices@1.0.0; world provide-notices { export education:content/notices@1.0.0; }",
    "education::exports::notices::bindings",
    [content::notices],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types, "education:content/types@1.0.0": crate::content::types }
);
provided!(
    /// `education:content/processing`.
    processing,
    "package education:provide-processing@1.0.0; world provide-processing { export education:content/processing@1.0.0; }",
    "education::exports::processing::bindings",
    [content::processing],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types, "education:content/types@1.0.0": crate::content::types }
);
provided!(
    /// `education:content/runs`.
    runs,
    "package education:provide-runs@1.0.0; world provide-runs { export education:content/runs@1.0.0; }",
    "education::exports::runs::bindings",
    [content::runs],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types, "education:content/types@1.0.0": crate::content::types }
);
provided!(
    /// `education:notifications/inbox`.
    inbox,
    "package education:provide-inbox@1.0.0; world provide-inbox { export education:notifications/inbox@1.0.0; }",
    "education::exports::inbox::bindings",
    [notifications::inbox],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types },
    weft_guest::fallible!
);
provided!(
    /// `education:analytics/suggestions`.
    suggestions,
    "package education:provide-suggestions@1.0.0; world provide-suggestions { export education:analytics/suggestions@1.0.0; }",
    "education::exports::suggestions::bindings",
    [analytics::suggestions],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types },
    weft_guest::fallible!
);
provided!(
    /// `education:assessment/results`.
    assessment_results,
    "package education:provide-assessment-results@1.0.0; world provide-assessment-results { export education:assessment/results@1.0.0; }",
    "education::exports::assessment_results::bindings",
    [assessment::results],
    with { "weft:call/types@0.1.0": weft_guest::bindings::weft::call::types },
    weft_guest::fallible!
);
