//! The education platform's contracts in Rust: the interfaces of its contexts as callers see them (`education::courses::seats`)
//! and as providers implement them ([`exports`]), and the data of its events. Holds no rules: those stand in the
//! contexts' `domain` crates.

mod bindings;
pub mod events;
pub mod exports;

pub use bindings::education::{analytics, assessment, content, courses, enrollment, identity, notifications, payments};
