//! Golden answers: what differs from run to run is replaced by a wildcard, such as `<uuid>` or `<time>`, or by the name of
//! a captured value, and the rest is compared word for word. `<any>` is put in by hand and survives.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::variables::Variables;
use crate::http::Response;

/// Headers that belong to the contract.
const HEADERS: [&str; 6] = ["allow", "cache-control", "content-type", "location", "retry-after", "www-authenticate"];
const ANY: &str = "<any>";

/// The golden answers of a scenario.
pub(super) struct Golden {
    path: PathBuf,
    bless: bool,
    expected: Map<String, Value>,
    /// In the order of the steps.
    seen: Vec<(String, Value)>,
    wrong: Vec<String>,
}

impl Golden {
    pub fn load(path: &Path) -> Self {
        let bless = std::env::var_os("BLESS").is_some();
        let expected = match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            Err(_) if bless => Map::new(),
            Err(error) => panic!("{}: {error}; BLESS=1 writes it", path.display()),
        };
        Self { path: path.to_owned(), bless, expected, seen: Vec::new(), wrong: Vec::new() }
    }

    /// Compares the answer of a step, or notes it.
    pub fn check(&mut self, step: &str, variables: &Variables, answer: &Response) {
        let seen = normal(variables, answer);
        let expected = self.expected.get(step).cloned().unwrap_or(Value::Null);
        if !matches(&expected, &seen) {
            self.wrong.push(format!("step {step:?}\nexpected {expected:#}\nbut got  {seen:#}"));
        }
        self.seen.push((step.to_owned(), keep_any(&expected, seen)));
    }

    /// Says what was wrong, or writes it as golden.
    ///
    /// # Panics
    /// If an answer was not the golden one.
    pub fn finish(mut self) {
        if self.bless {
            std::fs::write(&self.path, written(&self.seen)).expect("the golden answers can be written");
            return;
        }
        for step in self.expected.keys().filter(|step| !self.seen.iter().any(|(seen, _)| seen == *step)) {
            self.wrong.push(format!("there is no step {step:?}"));
        }
        let path = self.path.display();
        assert!(self.wrong.is_empty(), "{path} (BLESS=1 writes it anew):\n{}", self.wrong.join("\n\n"));
    }
}

/// As JSON for people to read; serde_json's own maps would sort the steps by name.
fn written(answers: &[(String, Value)]) -> String {
    let entry = |(step, answer): &(String, Value)| format!("{}: {answer:#}", json!(step)).replace('\n', "\n  ");
    let entries: Vec<String> = answers.iter().map(entry).collect();
    format!("{{\n  {}\n}}\n", entries.join(",\n  "))
}

/// Whether `found` is what `wanted` says; a wildcard in it stands for what it names.
pub(super) fn matches(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::String(wanted), _) if wanted == ANY => true,
        (Value::String(wanted), Value::String(found)) => wanted == found || *wanted == wildcards(found),
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| matches(wanted, found))
        }
        (Value::Object(wanted), Value::Object(found)) => {
            wanted.len() == found.len()
                && wanted.iter().all(|(key, wanted)| found.get(key).is_some_and(|found| matches(wanted, found)))
        }
        _ => wanted == found,
    }
}

fn normal(variables: &Variables, answer: &Response) -> Value {
    let headers = HEADERS.iter().filter_map(|name| {
        let value = answer.header(name)?;
        let value = if *name == "retry-after" && value.parse::<u32>().is_ok() {
            "<seconds>".to_owned()
        } else {
            wildcards(&variables.recognise(value))
        };
        Some(((*name).to_owned(), Value::String(value)))
    });
    let body = match serde_json::from_slice::<Value>(&answer.body) {
        Ok(body) => normal_value(variables, "", body),
        Err(_) => Value::String(answer.text()),
    };
    json!({ "headers": headers.collect::<Map<_, _>>(), "body": body })
}

