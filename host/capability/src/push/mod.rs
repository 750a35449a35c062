//! Push: messages of functions to clients that hold a connection of the gateway open. The words and the contract are
//! `weft_core::push`, since the gateway speaks of them as well; [`embedded`] is the backend of one host,
//! [`conformance`] the suite that every backend has to pass, [`glue`] the WIT interface.

pub mod conformance;
pub mod embedded;
pub mod glue;

pub use weft_core::push::*;
