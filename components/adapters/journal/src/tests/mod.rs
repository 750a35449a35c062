//! Tests of the journal on SQLite in files.

mod crashes;
mod leases;
mod life;
mod together;
mod waits;