fn normal_value(variables: &Variables, key: &str, value: Value) -> Value {
    match value {
        Value::String(_) if matches!(key, "access_token" | "refresh_token") => json!("<token>"),
        Value::String(_) if key == "next_cursor" => json!("<cursor>"),
        Value::String(_) if key == "correlation_id" => json!("<id>"),
        Value::String(text) => Value::String(wildcards(&variables.recognise(&text))),
        Value::Array(items) => items.into_iter().map(|item| normal_value(variables, key, item)).collect(),
        Value::Object(map) => {
            let normal = map.into_iter().map(|(key, value)| (key.clone(), normal_value(variables, &key, value)));
            Value::Object(normal.collect())
        }
        other => other,
    }
}

/// Keeps `<any>` where a person has put it.
fn keep_any(expected: &Value, seen: Value) -> Value {
    match (expected, seen) {
        (Value::String(text), _) if text == ANY => json!(ANY),
        (Value::Object(expected), Value::Object(seen)) => {
            let kept = seen.into_iter().map(|(key, value)| {
                let value = keep_any(expected.get(&key).unwrap_or(&Value::Null), value);
                (key, value)
            });
            Value::Object(kept.collect())
        }
        (Value::Array(expected), Value::Array(seen)) => {
            let kept = seen.into_iter().enumerate();
            kept.map(|(index, value)| keep_any(expected.get(index).unwrap_or(&Value::Null), value)).collect()
        }
        (_, seen) => seen,
    }
}

/// The text with `<uuid>` and `<time>` where it holds such.
fn wildcards(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (wildcard, length) = if let Some(length) = uuid_length(rest) {
            ("<uuid>", length)
        } else if let Some(length) = time_length(rest) {
            ("<time>", length)
        } else {
            result.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        result.push_str(wildcard);
        rest = &rest[length..];
    }
    result
}

fn uuid_length(text: &str) -> Option<usize> {
    const LENGTH: usize = 36;
    let candidate = text.get(..LENGTH)?;
    let shaped = candidate.bytes().enumerate().all(|(index, byte)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    shaped.then_some(LENGTH)
}

/// RFC 3339 in UTC.
fn time_length(text: &str) -> Option<usize> {
    const SHAPE: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let candidate = text.as_bytes().get(..SHAPE.len())?;
    let shaped = candidate.iter().zip(SHAPE).all(|(byte, shape)| match shape {
        b'd' => byte.is_ascii_digit(),
        _ => byte == shape,
    });
    let rest = text.get(SHAPE.len()..).filter(|_| shaped)?;
    let fraction = match rest.strip_prefix('.') {
        Some(digits) => 1 + digits.bytes().take_while(u8::is_ascii_digit).count(),
        None => 0,
    };
    (rest.as_bytes().get(fraction) == Some(&b'Z')).then_some(SHAPE.len() + fraction + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_times_become_wildcards_wherever_they_stand() {
        let id = "0190d6a2-7e3f-7c3e-9c55-0a7d3b1b0001";
        assert_eq!(wildcards(&format!("/api/sagas/{id}?x")), "/api/sagas/<uuid>?x");
        assert_eq!(wildcards("at 2026-01-02T03:04:05.678Z, é 2026-01-02T03:04:05Z"), "at <time>, é <time>");
        for same in ["2026-01-02", "0190d6a2-7e3f-7c3e-9c55-0a7d3b1b000", "2026-01-02T03:04:05+01:00", ""] {
            assert_eq!(wildcards(same), same);
        }
    }

    #[test]
    fn a_wildcard_matches_its_kind_alone() {
        assert!(matches(&json!("<time>"), &json!("2026-01-02T03:04:05Z")));
        assert!(!matches(&json!("<time>"), &json!("yesterday")));
        assert!(matches(&json!({"a": ["<any>"]}), &json!({"a": [1]})));
        assert!(!matches(&json!({"a": 1}), &json!({"a": 1, "b": 2})));
        assert!(!matches(&json!([1]), &json!([1, 2])));
    }

    #[test]
    fn blessing_keeps_what_a_person_made_arbitrary() {
        let expected = json!({"detail": "<any>", "items": ["<any>", 1]});
        let kept = keep_any(&expected, json!({"detail": "in 899 s", "items": ["x", 2], "new": true}));
        assert_eq!(kept, json!({"detail": "<any>", "items": ["<any>", 2], "new": true}));
    }
}
