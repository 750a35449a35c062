//! Projections: read models that functions make of events, each event exactly once. A projection's source is a context's
//! event store or topics of the message log; its tables and its checkpoint lie in its own context's database.

pub mod conformance;
pub mod limits;
mod read_model;

pub use read_model::{Advance, Model, ReadModelError, ReadModels, Reader};
