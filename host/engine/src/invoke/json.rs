//! Values of the component model as JSON and back, by their WIT type. A record is an object with the names of WIT; a
//! variant its case's name, or an object of the name and the payload; an option its value or null (an option of an
//! option cannot tell its two `none`s apart); a `list<u8>` Base64, read from an array of numbers as well; a large
//! integer is read from a string as well.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value as Json};
use wasmtime::component::wasm_wave::wasm::{DisplayType, WasmType, WasmTypeKind, WasmValue, WasmValueError};

/// Where in a value the JSON does not fit, and why. Client fault.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", at(path))]
pub(super) struct JsonError {
    /// From the outside in.
    path: Vec<String>,
    message: String,
}

fn at(path: &[String]) -> String {
    if path.is_empty() { String::new() } else { format!("at {}: ", path.concat()) }
}

impl JsonError {
    fn new(message: impl Into<String>) -> Self {
        Self { path: Vec::new(), message: message.into() }
    }

    fn expected(ty: &impl WasmType, got: &Json) -> Self {
        Self::new(format!("{} is expected, not {}", DisplayType(ty), described(got)))
    }

    fn below(mut self, step: String) -> Self {
        self.path.insert(0, step);
        self
    }
}

impl From<WasmValueError> for JsonError {
    fn from(error: WasmValueError) -> Self {
        Self::new(error.to_string())
    }
}

fn described(json: &Json) -> String {
    match json {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => format!("the boolean {value}"),
        Json::Number(number) => format!("the number {number}"),
        Json::String(text) if text.len() <= 40 => format!("the string {text:?}"),
        Json::String(text) => format!("a string of {} bytes", text.len()),
        Json::Array(items) => format!("an array of {}", items.len()),
        Json::Object(fields) => format!("an object of {} fields", fields.len()),
    }
}

/// Reads `json` as a value of type `ty`.
pub(super) fn read<V: WasmValue>(ty: &V::Type, json: &Json) -> Result<V, JsonError> {
    let wrong = || JsonError::expected(ty, json);
    Ok(match ty.kind() {
        WasmTypeKind::Bool => V::make_bool(json.as_bool().ok_or_else(wrong)?),
        WasmTypeKind::S8 => V::make_s8(integer(json).ok_or_else(wrong)?),
        WasmTypeKind::S16 => V::make_s16(integer(json).ok_or_else(wrong)?),
        WasmTypeKind::S32 => V::make_s32(integer(json).ok_or_else(wrong)?),
        WasmTypeKind::S64 => V::make_s64(integer(json).ok_or_else(wrong)?),
        WasmTypeKind::U8 => V::make_u8(integer(json).ok_or_else(wrong)?),
        WasmTypeKind::U16 => V::make_u16(integer(json).ok_or_else(wrong)?),
        WasmTypeKind::U32 => V::make_u32(integer(json).ok_or_else(wrong)?),
        WasmTypeKind::U64 => V::make_u64(integer(json).ok_or_else(wrong)?),
        #[allow(clippy::cast_possible_truncation, reason = "the nearest f32 is what is asked for")]
        WasmTypeKind::F32 => V::make_f32(float(json).ok_or_else(wrong)? as f32),
        WasmTypeKind::F64 => V::make_f64(float(json).ok_or_else(wrong)?),
        WasmTypeKind::Char => V::make_char(character(json).ok_or_else(wrong)?),
        WasmTypeKind::String => V::make_string(json.as_str().ok_or_else(wrong)?.into()),
        WasmTypeKind::List => read_list(ty, json)?,
        WasmTypeKind::Tuple => read_tuple(ty, json)?,
        WasmTypeKind::Record => read_record(ty, json)?,
        WasmTypeKind::Variant => {
            let cases = ty.variant_cases().map(|(name, payload)| (name.into_owned(), payload)).collect();
            let (case, payload) = read_case::<V>(ty, json, cases)?;
            V::make_variant(ty, &case, payload)?
        }
        WasmTypeKind::Enum => V::make_enum(ty, json.as_str().ok_or_else(wrong)?).map_err(|_| wrong())?,
        WasmTypeKind::Option => {
            let some = ty.option_some_type().filter(|_| !json.is_null());
            let value = some.map(|some| read(&some, json)).transpose()?;
            V::make_option(ty, value)?
        }
        WasmTypeKind::Result => {
            let (ok, err) = ty.result_types().ok_or_else(wrong)?;
            let (case, payload) = read_case::<V>(ty, json, vec![("ok".to_owned(), ok), ("err".to_owned(), err)])?;
            V::make_result(ty, if case == "ok" { Ok(payload) } else { Err(payload) })?
        }
        WasmTypeKind::Flags => {
            let names: Option<Vec<&str>> = json.as_array().ok_or_else(wrong)?.iter().map(Json::as_str).collect();
            V::make_flags(ty, names.ok_or_else(wrong)?).map_err(|_| wrong())?
        }
        other => return Err(JsonError::new(format!("a {other} cannot be written as JSON"))),
    })
}

