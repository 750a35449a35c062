//! What an account consists of: e-mail, name, role and preferences. Passwords are next door in `password`.

use serde_json::{Map, Value};

use crate::Invalid;

/// Bytes of an e-mail address, by RFC 5321.
pub const EMAIL_MAX_BYTES: usize = 254;
/// Characters of a name.
pub const NAME_MAX_CHARS: usize = 100;
/// Bytes of the preferences as JSON.
pub const PREFERENCES_MAX_BYTES: usize = 4096;
/// Objects and arrays inside one another in the preferences.
pub const PREFERENCES_MAX_DEPTH: usize = 4;

/// The address in the one spelling that is stored and compared: trimmed and in lower case.
///
/// # Errors
/// What keeps it from being an address that mail could be sent to.
pub fn email(text: &str) -> Result<String, Invalid> {
    let refuse = |reason: &str| Err(Invalid::new("email", reason));
    let email = text.trim().to_lowercase();
    if email.len() > EMAIL_MAX_BYTES {
        return refuse("is longer than 254 bytes");
    }
    let Some((local, domain)) = email.rsplit_once('@') else {
        return refuse("has no @: write it as name@example.com");
    };
    if local.is_empty() || local.len() > 64 {
        return refuse("needs 1 to 64 bytes before the @");
    }
    if local.contains('@') || local.starts_with('.') || local.ends_with('.') || local.contains("..") {
        return refuse("has a misplaced dot or @ before the last @");
    }
    if !local.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c)) {
        return refuse("has a character that is not permitted before the @");
    }
    let labels: Vec<&str> = domain.split('.').collect();
    if labels.len() < 2 || !labels.iter().all(|label| is_label(label)) {
        return refuse("needs a domain such as example.com after the @");
    }
    Ok(email)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(|c| c.is_alphanumeric() || c == '-')
}

/// The name without space around it.
///
/// # Errors
/// If nothing is left, if it is too long, or if it holds control characters.
pub fn name(text: &str) -> Result<String, Invalid> {
    let name = text.trim();
    if name.is_empty() {
        return Err(Invalid::new("name", "is empty"));
    }
    if name.chars().count() > NAME_MAX_CHARS {
        return Err(Invalid::new("name", "is longer than 100 characters"));
    }
    if name.chars().any(char::is_control) {
        return Err(Invalid::new("name", "has a control character"));
    }
    Ok(name.to_owned())
}

/// The preferences as they are stored.
///
/// # Errors
/// If they are larger or deeper than the limits.
pub fn preferences(object: Map<String, Value>) -> Result<String, Invalid> {
    let value = Value::Object(object);
    if depth(&value) > PREFERENCES_MAX_DEPTH {
        return Err(Invalid::new("preferences", "are nested deeper than 4"));
    }
    let text = value.to_string();
    if text.len() > PREFERENCES_MAX_BYTES {
        return Err(Invalid::new("preferences", "are larger than 4096 bytes as JSON"));
    }
    Ok(text)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Helps users; sees their records.
    Staff,
    /// Makes courses and grades.
    Teacher,
    /// Takes courses.
    Student,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Staff, Self::Teacher, Self::Student];

    /// The role with that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| Invalid::new("role", "is not one of admin, staff, teacher, student"))
    }

    /// The name, as in tokens and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Staff => "staff",
            Self::Teacher => "teacher",
            Self::Student => "student",
        }
    }

    /// What the role permits, as in the tokens' `permissions`.
    #[must_use]
    pub fn permissions(self) -> &'static [&'static str] {
        match self {
            Self::Admin => &["courses:write", "enrollments:read", "enrollments:write", "grades:write", "users:write"],
            Self::Staff => &["enrollments:read", "enrollments:write"],
            Self::Teacher => &["courses:write", "enrollments:write", "grades:write"],
            Self::Student => &["enrollments:write"],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn an_address_is_stored_in_one_spelling(local in "[a-zA-Z0-9]{1,20}", domain in "[a-zA-Z0-9]{1,20}\\.[a-z]{2,6}") {
            let address = format!(" {local}@{domain}\n");
            let stored = email(&address).unwrap();
            prop_assert_eq!(&stored, &address.trim().to_lowercase());
            prop_assert_eq!(email(&stored), Ok(stored.clone()));
        }

        #[test]
        fn what_is_accepted_has_the_shape_of_an_address(text in "\\PC{0,80}") {
            if let Ok(stored) = email(&text) {
                let (local, domain) = stored.rsplit_once('@').unwrap();
                prop_assert!(!local.is_empty() && domain.contains('.') && stored.len() <= EMAIL_MAX_BYTES);
                prop_assert!(!stored.contains(char::is_whitespace));
            }
        }

        #[test]
        fn names_are_trimmed_and_short(text in "\\PC{0,200}") {
            if let Ok(stored) = name(&text) {
                prop_assert_eq!(stored.trim(), stored.as_str());
                prop_assert!((1..=NAME_MAX_CHARS).contains(&stored.chars().count()));
            }
        }
    }

    #[test]
    fn addresses_that_no_mail_reaches_are_refused() {
        for text in
            ["", "x", "@example.com", "a@", "a@b", "a b@example.com", "a..b@example.com", "a@@example.com", "a@-x.org"]
        {
            assert_eq!(email(text).map_err(|e| e.field), Err("email"), "{text}");
        }
    }

    #[test]
    fn preferences_are_bounded() {
        let object = |value: Value| value.as_object().cloned().unwrap();
        assert_eq!(preferences(object(json!({"theme": "dark"}))), Ok(r#"{"theme":"dark"}"#.to_owned()));
        assert!(preferences(object(json!({"a": {"b": {"c": {"d": {}}}}}))).is_err());
        assert!(preferences(object(json!({"a": "x".repeat(PREFERENCES_MAX_BYTES)}))).is_err());
    }

    #[test]
    fn every_role_is_found_by_its_name() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.name()), Ok(role));
        }
        assert!(Role::parse("root").is_err());
    }
}
