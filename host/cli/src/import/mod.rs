//! Data of other systems: reading and checking their files ([`table`], [`oulad`]), and bringing them in through the
//! functions that the application has for it ([`load`]). Everything is checked before the first row is sent.

pub mod load;
pub mod oulad;
pub mod progress;
mod table;

pub use table::FileError;