/// An integer, from a number or a string, if it is in the range of `T`.
fn integer<T: TryFrom<i128>>(json: &Json) -> Option<T> {
    let wide = match json {
        Json::Number(number) => number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))?,
        Json::String(text) => text.parse().ok()?,
        _ => return None,
    };
    T::try_from(wide).ok()
}

/// A float; JSON has no numbers for those that are none.
fn float(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => match text.as_str() {
            "nan" => Some(f64::NAN),
            "inf" => Some(f64::INFINITY),
            "-inf" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn character(json: &Json) -> Option<char> {
    let mut characters = json.as_str()?.chars();
    characters.next().filter(|_| characters.next().is_none())
}

fn read_list<V: WasmValue>(ty: &V::Type, json: &Json) -> Result<V, JsonError> {
    let wrong = || JsonError::expected(ty, json);
    let element = ty.list_element_type().ok_or_else(wrong)?;
    let items = match json {
        Json::Array(items) => items
            .iter()
            .enumerate()
            .map(|(number, item)| read(&element, item).map_err(|error| error.below(format!("[{number}]"))))
            .collect::<Result<Vec<V>, _>>()?,
        Json::String(text) if element.kind() == WasmTypeKind::U8 => {
            let bytes = BASE64.decode(text).map_err(|error| JsonError::new(format!("not Base64: {error}")))?;
            bytes.into_iter().map(V::make_u8).collect()
        }
        _ => return Err(wrong()),
    };
    Ok(V::make_list(ty, items)?)
}

fn read_tuple<V: WasmValue>(ty: &V::Type, json: &Json) -> Result<V, JsonError> {
    let types: Vec<V::Type> = ty.tuple_element_types().collect();
    let items = json.as_array().filter(|items| items.len() == types.len());
    let items = items.ok_or_else(|| JsonError::expected(ty, json))?;
    let elements = types.iter().zip(items).enumerate().map(|(number, (element, item))| {
        read(element, item).map_err(|error: JsonError| error.below(format!("[{number}]")))
    });
    let elements = elements.collect::<Result<Vec<V>, _>>()?;
    Ok(V::make_tuple(ty, elements)?)
}

fn read_record<V: WasmValue>(ty: &V::Type, json: &Json) -> Result<V, JsonError> {
    let given = json.as_object().ok_or_else(|| JsonError::expected(ty, json))?;
    let types: Vec<(String, V::Type)> = ty.record_fields().map(|(name, ty)| (name.into_owned(), ty)).collect();
    if let Some(unknown) = given.keys().find(|key| !types.iter().any(|(name, _)| name == *key)) {
        let names: Vec<&str> = types.iter().map(|(name, _)| name.as_str()).collect();
        return Err(JsonError::new(format!("there is no field {unknown:?}; the fields are {}", names.join(", "))));
    }
    let field = |(name, ty): &(String, V::Type)| match given.get(name) {
        Some(value) => read::<V>(ty, value).map_err(|error| error.below(format!(".{name}"))),
        None if ty.kind() == WasmTypeKind::Option => Ok(V::make_option(ty, None)?),
        None => Err(JsonError::new(format!("the field {name:?} is missing ({})", DisplayType(ty)))),
    };
    let values = types.iter().map(field).collect::<Result<Vec<V>, _>>()?;
    Ok(V::make_record(ty, types.iter().map(|(name, _)| name.as_str()).zip(values))?)
}

type Case<V> = (String, Option<V>);

/// `"case"`, or `{"case": payload}`.
fn read_case<V: WasmValue>(
    ty: &V::Type,
    json: &Json,
    cases: Vec<(String, Option<V::Type>)>,
) -> Result<Case<V>, JsonError> {
    let wrong = || JsonError::expected(ty, json);
    let (name, payload) = match json {
        Json::String(name) => (name, None),
        Json::Object(fields) if fields.len() == 1 => {
            let (name, payload) = fields.iter().next().ok_or_else(wrong)?;
            (name, Some(payload).filter(|payload| !payload.is_null()))
        }
        _ => return Err(wrong()),
    };
    let Some((case, payload_type)) = cases.into_iter().find(|(case, _)| case == name) else { return Err(wrong()) };
    let value = match (payload_type, payload) {
        (None, None) => None,
        (Some(ty), payload) => {
            let value = read(&ty, payload.unwrap_or(&Json::Null));
            Some(value.map_err(|error: JsonError| error.below(format!(".{case}")))?)
        }
        (None, Some(_)) => return Err(JsonError::new(format!("the case {case:?} has no payload"))),
    };
    Ok((case, value))
}

/// Writes a value as JSON.
pub(super) fn write<V: WasmValue>(value: &V) -> Result<Json, JsonError> {
    Ok(match value.kind() {
        WasmTypeKind::Bool => value.unwrap_bool().into(),
        WasmTypeKind::S8 => value.unwrap_s8().into(),
        WasmTypeKind::S16 => value.unwrap_s16().into(),
        WasmTypeKind::S32 => value.unwrap_s32().into(),
        WasmTypeKind::S64 => value.unwrap_s64().into(),
        WasmTypeKind::U8 => value.unwrap_u8().into(),
        WasmTypeKind::U16 => value.unwrap_u16().into(),
        WasmTypeKind::U32 => value.unwrap_u32().into(),
        WasmTypeKind::U64 => value.unwrap_u64().into(),
        // By its shortest text, so that 0.1 stays 0.1.
        WasmTypeKind::F32 => write_float(value.unwrap_f32().to_string().parse().unwrap_or(f64::NAN)),
        WasmTypeKind::F64 => write_float(value.unwrap_f64()),
        WasmTypeKind::Char => value.unwrap_char().to_string().into(),
        WasmTypeKind::String => value.unwrap_string().into_owned().into(),
        WasmTypeKind::List => write_list(value)?,
        WasmTypeKind::Tuple => value.unwrap_tuple().map(|item| write(&*item)).collect::<Result<Vec<_>, _>>()?.into(),
        WasmTypeKind::Record => {
            let fields = value.unwrap_record().map(|(name, field)| Ok((name.into_owned(), write(&*field)?)));
            Json::Object(fields.collect::<Result<Map<_, _>, JsonError>>()?)
        }
        WasmTypeKind::Variant => {
            let (case, payload) = value.unwrap_variant();
            write_case(&case, payload.as_deref())?
        }
        WasmTypeKind::Enum => value.unwrap_enum().into_owned().into(),
        WasmTypeKind::Option => match value.unwrap_option() {
            Some(some) => write(&*some)?,
            None => Json::Null,
        },
        WasmTypeKind::Result => match value.unwrap_result() {
            Ok(payload) => write_case("ok", payload.as_deref())?,
            Err(payload) => write_case("err", payload.as_deref())?,
        },
        WasmTypeKind::Flags => value.unwrap_flags().map(|name| Json::from(name.into_owned())).collect(),
        other => return Err(JsonError::new(format!("a {other} cannot be written as JSON"))),
    })
}

fn write_float(float: f64) -> Json {
    let word = if float.is_nan() {
        "nan"
    } else if float > 0.0 {
        "inf"
    } else {
        "-inf"
    };
    serde_json::Number::from_f64(float).map_or_else(|| word.into(), Json::Number)
}

fn write_list<V: WasmValue>(value: &V) -> Result<Json, JsonError> {
    let items: Vec<_> = value.unwrap_list().collect();
    // An empty list does not know its type, and `[]` is read as bytes as well.
    if !items.is_empty() && items.iter().all(|item| item.kind() == WasmTypeKind::U8) {
        let bytes: Vec<u8> = items.iter().map(|item| item.unwrap_u8()).collect();
        return Ok(BASE64.encode(bytes).into());
    }
    items.iter().map(|item| write(&**item)).collect::<Result<Vec<_>, _>>().map(Json::Array)
}

fn write_case<V: WasmValue>(case: &str, payload: Option<&V>) -> Result<Json, JsonError> {
    Ok(match payload {
        Some(payload) => Json::Object(Map::from_iter([(case.to_owned(), write(payload)?)])),
        None => case.into(),
    })
}

#[cfg(test)]
mod tests;
