//! The rules of the notifications context: which event tells whom what. Delivery and storage are the operations'
//! business.

use serde::Deserialize;

/// Characters of a title or a text that comes out of an event.
const INSERT_MAX_CHARS: usize = 200;

/// What a user is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Whom it is for.
    pub user_id: String,
    /// The event's topic, by which a client may choose a picture.
    pub kind: String,
    /// One line.
    pub title: String,
    /// A sentence or two.
    pub body: String,
}

/// What the events that users are told of have in common.
#[derive(Deserialize)]
struct Data {
    #[serde(alias = "student_id")]
    user_id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    course_title: String,
}

/// What to tell of an event on that topic with that JSON; `None` for a topic that concerns no user.
///
/// # Errors
/// If we know the topic and the data is not what its events have: it never will be.
pub fn from_event(kind: &str, data: &[u8]) -> Result<Option<Notification>, String> {
    let Some(wording) = wording(kind) else { return Ok(None) };
    let data: Data = serde_json::from_slice(data).map_err(|error| format!("data of {kind}: {error}"))?;
    if uuid::Uuid::try_parse(&data.user_id).is_err() {
        return Err(format!("data of {kind}: the user's id is not a UUID"));
    }
    let (title, body) = wording(&data);
    Ok(Some(Notification { user_id: data.user_id, kind: kind.to_owned(), title: title.to_owned(), body }))
}

type Wording = fn(&Data) -> (&'static str, String);

fn wording(kind: &str) -> Option<Wording> {
    Some(match kind {
        "identity.user-registered" => {
            |data| ("Welcome", format!("Welcome, {}. Your account is ready.", short(&data.name, "student")))
        }
        "enrollment.enrolled" => |data| ("Enrolled", format!("You are enrolled in {}.", course(data))),
        "enrollment.cancelled" => |data| {
            (
                "Enrollment cancelled",
                format!("Your enrollment in {} is cancelled. What you paid is refunded.", course(data)),
            )
        },
        _ => return None,
    })
}

fn course(data: &Data) -> String {
    short(&data.course_title, "the course")
}

/// Text from elsewhere: without control characters, not too long, and never empty.
fn short(text: &str, otherwise: &str) -> String {
    let text: String = text.trim().chars().filter(|c| !c.is_control()).take(INSERT_MAX_CHARS).collect();
    if text.is_empty() { otherwise.to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const USER: &str = "0190d6a2-7e3f-7c3e-9c55-0a7d3b1b0001";

    #[test]
    fn a_user_is_welcomed_by_name() {
        let data = json!({"user_id": USER, "name": "Ada", "email": "ada@example.com"}).to_string();
        let notification = from_event("identity.user-registered", data.as_bytes()).unwrap().unwrap();
        assert_eq!(notification.user_id, USER);
        assert_eq!(notification.body, "Welcome, Ada. Your account is ready.");
    }

    #[test]
    fn an_event_that_concerns_nobody_is_passed_over() {
        assert_eq!(from_event("enrollment.import-progressed", b"not even JSON"), Ok(None));
    }

    #[test]
    fn broken_data_of_a_known_type_is_an_error() {
        assert!(from_event("enrollment.enrolled", b"{}").is_err());
        assert!(from_event("enrollment.enrolled", br#"{"student_id": "x"}"#).is_err());
    }

    proptest! {
        #[test]
        fn text_from_elsewhere_stays_short_and_printable(title in "\\PC{0,400}", control in "[\\x00-\\x1f]{0,3}") {
            let data = json!({"student_id": USER, "course_title": format!("{control}{title}{control}")}).to_string();
            for kind in ["enrollment.enrolled", "enrollment.cancelled"] {
                let notification = from_event(kind, data.as_bytes()).unwrap().unwrap();
                prop_assert!(notification.body.chars().count() < INSERT_MAX_CHARS + 120);
                prop_assert!(!notification.body.chars().any(char::is_control));
                prop_assert_eq!(notification.kind, kind);
            }
        }
    }
}
