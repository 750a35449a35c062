//! Runs components: the one wasmtime configuration, loading and linking, instances and their limits. Calls between
//! functions go out through [`weft_core::Call`]; policy on them is the mesh's, routes and HTTP rules the gateway's.

mod background;
mod calling;
mod calls;
mod capabilities;
mod check;
mod command;
mod config;
mod denied;
mod deployed;
mod engine;
mod function;
mod habit;
mod http;
mod instance;
mod invoke;
mod life;
mod limits;
mod linker;
mod loader;
mod memory;
mod meter;
mod output;
mod pool;
mod reused;
mod runtime;
mod seat;
mod shared;
mod spec;
mod spin_world;
mod state;
mod trap;
mod values;
mod wasi;
mod worker;

pub use capabilities::Services;
pub use check::Problem;
pub use command::{Job, JobEnd};
pub use config::EngineOptions;
pub use deployed::FunctionSet;
pub use engine::{Engine, EngineError, check_functions};
pub use invoke::{InvokeAnswer, InvokeError, MAX_ARGUMENTS_BYTES, Signature};
pub use loader::LoadError;
pub use output::{LogSink, OutputStream, OutputWriter};
pub use spec::{FunctionSpec, Grants, InstanceSpec, NamedFunction, ReuseSpec, Source};
pub use spin_world::World;

/// A value of a call: a WIT value.
pub type Value = wasmtime::component::Val;
/// The body of a request to a function, and of its response.
pub type FunctionBody = wasmtime_wasi_http::WasiBody;
/// Why a body ended early.
pub type FunctionBodyError = wasmtime_wasi_http::Error;
