//! What a course may be, and who may see and change it.

use uuid::Uuid;

use crate::Invalid;
use crate::money::Price;

/// Seats of one course at most.
pub const CAPACITY_MAX: u32 = 1_000_000;
/// Courses that one course may require.
pub const PREREQUISITES_MAX: usize = 20;
const CODE_MAX_CHARS: usize = 32;
const TITLE_MAX_CHARS: usize = 200;
const DESCRIPTION_MAX_CHARS: usize = 10_000;

/// A course as somebody describes it, unchecked.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The short name by which the catalogue lists it.
    pub code: String,
    /// One line.
    pub title: String,
    /// Any length up to 10,000 characters.
    pub description: String,
    /// Seats.
    pub capacity: u32,
    /// Minor units.
    pub price: u64,
    /// ISO 4217; may be left out if the price is 0.
    pub currency: Option<String>,
    /// Ids of courses that have to be completed first.
    pub prerequisites: Vec<String>,
}

/// A course whose fields have been checked; whether the prerequisites exist is for the database to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// See [`Draft::code`].
    pub code: String,
    /// See [`Draft::title`].
    pub title: String,
    /// See [`Draft::description`].
    pub description: String,
    /// 1 to [`CAPACITY_MAX`].
    pub capacity: u32,
    /// What it costs.
    pub price: Price,
    /// Each course once, in the order given.
    pub prerequisites: Vec<String>,
}

impl Draft {
    /// The course that is described.
    ///
    /// # Errors
    /// The first field that is not acceptable.
    pub fn check(self) -> Result<Course, Invalid> {
        Ok(Course {
            code: code(&self.code)?,
            title: text("title", &self.title, TITLE_MAX_CHARS)?,
            description: description(self.description)?,
            capacity: capacity(self.capacity)?,
            price: Price::new(self.price, self.currency.as_deref())?,
            prerequisites: prerequisites(self.prerequisites)?,
        })
    }
}

/// The code without space around it.
///
/// # Errors
/// If it is empty, too long, or not letters, digits and `- _ . /`.
pub fn code(given: &str) -> Result<String, Invalid> {
    let code = text("code", given, CODE_MAX_CHARS)?;
    if !code.chars().all(|c| c.is_alphanumeric() || "-_./ ".contains(c)) {
        return Err(Invalid::new("code", "may have letters, digits, spaces and - _ . / only"));
    }
    Ok(code)
}

