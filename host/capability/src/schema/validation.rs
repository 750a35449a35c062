//! Whether data fit a schema, in words for whoever publishes them.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use super::document::Document;

/// Most problems that are told of one event.
const MAX_TOLD: usize = 3;
/// Longest text of one problem, in bytes: data may be in it.
const MAX_PROBLEM_BYTES: usize = 200;
/// Largest compiled pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// The schema, compiled. Nothing is fetched, and patterns take time in proportion to the text alone.
///
/// # Errors
/// What of it is no schema of draft 2020-12, and where.
pub(super) fn compile(schema: &Document) -> Result<Validator, String> {
    jsonschema::draft202012::options()
        .offline()
        .should_validate_formats(true)
        .should_ignore_unknown_formats(true)
        .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_BYTES))
        .build(schema.written())
        .map_err(|error| {
            let at = error.instance_path().as_str().to_owned();
            let place = if at.is_empty() { String::new() } else { format!("at {at}: ") };
            format!("{place}{}", cut(&error.to_string()))
        })
}

/// Looks at the data.
///
/// # Errors
/// The first problems, each with its place.
pub(super) fn validate(validator: &Validator, data: &Value) -> Result<(), String> {
    if validator.is_valid(data) {
        return Ok(());
    }
    let mut errors = validator.iter_errors(data);
    let told = errors.by_ref().take(MAX_TOLD).map(|error| {
        let at = error.instance_path().as_str();
        format!("at {}: {}", if at.is_empty() { "the top" } else { at }, cut(&error.to_string()))
    });
    let told: Vec<String> = told.collect();
    let more = errors.count();
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    Err(format!("{}{more}", told.join("; ")))
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_PROBLEM_BYTES);
    let more = if end < text.len() { "…" } else { "" };
    format!("{}{more}", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(schema: Value, data: Value) -> Result<(), String> {
        validate(&compile(&Document::of(schema).unwrap()).unwrap(), &data)
    }

    #[test]
    fn problems_have_their_place() {
        let schema =
            json!({ "properties": { "a": { "type": "string" }, "at": { "format": "date-time" } }, "required": ["b"] });
        let error = told(schema.clone(), json!({ "a": 7, "at": "noon" })).unwrap_err();
        assert!(error.contains("at /a: 7 is not of type \"string\""), "{error}");
        assert!(error.contains("at /at: "), "{error}");
        assert!(error.contains("at the top: \"b\" is a required property"), "{error}");
        assert_eq!(told(schema, json!({ "a": "x", "b": 1 })), Ok(()));
        let long = told(json!({ "type": "integer" }), json!("x".repeat(10_000))).unwrap_err();
        assert!(long.len() < 300, "{}", long.len());
    }

    #[test]
    fn what_is_no_schema_is_not_compiled() {
        let refused = |schema: Value| compile(&Document::of(schema).unwrap()).unwrap_err();
        assert!(refused(json!({ "properties": { "a": { "type": "text" } } })).contains("at /properties/a/type"));
        assert!(refused(json!({ "pattern": "(?=x)" })).contains("pattern"), "a pattern that may take for ever");
    }
}
