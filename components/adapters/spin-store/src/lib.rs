//! The store of a closed form: one component that gives `weft:sql`, `weft:events`, `weft:messaging`, `weft:adapter/work` and
//! `spin:key-value` out of the one `spin:sqlite` database `default`. What they mean is the `adapter-store` crate's; here are
//! the connection, the clock and the interfaces. All functions and providers of a closed form share one instance of it.
//!
//! The database is opened with the first call. Statements are synchronous: the whole instance waits for each, and nothing
//! comes between the statements of one transaction.

mod bell;
mod bindings;
mod database;
mod events;
mod handles;
mod instance;
mod journal;
mod key_value;
mod messaging;
mod push;
mod sagas;
mod work;

/// The component.
struct SpinStore;

bindings::export!(SpinStore with_types_in bindings);
