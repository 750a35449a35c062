//! Imports that are answered by a refusal, as far as their types allow, and nothing is reached: those that a dependency is
//! denied by the component that it is composed into (composition gives them a name of their own), and those of Spin's
//! world that this host does not have. SDKs import all of that world, whatever an application uses of it.

use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Accessor, Linker, LinkerInstance, ResourceType, Type, Val};
use wasmtime::{StoreContextMut, format_err};

use weft_compose::DENIED;

use crate::state::StoreData;

/// Cases of error types that say just this, in the interfaces of Spin and WASI.
const REFUSALS: [&str; 3] = ["access-denied", "HTTP-request-denied", "not-permitted"];
/// Cases that say what they say in words.
const WORDS: [&str; 4] = ["other", "internal-error", "undefined", "unexpected-error"];

/// A resource that nobody ever gets.
struct Nothing;

/// Interfaces of Spin's world that this host does not have, without their versions.
const ABSENT: [&str; 3] = ["fermyon:spin/llm", "fermyon:spin/mysql", "spin:mysql/mysql"];

/// Whether an import is of Spin's world and not of this host. A release candidate of WASI that is left when a component
/// is loaded stands beside the release, and is not the one that is used.
pub(crate) fn is_absent(import: &str) -> bool {
    let name = import.split('@').next().unwrap_or_default();
    ABSENT.contains(&name) || weft_compose::is_candidate(import)
}

/// Whether an import was denied when its component was composed.
pub(crate) fn is_denied(import: &str) -> bool {
    import.starts_with(DENIED)
}

/// Links an import that is denied or absent. `resources` are those of imports before it, which it may speak of.
pub(crate) fn link_interface(
    linker: &mut Linker<StoreData>,
    engine: &Engine,
    interface: &str,
    item: &ComponentInstance,
    resources: &[ResourceType],
) -> wasmtime::Result<()> {
    // `denied-d<part>-spin:key-value/...`
    let denied = interface.strip_prefix(DENIED).and_then(|rest| rest.split_once('-')).map(|(_, name)| name);
    let mut instance = linker.instance(interface)?;
    for (name, export) in item.exports(engine) {
        match export.ty {
            ComponentItem::ComponentFunc(func) => {
                let message = match denied {
                    Some(plain) => format!(
                        "{plain}#{name} is denied to a dependency: `inherit_configuration` does not have what it needs"
                    ),
                    None => format!("this host does not have {interface}#{name}"),
                };
                link_function(&mut instance, name, &func, message)?;
            }
            ComponentItem::Resource(ty) if !resources.contains(&ty) => {
                instance.resource(name, ResourceType::host::<Nothing>(), |_, _| Ok(()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn link_function(
    instance: &mut LinkerInstance<'_, StoreData>,
    name: &str,
    func: &ComponentFunc,
    message: String,
) -> wasmtime::Result<()> {
    let answers: Option<Vec<Val>> = func.results().map(|ty| refusal(&ty, &message)).collect();
    let answer = move |results: &mut [Val]| {
        let answers = answers.as_ref().ok_or_else(|| format_err!("{message}"))?;
        for (slot, value) in results.iter_mut().zip(answers) {
            *slot = value.clone();
        }
        Ok(())
    };
    if func.async_() {
        instance.func_new_concurrent(name, move |_: &Accessor<StoreData>, _, _, results| {
            let answered = answer(results);
            Box::pin(async { answered })
        })
    } else {
        instance.func_new(name, move |_: StoreContextMut<'_, StoreData>, _, _, results| answer(results))
    }
}

/// What a function with this result says when it refuses; nothing if it cannot but trap.
fn refusal(ty: &Type, message: &str) -> Option<Val> {
    match ty {
        Type::Result(result) => match result.err() {
            Some(error) => Some(Val::Result(Err(Some(Box::new(error_value(&error, message)?))))),
            None => Some(Val::Result(Err(None))),
        },
        Type::Option(_) => Some(Val::Option(None)),
        Type::List(_) => Some(Val::List(Vec::new())),
        _ => None,
    }
}

fn error_value(ty: &Type, message: &str) -> Option<Val> {
    match ty {
        Type::String => Some(Val::String(message.to_owned())),
        Type::Enum(cases) => {
            let named = |wanted: &&&str| cases.names().any(|name| name == **wanted);
            REFUSALS.iter().find(named).map(|name| Val::Enum((*name).to_owned()))
        }
        Type::Variant(variant) => {
            let payload_of = |wanted: &str| variant.cases().find(|case| case.name == wanted).map(|case| case.ty);
            let plain = REFUSALS.iter().find(|name| matches!(payload_of(name), Some(None)));
            if let Some(name) = plain {
                return Some(Val::Variant((*name).to_owned(), None));
            }
            WORDS.iter().find_map(|name| {
                let payload = match payload_of(name)?? {
                    Type::String => Val::String(message.to_owned()),
                    Type::Option(inner) if matches!(inner.ty(), Type::String) => {
                        Val::Option(Some(Box::new(Val::String(message.to_owned()))))
                    }
                    _ => return None,
                };
                Some(Val::Variant((*name).to_owned(), Some(Box::new(payload))))
            })
        }
        _ => None,
    }
}
