//! How a saga is shown: who owns it, as its input says, and its answer in the API's words. The journal's own encoding
//! is `{"ok": value}` or `{"error": case}`, with cases as their Rust names.

use serde_json::Value;

/// Whom a saga's input names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This account.
    Account(String),
    /// Whoever owns this enrollment.
    Enrollment(String),
    /// Nobody: for admins alone.
    Nobody,
}

/// Reads the owner out of a saga's input.
pub fn owner(input: &Value) -> Owner {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_string);
    if let Some(account) = ["student_id", "author_id", "teacher_id"].iter().find_map(|field| text(input.get(field))) {
        return Owner::Account(account);
    }
    if let Some(enrollment) = text(input.get("enrollment_id")) {
        return Owner::Enrollment(enrollment);
    }
    text(input.pointer("/account/id")).map_or(Owner::Nobody, Owner::Account)
}

/// Result and error of a saga's recorded answer; exactly one is something.
pub fn answer(answer: &Value) -> (Option<Value>, Option<String>) {
    match (answer.get("ok"), answer.get("error")) {
        (Some(value), _) => (Some(value.clone()), None),
        (None, Some(error)) => (None, Some(error_text(error))),
        (None, None) => (None, Some("the answer cannot be read".to_string())),
    }
}

/// An error case in words: `"CourseFull"` is `course-full`, `{"PaymentDeclined":"why"}` is `payment-declined: why`.
pub fn error_text(error: &Value) -> String {
    match error {
        Value::String(case) => kebab(case),
        Value::Object(case) => match case.iter().next() {
            Some((name, detail)) => format!("{}: {}", kebab(name), detail_text(detail)),
            None => "unknown".to_string(),
        },
        other => other.to_string(),
    }
}

fn detail_text(detail: &Value) -> String {
    match detail {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(detail_text).collect::<Vec<_>>().join(", "),
        // A failure: its message is for people.
        other => other.get("message").and_then(Value::as_str).map_or_else(|| other.to_string(), str::to_string),
    }
}

fn kebab(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Owner, answer, error_text, owner};
    use serde_json::json;

    #[test]
    fn the_input_names_the_owner() {
        assert_eq!(owner(&json!({"student_id": "s", "course_id": "c"})), Owner::Account("s".into()));
        assert_eq!(owner(&json!({"account": {"id": "a"}})), Owner::Account("a".into()));
        assert_eq!(owner(&json!({"author_id": "a", "course_id": "c"})), Owner::Account("a".into()));
        assert_eq!(owner(&json!({"teacher_id": "t", "draft": {}})), Owner::Account("t".into()));
        assert_eq!(owner(&json!({"enrollment_id": "e"})), Owner::Enrollment("e".into()));
        for nobody in [json!(null), json!({"student_id": 7}), json!("s"), json!({"account": "a"})] {
            assert_eq!(owner(&nobody), Owner::Nobody, "{nobody}");
        }
    }

    #[test]
    fn answers_are_told_in_the_words_of_the_api() {
        assert_eq!(answer(&json!({"ok": {"id": "e"}})), (Some(json!({"id": "e"})), None));
        assert_eq!(answer(&json!({"error": "CourseFull"})), (None, Some("course-full".into())));
        assert!(answer(&json!(7)).1.is_some());
    }

    #[test]
    fn error_cases_carry_their_details() {
        assert_eq!(error_text(&json!({"PaymentDeclined": "no money"})), "payment-declined: no money");
        assert_eq!(error_text(&json!({"PrerequisitesNotMet": ["a", "b"]})), "prerequisites-not-met: a, b");
        assert_eq!(error_text(&json!({"Unavailable": {"message": "timeout"}})), "unavailable: timeout");
    }
}
