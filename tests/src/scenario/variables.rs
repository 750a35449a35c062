//! Names for what is different in each run: ids and tokens. Filled in on the way out, recognised on the way in.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::people::Person;

/// Shorter values stand for themselves: a name for `3` would be found everywhere.
const RECOGNISED_BYTES: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Variables(BTreeMap<String, String>);

impl Variables {
    pub fn knows(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub fn set(&mut self, name: &str, value: &Value) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.0.insert(name.to_owned(), text);
    }

    pub fn set_person(&mut self, name: &str, person: &Person) {
        let Person { id, email, token, refresh_token } = person.clone();
        for (part, value) in [("id", id), ("email", email), ("token", token), ("refresh_token", refresh_token)] {
            self.0.insert(format!("{name}.{part}"), value);
        }
    }

    /// The text with values for names.
    ///
    /// # Errors
    /// A name that nothing is known by.
    pub fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or_else(|| format!("{text:?}: no }} after ${{"))?;
            let value = self.0.get(name).ok_or_else(|| format!("there is no ${{{name}}}"))?;
            filled.push_str(before);
            filled.push_str(value);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// The text with names for values. E-mails stay: they are the same in each run.
    pub fn recognise(&self, text: &str) -> String {
        let known = self.0.iter().filter(|(name, value)| value.len() >= RECOGNISED_BYTES && !name.ends_with(".email"));
        known.fold(text.to_owned(), |text, (name, value)| text.replace(value, &format!("${{{name}}}")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_filled_in_is_recognised() {
        let mut variables = Variables::default();
        variables.set("course", &json!("0190d6a2-7e3f-7c3e-9c55-0a7d3b1b0001"));
        variables.set("seats", &json!(3));
        let text = "/api/courses/${course}/enroll?seats=${seats}";
        let filled = variables.fill(text).unwrap();
        assert_eq!(filled, "/api/courses/0190d6a2-7e3f-7c3e-9c55-0a7d3b1b0001/enroll?seats=3");
        assert_eq!(variables.recognise(&filled), "/api/courses/${course}/enroll?seats=3");
        assert!(variables.fill("${unknown}").is_err());
        assert!(variables.fill("${open").is_err());
    }
}
