//! The guest library: what every Weft function is written with. It owns the bindings of the host's interfaces, the
//! HTTP shell, the keyed operation, SQL rows, the saga helper, events, ids and times. It knows no application: domain
//! interfaces have crates of their own. Imports that a function does not use are pruned from its component.
//!
//! A function is: parse, call the pure domain crate, call capabilities, answer.

pub mod aggregate;
pub mod bindings;
pub mod clock;
pub mod cursor;
pub mod events;
pub mod failure;
pub mod http;
pub mod ids;
pub mod json;
mod macros;
pub mod messaging;
pub mod operation;
pub mod push;
pub mod read_model;
pub mod saga;
pub mod sql;
pub mod variables;

pub use failure::{Failure, Fallible, Outcome};
pub use futures;
pub use serde;
pub use serde_json;
pub use wit_bindgen;
