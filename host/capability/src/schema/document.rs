//! A schema as it is written and as it is compared: what is taken (JSON Schema draft 2020-12 whose references stay within
//! the document), its limits, and its normal form, in which references are followed and words for people left out.

use serde_json::{Map, Value};

/// Largest schema, in bytes.
pub const MAX_SCHEMA_BYTES: usize = 64 * 1024;
/// Most keywords and values of a schema once its references are followed.
const MAX_NODES: usize = 20_000;
/// Deepest nesting of its normal form.
const MAX_DEPTH: usize = 64;
/// The one draft.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Keywords whose value is a schema.
pub(super) const ONE: [&str; 10] = [
    "items",
    "additionalProperties",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is a list of schemas.
pub(super) const LISTS: [&str; 4] = ["prefixItems", "allOf", "anyOf", "oneOf"];
/// Keywords whose value has a schema under each name.
pub(super) const NAMED: [&str; 3] = ["properties", "patternProperties", "dependentSchemas"];
/// What else matters: assertions, and the two annotations that the rules of change go by.
const VALUES: [&str; 23] = [
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "format",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "default",
    "deprecated",
];
/// Keywords that make a reference lead elsewhere than it says.
const REFUSED: [&str; 6] =
    ["$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "dependencies"];

/// Why something is no schema. Client fault; trying again does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if pointer.is_empty() { String::new() } else { format!("at {pointer}: ") })]
pub struct DocumentError {
    /// JSON pointer into the schema; empty for the whole.
    pub pointer: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// A schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    written: Value,
    normal: Value,
}

impl Document {
    /// Reads a schema. Whether its patterns can be compiled is not looked at.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &[u8]) -> Result<Self, DocumentError> {
        let whole = |message: String| DocumentError { pointer: String::new(), message };
        if text.len() > MAX_SCHEMA_BYTES {
            return Err(whole(format!("a schema has at most {MAX_SCHEMA_BYTES} bytes, not {}", text.len())));
        }
        let written: Value = serde_json::from_slice(text).map_err(|error| whole(format!("not JSON: {error}")))?;
        Self::of(written)
    }

    /// The schema of this JSON.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn of(written: Value) -> Result<Self, DocumentError> {
        let mut normaliser = Normaliser { root: &written, following: Vec::new(), nodes: 0 };
        let normal = normaliser.schema(&written, "")?;
        Ok(Self { written, normal })
    }

    /// As it was written.
    #[must_use]
    pub fn written(&self) -> &Value {
        &self.written
    }

    /// In the form that is compared.
    pub(super) fn normal(&self) -> &Value {
        &self.normal
    }
}

struct Normaliser<'a> {
    root: &'a Value,
    /// The references that are being followed.
    following: Vec<String>,
    nodes: usize,
}

impl Normaliser<'_> {
    fn schema(&mut self, schema: &Value, at: &str) -> Result<Value, DocumentError> {
        let refused = |message: String| DocumentError { pointer: at.to_owned(), message };
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(refused(format!(
                "the schema has more than {MAX_NODES} parts when its references are followed"
            )));
        }
        if at.bytes().filter(|byte| *byte == b'/').count() > MAX_DEPTH {
            return Err(refused(format!("the schema is nested more than {MAX_DEPTH} deep")));
        }
        let object = match schema {
            Value::Bool(_) => return Ok(schema.clone()),
            Value::Object(object) => object,
            _ => return Err(refused("a schema is an object, true or false".to_owned())),
        };
        if let Some(keyword) = REFUSED.iter().find(|keyword| object.contains_key(**keyword)) {
            return Err(refused(format!("`{keyword}` is not taken here; write `$ref` to a place in `$defs`")));
        }
        if object.contains_key("$id") && !at.is_empty() {
            return Err(refused("`$id` is taken at the top alone".to_owned()));
        }
        if let Some(draft) = object.get("$schema").filter(|draft| draft.as_str() != Some(DRAFT)) {
            return Err(refused(format!("`$schema` is {draft}; only {DRAFT:?} is taken")));
        }
        let normal = self.keywords(object, at)?;
        match object.get("$ref") {
            None => Ok(Value::Object(normal)),
            Some(reference) => self.reference(reference, normal, at),
        }
    }

    fn keywords(&mut self, object: &Map<String, Value>, at: &str) -> Result<Map<String, Value>, DocumentError> {
        let refused =
            |keyword: &str, what: &str| DocumentError { pointer: format!("{at}/{keyword}"), message: what.to_owned() };
        let mut normal = Map::new();
        for (keyword, value) in object {
            let value = match keyword.as_str() {
                one if ONE.contains(&one) => self.schema(value, &format!("{at}/{keyword}"))?,
                list if LISTS.contains(&list) => {
                    let schemas =
                        value.as_array().ok_or_else(|| refused(keyword, "this has to be a list of schemas"))?;
                    let schemas = schemas.iter().enumerate();
                    let schemas =
                        schemas.map(|(index, schema)| self.schema(schema, &format!("{at}/{keyword}/{index}")));
                    Value::Array(schemas.collect::<Result<_, _>>()?)
                }
                named if NAMED.contains(&named) => {
                    let schemas =
                        value.as_object().ok_or_else(|| refused(keyword, "this has to be an object of schemas"))?;
                    let schemas = schemas.iter().map(|(name, schema)| {
                        let schema = self.schema(schema, &format!("{at}/{keyword}/{}", escaped(name)))?;
                        Ok((name.clone(), schema))
                    });
                    Value::Object(schemas.collect::<Result<_, _>>()?)
                }
                known if VALUES.contains(&known) => value.clone(),
                _ => continue,
            };
            normal.insert(keyword.clone(), value);
        }
        Ok(normal)
    }

    /// What a reference leads to, together with what stands beside it.
    fn reference(
        &mut self,
        reference: &Value,
        mut beside: Map<String, Value>,
        at: &str,
    ) -> Result<Value, DocumentError> {
        let refused = |message: String| DocumentError { pointer: format!("{at}/$ref"), message };
        let pointer = reference.as_str().and_then(|reference| reference.strip_prefix('#'));
        let pointer = pointer.filter(|pointer| pointer.is_empty() || pointer.starts_with('/')).ok_or_else(|| {
            let advice = "a reference leads to a place in the same schema, such as \"#/$defs/address\"";
            refused(format!("{reference} leads out of the schema; {advice}"))
        })?;
        let root = self.root;
        let target = root.pointer(pointer).ok_or_else(|| refused(format!("{reference} leads nowhere")))?;
        let led_to = if self.following.iter().any(|followed| followed == pointer) {
            // It goes round: it is compared as it is written, with all that it can lead to.
            let leads_into = if pointer.starts_with("/$defs/") { root.get("$defs") } else { Some(root) };
            serde_json::json!({ "$ref": pointer, "$in": leads_into })
        } else {
            self.following.push(pointer.to_owned());
            let led_to = self.schema(target, at)?;
            self.following.pop();
            led_to
        };
        let only_notes = beside.keys().all(|keyword| matches!(keyword.as_str(), "default" | "deprecated"));
        match led_to {
            Value::Object(mut led_to) if only_notes => {
                led_to.extend(beside);
                Ok(Value::Object(led_to))
            }
            led_to => {
                let all = beside.entry("allOf").or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(all) = all {
                    all.push(led_to);
                }
                Ok(Value::Object(beside))
            }
        }
    }
}

