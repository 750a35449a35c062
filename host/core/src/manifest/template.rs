//! Texts with `{{ name }}` in them, as in Spin's component variables and outbound hosts.

use std::fmt;
use std::str::FromStr;

use super::names;

/// Why a text is no template. Client fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{{` without `}}`.
    #[error("`{{{{` without `}}}}`")]
    Unclosed,
    /// What stands between the braces is no name of a variable.
    #[error("{0:?} between `{{{{` and `}}}}` is not a variable's name (snake_case)")]
    Name(String),
}

/// A text in which `{{ name }}` stands for the value of an application variable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    text: Box<str>,
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Literal(Box<str>),
    Variable(Box<str>),
}

impl Template {
    /// The variables it names, in order, repeated ones repeatedly.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(&**name),
            Part::Literal(_) => None,
        })
    }

    /// Whether it names no variable.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.variables().next().is_none()
    }

    /// The text with each variable replaced by what `value` gives for it; the first name without a value otherwise.
    ///
    /// # Errors
    /// The name for which `value` gave nothing.
    pub fn expand<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Result<String, &str> {
        let mut out = String::with_capacity(self.text.len());
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Variable(name) => out.push_str(value(name).ok_or(&**name)?),
            }
        }
        Ok(out)
    }

    /// The template as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, opened)) = rest.split_once("{{") {
            let (name, after) = opened.split_once("}}").ok_or(TemplateError::Unclosed)?;
            let name = name.trim();
            if !names::is_variable(name) {
                return Err(TemplateError::Name(name.to_owned()));
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.into()));
            }
            parts.push(Part::Variable(name.into()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.into()));
        }
        Ok(Self { text: text.into(), parts: parts.into() })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_what_is_between_the_braces() {
        let values = |name: &str| match name {
            "host" => Some("example.com"),
            "port" => Some("443"),
            _ => None,
        };
        let expand = |text: &str| text.parse::<Template>().unwrap().expand(values).map_err(str::to_owned);
        assert_eq!(expand("https://{{ host }}:{{port}}/"), Ok("https://example.com:443/".into()));
        assert_eq!(expand("plain }} text {"), Ok("plain }} text {".into()));
        assert_eq!(expand(""), Ok(String::new()));
        assert_eq!(expand("{{ host }}{{ nobody }}"), Err("nobody".into()));
    }

    #[test]
    fn a_value_is_not_expanded_again() {
        let template: Template = "{{ a }}".parse().unwrap();
        assert_eq!(template.expand(|_| Some("{{ b }}")), Ok("{{ b }}".into()));
    }

    #[test]
    fn refuses_what_is_no_template() {
        assert_eq!("{{ host".parse::<Template>(), Err(TemplateError::Unclosed));
        assert_eq!("{{ Host }}".parse::<Template>(), Err(TemplateError::Name("Host".into())));
        assert_eq!("{{}}".parse::<Template>(), Err(TemplateError::Name(String::new())));
    }
}
