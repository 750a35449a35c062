//! Imports: what a row asks for after its enrollment, how rows fall into chunks, and the limits of loading.

/// Rows that one chunk works through.
pub const CHUNK_ROWS: u32 = 200;
/// Rows or courses that one load takes.
pub const MAX_LOAD: usize = 5_000;
/// The longest text of a row or a course, in bytes.
pub const MAX_TEXT_BYTES: usize = 200;

/// What follows an enrollment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowUp {
    /// It stays active.
    Nothing,
    /// The student withdrew.
    Cancel,
    /// The student passed; the grade is the result's name.
    Complete,
}

/// Reads a final result.
pub fn follow_up(final_result: &str) -> Result<FollowUp, String> {
    match final_result {
        "Withdrawn" => Ok(FollowUp::Cancel),
        "Pass" | "Distinction" => Ok(FollowUp::Complete),
        "Fail" => Ok(FollowUp::Nothing),
        other => Err(format!("final_result {other:?} is none of Withdrawn, Pass, Distinction, Fail")),
    }
}

/// Checks a text of a row: something, and not too long.
pub fn check_text(name: &str, text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > MAX_TEXT_BYTES || text.chars().any(char::is_control) {
        return Err(format!("{name} has to have 1 to {MAX_TEXT_BYTES} characters"));
    }
    Ok(())
}

/// First position and length of each chunk of `rows` rows.
pub fn chunks(rows: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..rows).step_by(CHUNK_ROWS as usize).map(move |first| (first, CHUNK_ROWS.min(rows - first)))
}

#[cfg(test)]
mod tests {
    use super::{FollowUp, check_text, chunks, follow_up};
    use proptest::prelude::*;

    #[test]
    fn results_ask_for_what_they_say() {
        assert_eq!(follow_up("Withdrawn"), Ok(FollowUp::Cancel));
        assert_eq!(follow_up("Pass"), Ok(FollowUp::Complete));
        assert_eq!(follow_up("Distinction"), Ok(FollowUp::Complete));
        assert_eq!(follow_up("Fail"), Ok(FollowUp::Nothing));
        assert!(follow_up("pass").is_err());
    }

    #[test]
    fn texts_are_bounded() {
        assert!(check_text("student", "1").is_ok());
        assert!(check_text("student", "").is_err());
        assert!(check_text("student", &"x".repeat(201)).is_err());
    }

    proptest! {
        #[test]
        fn chunks_cover_every_row_once(rows in 0_u32..100_000) {
            let mut next = 0;
            for (first, count) in chunks(rows) {
                prop_assert_eq!(first, next);
                prop_assert!(count > 0);
                next += count;
            }
            prop_assert_eq!(next, rows);
        }
    }
}
