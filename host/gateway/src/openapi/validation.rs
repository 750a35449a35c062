//! Schemas, compiled, and what is said of bodies that they forbid.

use jsonschema::{PatternOptions, Validator};
use serde::Serialize;
use serde_json::{Value, json};
use weft_core::manifest::OpenApi;

/// Largest compiled pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// Most faults that are told of one body.
const MAX_TOLD: usize = 8;
/// Longest text of one fault, in bytes.
const MAX_MESSAGE_BYTES: usize = 200;

/// What a request's body has to be.
#[derive(Debug)]
pub(crate) struct RequestSchema {
    validator: Validator,
    /// Whether there may be none.
    pub is_optional: bool,
}

/// What is wrong at one place of a body.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BodyFault {
    /// The place, as functions name it: `payment.token`.
    field: String,
    /// The place as a JSON pointer; empty for the whole.
    pointer: String,
    message: String,
}

/// A schema, compiled. Nothing is fetched, and patterns take time in proportion to the text alone.
pub(super) fn compiled(openapi: &OpenApi, name: &str) -> Result<Validator, String> {
    let bundle =
        json!({ "$ref": format!("#/components/schemas/{name}"), "components": { "schemas": openapi.schemas } });
    jsonschema::draft202012::options()
        .offline()
        .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_BYTES))
        .build(&bundle)
        .map_err(|error| format!("is none: at {}: {error}", error.instance_path()))
}

impl RequestSchema {
    /// The largest body that is looked at, in bytes; beyond it 413.
    pub const MAX_BYTES: usize = 1 << 20;

    pub fn new(openapi: &OpenApi, name: &str, is_optional: bool) -> Result<Self, String> {
        Ok(Self { validator: compiled(openapi, name)?, is_optional })
    }

    /// Looks at a body.
    ///
    /// # Errors
    /// The first things that are wrong.
    pub fn check(&self, body: &Value) -> Result<(), Vec<BodyFault>> {
        let faults: Vec<BodyFault> =
            self.validator.iter_errors(body).take(MAX_TOLD).map(|error| fault(&error)).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

fn fault(error: &jsonschema::ValidationError<'_>) -> BodyFault {
    let pointer = error.instance_path().as_str().to_owned();
    let field = pointer.trim_start_matches('/').replace('/', ".");
    let text = error.to_string();
    let end = text.floor_char_boundary(MAX_MESSAGE_BYTES);
    let more = if end < text.len() { "…" } else { "" };
    BodyFault { field, pointer, message: format!("{}{more}", text.get(..end).unwrap_or_default()) }
}
