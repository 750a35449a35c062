//! Core modules made into components, as Spin does with what older SDKs build: their calls of WASI preview 1 go through
//! the adapter that wasmtime's makers publish.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use crate::ComposeError;

/// How the section begins in which wit-bindgen says what a module imports and exports.
const INTERFACE: &str = "component-type";

/// The component that a module of WASI preview 1 makes: a command if it has a `_start` and says nothing of interfaces,
/// else what its interfaces are. `name` is for messages.
///
/// # Errors
/// [`ComposeError::Invalid`] for what is no such module.
pub fn of_module(name: &str, module: &[u8]) -> Result<Vec<u8>, ComposeError> {
    let invalid = |message: String| ComposeError::Invalid { part: format!("the module of {name}"), message };
    let kind = kind(module).map_err(|error| invalid(error.to_string()))?;
    let adapter = match kind {
        Kind::Interfaces => WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        Kind::Command => WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        Kind::Neither => {
            return Err(invalid("it neither says what interfaces it has, nor is it a command".to_owned()));
        }
    };
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter))
        .and_then(|encoder| encoder.encode());
    encoded.map_err(|error| invalid(format!("{error:#}")))
}

enum Kind {
    Interfaces,
    Command,
    Neither,
}

fn kind(module: &[u8]) -> wasmparser::Result<Kind> {
    let mut kind = Kind::Neither;
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::CustomSection(section) if section.name().starts_with(INTERFACE) => return Ok(Kind::Interfaces),
            Payload::ExportSection(exports) => {
                for export in exports {
                    if export?.name == "_start" {
                        kind = Kind::Command;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(kind)
}
