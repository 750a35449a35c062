//! Harness of the tests of the whole. Owns starting, killing and talking to the real `weft` binary, accounts and tokens,
//! and the scenario runner; what is tested stands in `tests/` and `scenarios/`.

pub mod aborts;
pub mod course;
pub mod http;
pub mod http2;
pub mod invariants;
pub mod isolation;
pub mod mutation;
pub mod origin;
pub mod oulad;
pub mod people;
pub mod platform;
pub mod push;
pub mod repository;
pub mod saga_harness;
pub mod sagas;
pub mod scenario;
pub mod servers;
pub mod skip;
pub mod text_gateway;
pub mod tokens;
pub mod wait;
