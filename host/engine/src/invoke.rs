//! Calls a function by hand: its name and its arguments are text, its answer is text and JSON. For operators and the
//! command line; policy is that of [`Call`], as for every other call.

mod arguments;
mod json;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::types::Type;
use wasmtime::component::wasm_wave::wasm::DisplayType;
use wasmtime::component::{Val, wasm_wave};

use weft_core::{Call, CallContext, Failure, Fault, Invocation, Reason, Target, Trace, id};

use crate::calls;
use crate::engine::Engine;
use crate::function::{Export, Exports};

pub use arguments::MAX_ARGUMENTS_BYTES;

/// What a function takes and answers.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The full name of its interface, such as `education:identity/passwords@1.0.0`.
    pub interface: Arc<str>,
    /// Its name, such as `reset`.
    pub function: Arc<str>,
    parameters: Vec<(String, Type)>,
    results: Vec<Type>,
}

/// What a function answered.
#[derive(Clone, Debug, PartialEq)]
pub struct InvokeAnswer {
    /// In WAVE, the component model's own notation; empty if the function answers nothing.
    pub wave: String,
    /// The same in JSON; null if the function answers nothing.
    pub json: serde_json::Value,
    /// Whether the function answered the error of its `result`.
    pub is_error: bool,
}

/// Why a function was not called or gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// Client fault: no such component.
    #[error("there is no component {component:?}{}", listed("; the application has", known))]
    NoComponent {
        /// What was asked for.
        component: String,
        /// The components that there are, sorted.
        known: Vec<String>,
    },
    /// Client fault: the name is not `interface#function`.
    #[error("{0:?} names no function; write it as interface#function, such as example:greet/greeter@1.0.0#greet")]
    NotAName(String),
    /// Client fault: the component has no such function.
    #[error("component {component:?} exports no function {function:?}{}", listed("; it exports", known))]
    NoFunction {
        /// Where it was looked for.
        component: String,
        /// What was asked for.
        function: String,
        /// The functions that it exports, sorted.
        known: Vec<String>,
    },
    /// Client fault: a shortened name fits several functions.
    #[error("{function:?} is ambiguous{}", listed(": it may be", candidates))]
    Ambiguous {
        /// What was asked for.
        function: String,
        /// The functions that it fits, sorted.
        candidates: Vec<String>,
    },
    /// Client fault: the arguments are not what the function takes.
    #[error("{message}\n  the function is {signature}")]
    Arguments {
        /// Which parameter, what was expected, what came.
        message: String,
        /// What the function takes.
        signature: String,
    },
    /// The call gave no answer.
    #[error("no answer: {0}")]
    Failed(#[from] Failure),
}

impl InvokeError {
    /// Whether the caller asked for something that there is not, so that asking again the same way is of no use.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

fn listed(before: &str, names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("{before} {}", names.join(", ")) }
}

impl Signature {
    /// `interface#function`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}#{}", self.interface, self.function)
    }
}

/// As WIT writes it: `interface#function: func(key: string) -> result<u32>`.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}: func(", self.interface, self.function)?;
        for (number, (name, ty)) in self.parameters.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{name}: {}", DisplayType(ty))?;
        }
        f.write_str(")")?;
        match self.results.first() {
            Some(ty) => write!(f, " -> {}", DisplayType(ty)),
            None => Ok(()),
        }
    }
}

impl Engine {
    /// The functions that a component exports, as `interface#function`, sorted; none if there is no such component.
    #[must_use]
    pub fn exported(&self, component: &str) -> Vec<String> {
        let Some(loaded) = self.function(component) else { return Vec::new() };
        let functions = loaded.exports.functions();
        let mut names: Vec<String> =
            functions.map(|(interface, function, _)| format!("{interface}#{function}")).collect();
        names.sort_unstable();
        names
    }

    /// What a function takes and answers. `function` is `interface#function`, where the interface may lack its version
    /// or its package as long as one function of the component fits.
    ///
    /// # Errors
    /// [`InvokeError`] if there is no such function, or several.
    pub fn signature(&self, component: &str, function: &str) -> Result<Signature, InvokeError> {
        let Some(loaded) = self.function(component) else {
            let mut known: Vec<String> = self.function_ids().iter().map(ToString::to_string).collect();
            known.sort_unstable();
            return Err(InvokeError::NoComponent { component: component.to_owned(), known });
        };
        find(&loaded.exports, component, function)
    }

