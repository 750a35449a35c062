//! The engine's values at the border between caller and callee: which WIT types may cross, and what a failure looks
//! like in the caller's own result type. A callee's failure is data for its caller, never a trap.

use wasmtime::component::Val;
use wasmtime::component::types::{ComponentFunc, Type};

use weft_core::{Failure, Outcome};

/// The case of an error variant that the host fills.
const UNAVAILABLE: &str = "unavailable";

/// Why a function cannot be called by another one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ShapeError {
    #[error("{0} holds a resource, stream, future or another handle; only values can cross between functions")]
    Handle(String),
    #[error(
        "the function has to answer `result<T, error>`, where `error` is a variant with a case \
         `unavailable(failure)` and `failure` is the record of weft:call/types"
    )]
    NoUnavailable,
}

/// Checks that a function can be called across instances.
pub(crate) fn check_shape(func: &ComponentFunc) -> Result<(), ShapeError> {
    for (name, ty) in func.params() {
        values_only(&ty).then_some(()).ok_or_else(|| ShapeError::Handle(format!("parameter `{name}`")))?;
    }
    let mut results = func.results();
    let Some(ty) = results.next() else { return Err(ShapeError::NoUnavailable) };
    values_only(&ty).then_some(()).ok_or_else(|| ShapeError::Handle("the result".to_owned()))?;
    carries_unavailable(&ty).then_some(()).ok_or(ShapeError::NoUnavailable)
}

fn values_only(ty: &Type) -> bool {
    match ty {
        Type::List(list) => values_only(&list.ty()),
        Type::Record(record) => record.fields().all(|field| values_only(&field.ty)),
        Type::Tuple(tuple) => tuple.types().all(|ty| values_only(&ty)),
        Type::Variant(variant) => variant.cases().all(|case| case.ty.is_none_or(|ty| values_only(&ty))),
        Type::Option(option) => values_only(&option.ty()),
        Type::Result(result) => [result.ok(), result.err()].into_iter().flatten().all(|ty| values_only(&ty)),
        Type::Map(map) => values_only(&map.key()) && values_only(&map.value()),
        Type::FixedLengthList(list) => values_only(&list.ty()),
        Type::Own(_) | Type::Borrow(_) | Type::Future(_) | Type::Stream(_) | Type::ErrorContext => false,
        Type::Bool
        | Type::S8
        | Type::U8
        | Type::S16
        | Type::U16
        | Type::S32
        | Type::U32
        | Type::S64
        | Type::U64
        | Type::Float32
        | Type::Float64
        | Type::Char
        | Type::String
        | Type::Enum(_)
        | Type::Flags(_) => true,
    }
}

/// The memory that values take in the host, in bytes.
pub(crate) fn size(values: &[Val]) -> usize {
    values.iter().map(|value| size_of::<Val>() + size_behind(value)).sum()
}

/// What a value has outside of itself.
fn size_behind(value: &Val) -> usize {
    let boxed = |value: &Val| size(std::slice::from_ref(value));
    match value {
        Val::String(text) | Val::Enum(text) | Val::Variant(text, None) => text.len(),
        Val::List(items) | Val::Tuple(items) | Val::FixedLengthList(items) => size(items),
        Val::Map(entries) => {
            let entry = |(key, value): &(Val, Val)| boxed(key).saturating_add(boxed(value));
            entries.iter().map(entry).sum()
        }
        Val::Record(fields) => {
            let field = |(name, value): &(String, Val)| size_of::<String>() + name.len() + boxed(value);
            fields.iter().map(field).sum()
        }
        Val::Flags(names) => names.iter().map(|name| size_of::<String>() + name.len()).sum(),
        Val::Variant(case, Some(value)) => case.len() + boxed(value),
        Val::Option(Some(value)) | Val::Result(Ok(Some(value)) | Err(Some(value))) => boxed(value),
        _ => 0,
    }
}

fn carries_unavailable(ty: &Type) -> bool {
    let Type::Result(result) = ty else { return false };
    let Some(Type::Variant(variant)) = result.err() else { return false };
    let found = variant.cases().find(|case| case.name == UNAVAILABLE).and_then(|case| case.ty);
    let Some(Type::Record(record)) = found else { return false };
    record.fields().map(|field| field.name.to_owned()).eq(["outcome", "retry-after-ms", "message"].map(str::to_owned))
}

/// Whether an answer is `err(unavailable(failure))` of which nobody knows whether it happened.
pub(crate) fn is_unknown(answer: &[Val]) -> bool {
    let [Val::Result(Err(Some(error)))] = answer else { return false };
    let Val::Variant(case, Some(failure)) = &**error else { return false };
    let Val::Record(fields) = &**failure else { return false };
    let is_unknown = |(name, value): &(String, Val)| name == "outcome" && *value == Val::Enum("unknown".to_owned());
    case == UNAVAILABLE && fields.iter().any(is_unknown)
}

/// The failure as the caller sees it: `err(unavailable(failure))`.
pub(crate) fn unavailable(failure: &Failure) -> Val {
    let outcome = match failure.outcome {
        Outcome::NotAttempted => "not-attempted",
        Outcome::Unknown => "unknown",
    };
    let record = Val::Record(vec![
        ("outcome".to_owned(), Val::Enum(outcome.to_owned())),
        ("retry-after-ms".to_owned(), Val::Option(failure.retry_after_ms.map(|ms| Box::new(Val::U32(ms))))),
        ("message".to_owned(), Val::String(failure.message.clone())),
    ]);
    Val::Result(Err(Some(Box::new(Val::Variant(UNAVAILABLE.to_owned(), Some(Box::new(record)))))))
}
