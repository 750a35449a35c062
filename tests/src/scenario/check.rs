//! What a step says by hand about its answer.

use serde_json::Value;

use super::golden::matches;
use super::steps::Step;
use super::variables::Variables;
use crate::http::Response;

/// Compares an answer with what the step asks for.
///
/// # Errors
/// What is wrong with it.
pub(super) fn answer(step: &Step, variables: &Variables, answer: &Response) -> Result<(), String> {
    if answer.status != step.status {
        return Err(format!("status {} instead of {}: {}", answer.status, step.status, answer.text()));
    }
    if answer.status >= 400 {
        problem(step, answer)?;
    }
    for (name, wanted) in &step.expect_headers {
        let wanted = variables.fill(wanted)?;
        match answer.header(name) {
            Some(value) if wanted == "<any>" || value == wanted => {}
            other => return Err(format!("header {name}: {other:?} instead of {wanted:?}")),
        }
    }
    if step.expect.is_empty() {
        return Ok(());
    }
    let body = answer.json();
    for (pointer, wanted) in &step.expect {
        let wanted = fill(wanted, variables)?;
        let found = body.pointer(pointer).unwrap_or(&Value::Null);
        if !matches(&wanted, found) {
            return Err(format!("{pointer}: {found} instead of {wanted}"));
        }
    }
    Ok(())
}

/// Every error is a problem (RFC 9457) that says which request it was.
fn problem(step: &Step, answer: &Response) -> Result<(), String> {
    let content_type = answer.header("content-type").unwrap_or_default();
    if content_type != "application/problem+json" {
        return Err(format!("an error of type {content_type:?}: {}", answer.text()));
    }
    let body = answer.json();
    if body["status"] != answer.status || !body["title"].is_string() || !body["request_id"].is_string() {
        return Err(format!("no problem details with status, title and request_id: {body}"));
    }
    if body["request_id"].as_str() != answer.header("x-request-id") {
        return Err(format!("request_id is not the X-Request-Id {:?}: {body}", answer.header("x-request-id")));
    }
    if let Some(name) = &step.problem {
        let wanted = format!("urn:weft:problem:{name}");
        if body["type"] != wanted.as_str() {
            return Err(format!("type {} instead of {wanted:?}", body["type"]));
        }
    }
    if let Some(field) = &step.field {
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        if !errors.iter().any(|error| error["field"] == field.as_str() && error["message"].is_string()) {
            return Err(format!("the field {field:?} is not named: {body}"));
        }
    }
    Ok(())
}

fn fill(value: &Value, variables: &Variables) -> Result<Value, String> {
    match value {
        Value::String(text) => Ok(Value::String(variables.fill(text)?)),
        Value::Array(items) => items.iter().map(|item| fill(item, variables)).collect(),
        other => Ok(other.clone()),
    }
}
