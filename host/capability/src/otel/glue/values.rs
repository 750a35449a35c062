//! Values of `wasi:otel` as JSON.

use serde_json::{Map, Value, json};

use super::bindings::wasi::clocks::wall_clock::Datetime;
use super::bindings::wasi::otel::types::{InstrumentationScope, KeyValue};

/// A value, which is JSON in a string; a string that is not stays one.
pub(super) fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Attributes by name.
pub(super) fn attributes(all: &[KeyValue]) -> Value {
    all.iter().map(|one| (one.key.clone(), value(&one.value))).collect::<Map<_, _>>().into()
}

/// Who has told it.
pub(super) fn scope(scope: &InstrumentationScope) -> Value {
    json!({ "name": scope.name, "version": scope.version })
}

/// A time for people and machines; nothing if it is none.
pub(super) fn rfc3339(time: Datetime) -> Option<String> {
    let (seconds, nanoseconds) = (i64::try_from(time.seconds).ok()?, i32::try_from(time.nanoseconds).ok()?);
    Some(jiff::Timestamp::new(seconds, nanoseconds).ok()?.to_string())
}

/// The fields of an object that are there.
pub(super) fn object(value: Value) -> Map<String, Value> {
    let is_there = |(_, value): &(String, Value)| match value {
        Value::Null => false,
        Value::Array(values) => !values.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    };
    match value {
        Value::Object(fields) => fields.into_iter().filter(is_there).collect(),
        _ => Map::new(),
    }
}
