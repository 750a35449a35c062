//! The rules of enrollment. Pure: what status may follow which, which prerequisites are missing, what a row of an
//! import asks for, and how a saga is shown to its owner.

pub mod import;
pub mod saga;
pub mod status;

/// The longest grade, in bytes.
pub const MAX_GRADE_BYTES: usize = 32;

/// Checks a grade and answers it without spaces around it.
pub fn check_grade(grade: &str) -> Result<String, String> {
    let grade = grade.trim();
    if grade.is_empty() || grade.len() > MAX_GRADE_BYTES || grade.chars().any(char::is_control) {
        return Err(format!("has to have 1 to {MAX_GRADE_BYTES} characters"));
    }
    Ok(grade.to_string())
}

/// The prerequisites that are not among the completed courses, in their order.
pub fn missing_prerequisites(prerequisites: &[String], completed: &[String]) -> Vec<String> {
    prerequisites.iter().filter(|course| !completed.contains(course)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::{check_grade, missing_prerequisites};
    use proptest::prelude::*;

    #[test]
    fn grades_are_trimmed_and_bounded() {
        assert_eq!(check_grade(" A+ "), Ok("A+".to_string()));
        for wrong in ["", "  ", "a\nb", &"x".repeat(33)] {
            assert!(check_grade(wrong).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn missing_and_completed_prerequisites_make_all(
            prerequisites in prop::collection::vec("[a-e]", 0..6),
            completed in prop::collection::vec("[a-e]", 0..6),
        ) {
            let missing = missing_prerequisites(&prerequisites, &completed);
            for course in &prerequisites {
                prop_assert_ne!(missing.contains(course), completed.contains(course));
            }
            prop_assert!(missing.iter().all(|course| prerequisites.contains(course)));
        }
    }
}
