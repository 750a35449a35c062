//! Random types and values of the component model, and components that pass them on.

pub mod component;
pub mod value;
pub mod wit;
