//! education:analytics/suggestions: which courses suit a student, for other functions.

use analytics_suggesting::{Error as Trouble, suggest};
use education::exports::suggestions::{Error, Guest, Suggested, Suggestion, export};
use weft_guest::Failure;

const LIMIT_MAX: u32 = 50;

struct Suggestions;

impl Guest for Suggestions {
    async fn for_student(student_id: String, limit: u32) -> Result<Suggested, Error> {
        let suggested = suggest(student_id, limit.clamp(1, LIMIT_MAX)).await.map_err(|trouble| match trouble {
            Trouble::Unavailable(failure) => Error::Unavailable(failure),
            // Nothing was done, and asking again is of no use; the caller sees no more of it than that.
            Trouble::Internal(why) => {
                eprintln!("{why}");
                Error::Unavailable(Failure::not_attempted("the suggestions are broken"))
            }
        })?;
        let items = suggested.items.into_iter();
        let items = items.map(|one| Suggestion {
            course_id: one.course_id,
            title: one.title,
            score: one.score,
            reasons: one.reasons,
        });
        Ok(Suggested { items: items.collect(), ranked: suggested.ranked })
    }
}

export!(Suggestions with_types_in education::exports::suggestions::bindings);