    /// Calls a function of a component through `call`, for at most `timeout`. `arguments` is a WAVE tuple, such as
    /// `("key", {student-id: "x"})`, or a JSON array, such as `["key", {"student-id": "x"}]`.
    ///
    /// # Errors
    /// [`InvokeError`] if there is no such function, the arguments do not fit, or there is no answer. That a function
    /// answers an error is no error here: see [`InvokeAnswer::is_error`].
    pub async fn invoke(
        &self,
        call: &dyn Call<Val>,
        component: &str,
        function: &str,
        arguments: &str,
        timeout: Duration,
    ) -> Result<InvokeAnswer, InvokeError> {
        let signature = self.signature(component, function)?;
        let arguments = arguments::parse(&signature.parameters, arguments)
            .map_err(|error| InvokeError::Arguments { message: error.to_string(), signature: signature.to_string() })?;
        let target = Target {
            component: component.into(),
            interface: signature.interface.clone(),
            function: signature.function.clone(),
        };
        let trace = Trace { trace_id: id::new_trace_id(), span_id: id::new_span_id() };
        let deadline = self.shared().clock.monotonic().saturating_add(timeout);
        let context = CallContext { trace: Some(trace), ..CallContext::of_host(deadline) };
        let keyed = signature.parameters.first().is_some_and(|(name, ty)| calls::is_key(name, ty));
        let results = call.call(Invocation { target, arguments: arguments.into(), keyed, context }).await?;
        Ok(answer(&results)?)
    }
}

fn answer(results: &[Val]) -> Result<InvokeAnswer, Failure> {
    let Some(value) = results.first() else {
        return Ok(InvokeAnswer { wave: String::new(), json: serde_json::Value::Null, is_error: false });
    };
    let unwritable = |error: String| {
        Failure::unknown(Fault::Guest, Reason::Internal, format!("the answer cannot be written as text: {error}"))
    };
    let wave = wasm_wave::to_string(value).map_err(|error| unwritable(error.to_string()))?;
    let json = json::write(value).map_err(|error| unwritable(error.to_string()))?;
    Ok(InvokeAnswer { wave, json, is_error: matches!(value, Val::Result(Err(_))) })
}

/// The one exported function that `name` fits.
fn find(exports: &Exports, component: &str, name: &str) -> Result<Signature, InvokeError> {
    let (interface, function) = name.split_once('#').ok_or_else(|| InvokeError::NotAName(name.to_owned()))?;
    let mut fitting: Vec<(&str, &str, &Export)> =
        exports.functions().filter(|(exported, own, _)| *own == function && fits(exported, interface)).collect();
    // The full name of one is never ambiguous, even if it is the short name of another.
    if let Some(exact) = fitting.iter().position(|(exported, ..)| *exported == interface) {
        fitting = vec![fitting.swap_remove(exact)];
    }
    let names = |functions: &mut dyn Iterator<Item = (&str, &str)>| {
        let mut names: Vec<String> = functions.map(|(interface, function)| format!("{interface}#{function}")).collect();
        names.sort_unstable();
        names
    };
    match fitting.as_slice() {
        [(interface, function, export)] => Ok(Signature {
            interface: (*interface).into(),
            function: (*function).into(),
            parameters: export.ty.params().map(|(name, ty)| (name.to_owned(), ty)).collect(),
            results: export.ty.results().collect(),
        }),
        [] => Err(InvokeError::NoFunction {
            component: component.to_owned(),
            function: name.to_owned(),
            known: names(&mut exports.functions().map(|(interface, function, _)| (interface, function))),
        }),
        several => Err(InvokeError::Ambiguous {
            function: name.to_owned(),
            candidates: names(&mut several.iter().map(|(interface, function, _)| (*interface, *function))),
        }),
    }
}

/// Whether `asked` is the interface `exported`, or that without its version or its package.
fn fits(exported: &str, asked: &str) -> bool {
    let unversioned = exported.split('@').next().unwrap_or_default();
    let bare = unversioned.rsplit('/').next().unwrap_or_default();
    let version = exported.split_once('@').map(|(_, version)| version);
    match asked.split_once('@') {
        _ if asked == exported => true,
        None => asked == unversioned || asked == bare,
        Some((name, asked)) => name == bare && version == Some(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_fits_with_and_without_package_and_version() {
        let full = "education:identity/passwords@1.0.0";
        for asked in [full, "education:identity/passwords", "passwords", "passwords@1.0.0"] {
            assert!(fits(full, asked), "{asked}");
        }
        for asked in ["education:identity/passwords@1.0.1", "identity/passwords", "password", "", "passwords@2.0.0"] {
            assert!(!fits(full, asked), "{asked}");
        }
    }

    #[test]
    fn answers_say_whether_they_are_errors() {
        let ok = answer(&[Val::Result(Ok(Some(Box::new(Val::U32(7)))))]).unwrap();
        assert_eq!((ok.wave.as_str(), ok.is_error), ("ok(7)", false));
        assert_eq!(ok.json, serde_json::json!({ "ok": 7 }));
        let err = answer(&[Val::Result(Err(Some(Box::new(Val::Variant("full".into(), None)))))]).unwrap();
        assert_eq!((err.wave.as_str(), err.is_error), ("err(full)", true));
        assert_eq!(err.json, serde_json::json!({ "err": "full" }));
        let nothing = answer(&[]).unwrap();
        assert_eq!((nothing.wave.as_str(), nothing.json, nothing.is_error), ("", serde_json::Value::Null, false));
    }
}
