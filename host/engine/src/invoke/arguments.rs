//! From text to the arguments of a function: a WAVE tuple or a JSON array, told apart by their first character. Errors
//! name the parameter and what it takes.

use serde_json::Value as Json;
use wasmtime::component::wasm_wave::untyped::UntypedValue;
use wasmtime::component::wasm_wave::wasm::{DisplayType, WasmType, WasmTypeKind, WasmValue};

use super::json;

/// The longest text of arguments, in bytes; longer data belongs into a store.
pub const MAX_ARGUMENTS_BYTES: usize = 16 * 1024 * 1024;

/// Why a text is not the arguments of a function. Client fault.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ArgumentsError {
    #[error("the arguments have {0} bytes; they may have {MAX_ARGUMENTS_BYTES}")]
    TooLong(usize),
    #[error("the arguments are neither a WAVE tuple, such as (\"key\", 7), nor a JSON array, such as [\"key\", 7]")]
    Neither,
    #[error("the arguments are not JSON: {0}")]
    NotJson(String),
    #[error("the arguments are not WAVE: {message}, at character {at}")]
    NotWave { message: String, at: usize },
    #[error("parameter `{name}` is missing: {expected} is expected")]
    Missing { name: String, expected: String },
    #[error("{got} arguments are given, the function takes {want}")]
    TooMany { got: usize, want: usize },
    #[error("parameter `{name}`: {expected} is expected: {message}")]
    Mismatch { name: String, expected: String, message: String },
}

/// Reads `text` as the arguments for `parameters`. Parameters at the end that are options may be left out.
pub(super) fn parse<V: WasmValue>(parameters: &[(String, V::Type)], text: &str) -> Result<Vec<V>, ArgumentsError> {
    if text.len() > MAX_ARGUMENTS_BYTES {
        return Err(ArgumentsError::TooLong(text.len()));
    }
    let text = text.trim();
    match text.as_bytes().first() {
        Some(b'[') => from_json(parameters, text),
        Some(b'(') => from_wave(parameters, text),
        _ => Err(ArgumentsError::Neither),
    }
}

fn from_json<V: WasmValue>(parameters: &[(String, V::Type)], text: &str) -> Result<Vec<V>, ArgumentsError> {
    let values: Vec<Json> = serde_json::from_str(text).map_err(|error| ArgumentsError::NotJson(error.to_string()))?;
    each(parameters, &values, |value, ty| json::read(ty, value).map_err(|error| error.to_string()))
}

fn from_wave<V: WasmValue>(parameters: &[(String, V::Type)], text: &str) -> Result<Vec<V>, ArgumentsError> {
    let is_empty =
        text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).is_some_and(|in_it| in_it.trim().is_empty());
    if is_empty {
        return each(parameters, &[], |_: &(), _| Err(String::new()));
    }
    let tuple = UntypedValue::parse(text).map_err(|error| ArgumentsError::NotWave {
        message: error.kind().to_string(),
        at: character(text, error.span().start),
    })?;
    let nodes: Vec<_> = tuple.node().as_tuple().map_err(|_| ArgumentsError::Neither)?.collect();
    each(parameters, &nodes, |node, ty| {
        node.to_wasm_value(ty, text).map_err(|error| {
            let what = error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
            format!("{what}, at character {}", character(text, error.span().start))
        })
    })
}

/// The number, from 1, of the character at a byte.
fn character(text: &str, byte: usize) -> usize {
    text.char_indices().take_while(|(at, _)| *at <= byte).count().max(1)
}

fn each<V: WasmValue, T>(
    parameters: &[(String, V::Type)],
    given: &[T],
    read: impl Fn(&T, &V::Type) -> Result<V, String>,
) -> Result<Vec<V>, ArgumentsError> {
    if given.len() > parameters.len() {
        return Err(ArgumentsError::TooMany { got: given.len(), want: parameters.len() });
    }
    let read = |(number, (name, ty)): (usize, &(String, V::Type))| {
        let expected = || DisplayType(ty).to_string();
        let mismatch = |message| ArgumentsError::Mismatch { name: name.clone(), expected: expected(), message };
        match given.get(number) {
            Some(value) => read(value, ty).map_err(mismatch),
            None if ty.kind() == WasmTypeKind::Option => {
                V::make_option(ty, None).map_err(|error| mismatch(error.to_string()))
            }
            None => Err(ArgumentsError::Missing { name: name.clone(), expected: expected() }),
        }
    };
    parameters.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use wasmtime::component::wasm_wave::value::{Type, Value};

    use super::*;

    fn parameters() -> Vec<(String, Type)> {
        let request = Type::record([("student-id", Type::STRING), ("wait", Type::option(Type::U32))]).unwrap();
        vec![("key".into(), Type::STRING), ("request".into(), request), ("limit".into(), Type::option(Type::U8))]
    }

    fn parsed(text: &str) -> Result<Vec<Value>, String> {
        parse(&parameters(), text).map_err(|error| error.to_string())
    }

    #[test]
    fn wave_and_json_mean_the_same() {
        let wave = parsed(r#"("k", {student-id: "ä", wait: some(3)}, some(7))"#).unwrap();
        let json = parsed(r#"["k", {"student-id": "ä", "wait": 3}, 7]"#).unwrap();
        assert_eq!(wave, json);
        assert_eq!(parsed(r#" ("k", {student-id: "ä"}) "#), parsed(r#"["k", {"student-id": "ä"}, null]"#));
    }

    #[test]
    fn errors_name_the_parameter_and_what_it_takes() {
        for (text, says) in [
            ("", "neither a WAVE tuple"),
            ("\"k\"", "neither a WAVE tuple"),
            ("()", "parameter `key` is missing: string is expected"),
            ("[]", "parameter `key` is missing: string is expected"),
            (r#"("k")"#, "parameter `request` is missing: record { student-id: string"),
            (r#"("k", {student-id: 5})"#, "parameter `request`: record { student-id: string"),
            (r#"("k", {student-id: 5})"#, "at character 20"),
            (r#"["k", {"student-id": 5}]"#, ".student-id: string is expected, not the number 5"),
            (r#"["k", {"student-id": "x"}, 300]"#, "parameter `limit`: option<u8> is expected"),
            (r#"["k", {"student-id": "x"}, 3, 4]"#, "4 arguments are given, the function takes 3"),
            ("[\"k\"", "not JSON"),
            ("(\"k\"", "not WAVE"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_function_without_parameters_takes_the_empty_tuple() {
        assert_eq!(parse::<Value>(&[], "()"), Ok(vec![]));
        assert_eq!(parse::<Value>(&[], "[ ]"), Ok(vec![]));
        assert_eq!(parse::<Value>(&[], "(1)"), Err(ArgumentsError::TooMany { got: 1, want: 0 }));
    }

    #[test]
    fn too_much_text_is_refused() {
        let text = format!("[\"{}\"]", "x".repeat(MAX_ARGUMENTS_BYTES));
        assert_eq!(parse::<Value>(&parameters(), &text), Err(ArgumentsError::TooLong(MAX_ARGUMENTS_BYTES + 4)));
    }
}
