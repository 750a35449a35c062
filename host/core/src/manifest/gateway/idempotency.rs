//! How answers are kept for requests that are repeated under an `Idempotency-Key`. Keeping them belongs to the gateway,
//! and what a route makes of the header to the route.

use crate::manifest::section::Section;

/// A year: what has to be known longer is data.
const MAX_TTL_S: u32 = 366 * 24 * 60 * 60;

/// `[application.tool.weft.gateway.idempotency]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Whether routes that do not say anything of it keep their answers; so by default.
    pub enabled: bool,
    /// How long an answer is kept, in seconds: 1 to 31,622,400, a day by default.
    pub ttl_s: u32,
    /// The largest answer that is kept, in bytes: 0 to 16 MiB, 1 MiB by default.
    pub max_answer_bytes: u32,
    /// Answers that are kept in all: 1 to 10,000,000, 100,000 by default.
    pub max_answers: u32,
    /// Their bytes: 1 MiB to 1 TiB, 256 MiB by default.
    pub max_bytes: u64,
    /// Answers that are kept of one caller: 1 to 1,000,000, 1,000 by default.
    pub max_caller_answers: u32,
    /// Their bytes: 1 KiB to 1 TiB, 16 MiB by default.
    pub max_caller_bytes: u64,
}

impl Default for Idempotency {
    fn default() -> Self {
        Self {
            enabled: true,
            ttl_s: 24 * 60 * 60,
            max_answer_bytes: 1 << 20,
            max_answers: 100_000,
            max_bytes: 256 << 20,
            max_caller_answers: 1_000,
            max_caller_bytes: 16 << 20,
        }
    }
}

impl Idempotency {
    pub(in crate::manifest) fn read(section: Section<'_>) -> Self {
        let default = Self::default();
        let read = Self {
            enabled: section.flag("enabled", default.enabled),
            ttl_s: section.number("ttl_s", 1..=MAX_TTL_S, default.ttl_s),
            max_answer_bytes: section.number("max_answer_bytes", 0..=16 << 20, default.max_answer_bytes),
            max_answers: section.number("max_answers", 1..=10_000_000, default.max_answers),
            max_bytes: section.number("max_bytes", 1 << 20..=1 << 40, default.max_bytes),
            max_caller_answers: section.number("max_caller_answers", 1..=1_000_000, default.max_caller_answers),
            max_caller_bytes: section.number("max_caller_bytes", 1 << 10..=1 << 40, default.max_caller_bytes),
        };
        let steps = [
            ("max_answer_bytes", u64::from(read.max_answer_bytes), "max_caller_bytes", read.max_caller_bytes),
            ("max_caller_bytes", read.max_caller_bytes, "max_bytes", read.max_bytes),
            ("max_caller_answers", read.max_caller_answers.into(), "max_answers", read.max_answers.into()),
        ];
        for (part, of_part, whole, of_whole) in steps {
            if of_part > of_whole {
                let (part, whole) = (section.name(part), section.name(whole));
                section.report_with_help(
                    section.line,
                    format!("`{part}` is {of_part}, and `{whole}` {of_whole}"),
                    "let no part be larger than the whole",
                );
            }
        }
        section.finish();
        read
    }
}
