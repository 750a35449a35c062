//! Durability: the append [`log`] (shared with the message log), the saga journal on it, and the saga engine. Reads no
//! clock and does no input or output but through the traits of `weft-core`; runs no instance.

pub mod log;
