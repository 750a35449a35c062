//! Variables: the values of one component, resolved when the manifest is loaded. Where values come from (defaults,
//! environment, files, secrets made at first start) is the assembly's concern; the WIT interfaces are in [`glue`].

pub mod glue;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The resolved variables of one component, by name. They may be secret, so no value is ever shown by `Debug` or
/// written to a log.
#[derive(Clone, Default)]
pub struct Variables(Arc<BTreeMap<String, String>>);

impl Variables {
    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All names and values, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl From<Arc<BTreeMap<String, String>>> for Variables {
    fn from(values: Arc<BTreeMap<String, String>>) -> Self {
        Self(values)
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(values: I) -> Self {
        Self(Arc::new(values.into_iter().collect()))
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Whether `name` is a variable's name in Spin's syntax: words of lower-case letters and digits, each beginning with
/// a letter, joined by single underscores.
#[must_use]
pub fn is_name(name: &str) -> bool {
    name.split('_').all(|word| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_shown() {
        let variables: Variables = [("token".to_owned(), "s3cret".to_owned())].into_iter().collect();
        assert_eq!(format!("{variables:?}"), r#"{"token"}"#);
        assert_eq!(variables.get("token"), Some("s3cret"));
    }

    #[test]
    fn names_follow_spins_syntax() {
        for name in ["a", "a1", "db_url", "a_b2_c"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "A", "1a", "a__b", "_a", "a_", "a-b", "a_1"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
