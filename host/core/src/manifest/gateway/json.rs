//! JSON Schemas of HTTP bodies: files of one folder that refer to each other by name. Whether they are schemas is for
//! the gateway to say, which validates by them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

/// Largest file, in bytes.
const MAX_BYTES: u64 = 64 * 1024;
/// Most files.
const MAX_SCHEMAS: usize = 512;
/// Where a document of OpenAPI has them.
const PLACE: &str = "#/components/schemas/";

/// The schemas of a folder that are used.
pub(super) struct Schemas {
    folder: PathBuf,
    loaded: BTreeMap<Arc<str>, Value>,
}

/// What a component of an OpenAPI document may be called.
pub(super) fn is_name(text: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.len() <= 128 && !text.starts_with('.') && text.bytes().all(of_name)
}

impl Schemas {
    pub fn of(folder: PathBuf) -> Self {
        Self { folder, loaded: BTreeMap::new() }
    }

    pub fn into_loaded(self) -> BTreeMap<Arc<str>, Value> {
        self.loaded
    }

    /// Reads a schema and all that it refers to.
    ///
    /// # Errors
    /// What is wrong, with the file.
    pub fn load(&mut self, name: &str) -> Result<(), String> {
        let mut wanted = vec![Arc::from(name)];
        while let Some(name) = wanted.pop() {
            let name: Arc<str> = name;
            if self.loaded.contains_key(&name) {
                continue;
            }
            if self.loaded.len() >= MAX_SCHEMAS {
                return Err(format!("there are more than {MAX_SCHEMAS} schemas"));
            }
            let path = self.folder.join(format!("{name}.json"));
            let at = |error: String| format!("the schema {}: {error}", path.display());
            let mut schema = read(&path).map_err(at)?;
            let referred = lead(&mut schema, &name).map_err(at)?;
            self.loaded.insert(name, schema);
            wanted.extend(referred);
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Value, String> {
    let size = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if size > MAX_BYTES {
        return Err(format!("has {size} bytes; a schema has at most {MAX_BYTES}"));
    }
    let text = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let schema: Value = serde_json::from_slice(&text).map_err(|error| format!("is not JSON: {error}"))?;
    if schema.is_object() { Ok(schema) } else { Err("is no object".to_owned()) }
}

/// Leads the references of the schema `name` to where an OpenAPI document has what they mean, and answers the names of
/// the other schemas among that.
fn lead(schema: &mut Value, name: &str) -> Result<Vec<Arc<str>>, String> {
    let mut others = Vec::new();
    match schema {
        Value::Object(object) => {
            for key in ["$schema", "$id"] {
                object.remove(key);
            }
            for (key, value) in object.iter_mut() {
                match (key.as_str(), &mut *value) {
                    ("$ref", Value::String(to)) => *to = led(to, name, &mut others)?,
                    // What stands there is data.
                    ("enum" | "const" | "default" | "examples" | "example", _) => {}
                    _ => others.extend(lead(value, name)?),
                }
            }
        }
        Value::Array(values) => {
            for value in values {
                others.extend(lead(value, name)?);
            }
        }
        _ => {}
    }
    Ok(others)
}

fn led(to: &str, own: &str, others: &mut Vec<Arc<str>>) -> Result<String, String> {
    let (file, fragment) = to.split_once('#').unwrap_or((to, ""));
    if !(fragment.is_empty() || fragment.starts_with('/')) {
        return Err(format!("`$ref` {to:?} leads to no JSON pointer"));
    }
    let name = match file {
        "" => own,
        file => file.strip_suffix(".json").filter(|name| is_name(name)).ok_or_else(|| {
            format!("`$ref` {to:?} names no file of this folder; write \"<name>.json\" or \"#/$defs/<name>\"")
        })?,
    };
    if name != own {
        others.push(name.into());
    }
    Ok(format!("{PLACE}{name}{fragment}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_lead_to_components() {
        let mut schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "items": { "$ref": "course.json" },
            "properties": { "a": { "$ref": "#/$defs/b" }, "c": { "$ref": "page.json#/$defs/d" } },
            "examples": [{ "$ref": "untouched" }],
        });
        let others = lead(&mut schema, "courses").unwrap();
        assert_eq!(others, ["course".into(), "page".into()] as [Arc<str>; 2]);
        assert_eq!(schema["items"]["$ref"], "#/components/schemas/course");
        assert_eq!(schema["properties"]["a"]["$ref"], "#/components/schemas/courses/$defs/b");
        assert_eq!(schema["properties"]["c"]["$ref"], "#/components/schemas/page/$defs/d");
        assert_eq!((&schema["examples"][0]["$ref"], schema.get("$schema")), (&json!("untouched"), None));
    }

    #[test]
    fn references_stay_in_the_folder() {
        for to in ["../x.json", "http://example.com/x.json", "/etc/x.json", "x", ".x.json", "x.json#name"] {
            assert!(lead(&mut json!({ "$ref": to }), "own").is_err(), "{to}");
        }
    }

    #[test]
    fn schemas_come_with_what_they_refer_to() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("a.json", r#"{ "items": { "$ref": "b.json" } }"#);
        write("b.json", r#"{ "properties": { "a": { "$ref": "a.json" } } }"#);
        write("c.json", "[]");
        let mut schemas = Schemas::of(folder.path().to_owned());
        assert_eq!(schemas.load("a"), Ok(()));
        assert!(schemas.load("c").unwrap_err().contains("is no object"));
        assert!(schemas.load("missing").unwrap_err().contains("missing.json"));
        assert_eq!(schemas.into_loaded().keys().map(|name| &**name).collect::<Vec<_>>(), ["a", "b"]);
    }
}