/// A name as it stands in a JSON pointer.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A normal form without what is of no matter to which data are valid.
pub(super) fn bare(schema: &Value) -> Value {
    let Value::Object(object) = schema else { return schema.clone() };
    let keywords = object.iter().filter(|(keyword, _)| !matches!(keyword.as_str(), "default" | "deprecated"));
    let keywords = keywords.map(|(keyword, value)| {
        let value = match (keyword.as_str(), value) {
            (one, value) if ONE.contains(&one) => bare(value),
            (list, Value::Array(schemas)) if LISTS.contains(&list) => schemas.iter().map(bare).collect(),
            (named, Value::Object(schemas)) if NAMED.contains(&named) => {
                schemas.iter().map(|(name, schema)| (name.clone(), bare(schema))).collect()
            }
            _ => value.clone(),
        };
        (keyword.clone(), value)
    });
    keywords.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn normal(written: Value) -> Value {
        Document::of(written).unwrap().normal
    }

    #[test]
    fn references_are_followed_and_words_for_people_left_out() {
        let written = json!({
            "$schema": DRAFT, "title": "T", "$defs": { "id": { "type": "string", "description": "d" } },
            "properties": {
                "title": { "$ref": "#/$defs/id", "default": "" },
                "default": { "$ref": "#/$defs/id", "minLength": 1 },
            },
        });
        let expected = json!({
            "properties": {
                "title": { "type": "string", "default": "" },
                "default": { "minLength": 1, "allOf": [{ "type": "string" }] },
            },
        });
        assert_eq!(normal(written), expected);
        assert_eq!(bare(&expected)["properties"]["title"], json!({ "type": "string" }));
        assert!(bare(&expected)["properties"].get("default").is_some(), "a field may have the name of a keyword");
    }

    #[test]
    fn a_reference_that_goes_round_stays() {
        let tree = json!({ "type": "object", "properties": { "left": { "$ref": "#/$defs/tree" } } });
        let normal = normal(json!({ "$ref": "#/$defs/tree", "$defs": { "tree": tree } }));
        assert_eq!(normal["properties"]["left"]["$ref"], "/$defs/tree");
        assert!(normal["properties"]["left"]["$in"]["tree"].is_object());
    }

    #[test]
    fn what_is_not_taken_is_said_with_its_place() {
        let refused = |written: Value| Document::of(written).unwrap_err();
        let remote = refused(json!({ "properties": { "a/b": { "$ref": "https://example.com/x.json" } } }));
        assert_eq!(remote.pointer, "/properties/a~1b/$ref");
        assert!(remote.message.contains("leads out of the schema"), "{remote}");
        assert!(refused(json!({ "$ref": "#/$defs/x" })).message.contains("leads nowhere"));
        assert!(refused(json!({ "$schema": "http://json-schema.org/draft-07/schema#" })).message.contains("2020-12"));
        assert!(refused(json!({ "items": { "$dynamicRef": "#x" } })).message.contains("$dynamicRef"));
        assert!(refused(json!(7)).message.contains("true or false"));
        let large = format!("{{\"title\":\"{}\"}}", "x".repeat(MAX_SCHEMA_BYTES));
        assert!(Document::parse(large.as_bytes()).unwrap_err().message.contains("at most"));
        assert!(Document::parse(b"{").unwrap_err().message.contains("not JSON"));
    }

    #[test]
    fn a_schema_that_grows_when_followed_is_refused() {
        let mut definitions = Map::new();
        definitions.insert("d0".to_owned(), json!({ "type": "string" }));
        for level in 1..20 {
            let below = json!({ "$ref": format!("#/$defs/d{}", level - 1) });
            definitions.insert(format!("d{level}"), json!({ "properties": { "a": below, "b": below, "c": below } }));
        }
        let error = Document::of(json!({ "$ref": "#/$defs/d19", "$defs": definitions })).unwrap_err();
        assert!(error.message.contains("parts when its references are followed"), "{error}");
    }
}
