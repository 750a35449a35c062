//! Capabilities of the host. Each has the same rooms: a trait with its contract, the embedded backend, the WIT glue
//! (`glue.rs`, the only file that sees WIT types and wasmtime) and a conformance suite that any backend can run.

pub mod answers;
pub mod durable;
pub mod events;
pub mod gate;
pub mod kv;
pub mod messaging;
pub mod mqtt;
pub mod otel;
pub mod outbound;
pub mod outbox;
pub mod postgres;
pub mod projection;
pub mod push;
pub mod redis;
pub mod schema;
pub mod shared_limits;
pub mod spin_sqlite;
pub mod sql;
mod sqlite_file;
pub mod sqlite_tables;
pub mod variables;
pub mod wasi_snapshot;
