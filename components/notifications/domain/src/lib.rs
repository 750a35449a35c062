//! The rules of the notifications context: which event tells whom what. Delivery and storage are the operations'
//! business.

use serde::Deserialize;

/// Characters of a title or a text that comes out of an event.
const INSERT_MAX_CHARS: usize = 200;

/// The audience that is whoever is an admin when they look.
pub const ADMINS: &str = "role:admin";

/// What an event does to notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Somebody is told something.
    Tell(Notification),
    /// What events of that topic have told about the same subject is taken back.
    TakeBack(&'static str),
}

/// What somebody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Whom it is for: the id of an account, or [`ADMINS`].
    pub audience: String,
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
    #[serde(alias = "student_id", alias = "author_id", alias = "teacher_id")]
    user_id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    course_title: String,
    #[serde(default)]
    content_title: String,
}

/// What an event on that topic with that JSON does; `None` for a topic that concerns nobody.
///
/// # Errors
/// If we know the topic and the data is not what its events have: it never will be.
pub fn from_event(kind: &str, data: &[u8]) -> Result<Option<Effect>, String> {
    if let Some(told) = taken_back(kind) {
        return Ok(Some(Effect::TakeBack(told)));
    }
    let Some(wording) = wording(kind) else { return Ok(None) };
    let data: Data = serde_json::from_slice(data).map_err(|error| format!("data of {kind}: {error}"))?;
    if uuid::Uuid::try_parse(&data.user_id).is_err() {
        return Err(format!("data of {kind}: the user's id is not a UUID"));
    }
    let (title, body) = wording(&data);
    let audience = if kind == COURSE_CREATED { ADMINS.to_owned() } else { data.user_id };
    Ok(Some(Effect::Tell(Notification { audience, kind: kind.to_owned(), title: title.to_owned(), body })))
}

const COURSE_CREATED: &str = "courses.course-created";

/// The topic whose events that topic takes back.
fn taken_back(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "identity.registration-undone" => "identity.user-registered",
        "courses.creation-undone" => COURSE_CREATED,
        "content.withdrawn" => "content.published",
        _ => return None,
    })
}

type Wording = fn(&Data) -> (&'static str, String);

fn wording(kind: &str) -> Option<Wording> {
    Some(match kind {
        "identity.user-registered" => {
            |data| ("Welcome", format!("Welcome, {}. Your account is ready.", short(&data.name, "student")))
        }
        COURSE_CREATED => |data| ("Course created", format!("There is a new course: {}.", course(data))),
        "content.published" => {
            |data| ("Content published", format!("{} can be read now.", short(&data.content_title, "Your content")))
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

    fn told(kind: &str, data: &serde_json::Value) -> Notification {
        match from_event(kind, data.to_string().as_bytes()) {
            Ok(Some(Effect::Tell(notification))) => notification,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_user_is_welcomed_by_name() {
        let notification =
            told("identity.user-registered", &json!({"user_id": USER, "name": "Ada", "email": "ada@example.com"}));
        assert_eq!(notification.audience, USER);
        assert_eq!(notification.body, "Welcome, Ada. Your account is ready.");
    }

    #[test]
    fn a_new_course_concerns_admins_and_content_its_author() {
        let notification = told("courses.course-created", &json!({"teacher_id": USER, "course_title": "Compilers"}));
        assert_eq!(notification.audience, ADMINS);
        assert_eq!(notification.body, "There is a new course: Compilers.");
        let notification = told("content.published", &json!({"author_id": USER, "content_title": "Parsing"}));
        assert_eq!(notification.audience, USER);
        assert_eq!(notification.body, "Parsing can be read now.");
    }

    #[test]
    fn what_is_undone_is_taken_back() {
        for (undone, told) in [
            ("identity.registration-undone", "identity.user-registered"),
            ("courses.creation-undone", "courses.course-created"),
            ("content.withdrawn", "content.published"),
        ] {
            assert_eq!(from_event(undone, b"{}"), Ok(Some(Effect::TakeBack(told))));
            assert!(wording(told).is_some(), "{told} is told");
        }
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
            let title = format!("{control}{title}{control}");
            let data = json!({"student_id": USER, "course_title": title, "content_title": title});
            for kind in ["enrollment.enrolled", "enrollment.cancelled", "courses.course-created", "content.published"] {
                let notification = told(kind, &data);
                prop_assert!(notification.body.chars().count() < INSERT_MAX_CHARS + 120);
                prop_assert!(!notification.body.chars().any(char::is_control));
                prop_assert_eq!(notification.kind, kind);
            }
        }
    }
}
