//! Answers that the gateway keeps for repeated requests. The trait with its contract is [`weft_core::answers::Answers`],
//! because the gateway does without capabilities; here are the embedded backend and the suite that every backend has to
//! pass. No component sees any of it.

pub mod conformance;
pub mod embedded;