/// One line of text without space around it.
///
/// # Errors
/// If it is empty, too long or has control characters.
pub fn text(field: &str, given: &str, max_chars: usize) -> Result<String, Invalid> {
    let text = given.trim();
    if text.is_empty() {
        return Err(Invalid::new(field, "is empty"));
    }
    if text.chars().count() > max_chars {
        return Err(Invalid::new(field, format!("is longer than {max_chars} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::new(field, "has a control character"));
    }
    Ok(text.to_owned())
}

/// The title of a course from elsewhere, by the same rule as any other.
///
/// # Errors
/// As [`text`].
pub fn title(given: &str) -> Result<String, Invalid> {
    text("title", given, TITLE_MAX_CHARS)
}

fn description(given: String) -> Result<String, Invalid> {
    if given.chars().count() > DESCRIPTION_MAX_CHARS {
        return Err(Invalid::new("description", format!("is longer than {DESCRIPTION_MAX_CHARS} characters")));
    }
    // PostgreSQL cannot store it, and nobody can read it.
    if given.contains('\0') {
        return Err(Invalid::new("description", "has a NUL character"));
    }
    Ok(given)
}

/// The number of seats.
///
/// # Errors
/// If it is 0 or too large.
pub fn capacity(seats: u32) -> Result<u32, Invalid> {
    if (1..=CAPACITY_MAX).contains(&seats) {
        return Ok(seats);
    }
    Err(Invalid::new("capacity", format!("is not between 1 and {CAPACITY_MAX}")))
}

fn prerequisites(ids: Vec<String>) -> Result<Vec<String>, Invalid> {
    if ids.len() > PREREQUISITES_MAX {
        return Err(Invalid::new("prerequisites", format!("are more than {PREREQUISITES_MAX}")));
    }
    let mut unique = Vec::with_capacity(ids.len());
    for (index, id) in ids.iter().enumerate() {
        let Some(id) = course_id(id) else {
            return Err(Invalid::new(format!("prerequisites[{index}]"), "is not the id of a course"));
        };
        if !unique.contains(&id) {
            unique.push(id);
        }
    }
    Ok(unique)
}

/// The id in the spelling that is stored, if the text is a UUID.
#[must_use]
pub fn course_id(text: &str) -> Option<String> {
    Uuid::try_parse(text).ok().map(|id| id.to_string())
}

/// Who asks, as far as courses are concerned.
#[derive(Clone, Copy, Debug)]
pub struct Viewer<'a> {
    /// The account's id; none for a visitor.
    pub id: Option<&'a str>,
    /// Whether the account is an admin.
    pub admin: bool,
}

/// Whether the viewer may change the course of that teacher.
#[must_use]
pub fn may_change(viewer: Viewer<'_>, teacher_id: &str) -> bool {
    viewer.admin || viewer.id == Some(teacher_id)
}

/// Whether the viewer may know that the course exists.
#[must_use]
pub fn may_see(viewer: Viewer<'_>, teacher_id: &str, published: bool) -> bool {
    published || may_change(viewer, teacher_id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn draft() -> Draft {
        Draft { code: "CS-101".into(), title: "Compilers".into(), capacity: 30, ..Draft::default() }
    }

    fn refused(change: impl FnOnce(&mut Draft)) -> String {
        let mut draft = draft();
        change(&mut draft);
        draft.check().unwrap_err().field
    }

    #[test]
    fn each_field_is_named_when_it_is_wrong() {
        assert!(draft().check().is_ok());
        assert_eq!(refused(|d| d.code = " ".into()), "code");
        assert_eq!(refused(|d| d.code = "<b>".into()), "code");
        assert_eq!(refused(|d| d.title = "x".repeat(201)), "title");
        assert_eq!(refused(|d| d.title = "a\nb".into()), "title");
        assert_eq!(refused(|d| d.description = "\0".into()), "description");
        assert_eq!(refused(|d| d.capacity = 0), "capacity");
        assert_eq!(refused(|d| d.capacity = CAPACITY_MAX + 1), "capacity");
        assert_eq!(refused(|d| d.price = 100), "currency");
        assert_eq!(refused(|d| d.prerequisites = vec!["x".into()]), "prerequisites[0]");
        assert_eq!(refused(|d| d.prerequisites = vec![Uuid::nil().to_string(); 21]), "prerequisites");
    }

    proptest! {
        #[test]
        fn prerequisites_are_kept_once_each_in_order(ids in prop::collection::vec(0u128..6, 0..PREREQUISITES_MAX)) {
            let given: Vec<String> = ids.iter().map(|id| Uuid::from_u128(*id).to_string().to_uppercase()).collect();
            let course = Draft { prerequisites: given, ..draft() }.check().unwrap();
            let mut expected: Vec<u128> = Vec::new();
            for id in ids {
                if !expected.contains(&id) {
                    expected.push(id);
                }
            }
            let expected: Vec<String> = expected.into_iter().map(|id| Uuid::from_u128(id).to_string()).collect();
            prop_assert_eq!(course.prerequisites, expected);
        }

        #[test]
        fn an_unpublished_course_is_seen_by_its_teacher_and_admins_alone(id in prop::option::of("[a-c]"), admin: bool) {
            let viewer = Viewer { id: id.as_deref(), admin };
            prop_assert!(may_see(viewer, "a", true));
            prop_assert_eq!(may_see(viewer, "a", false), admin || id.as_deref() == Some("a"));
        }
    }
}
