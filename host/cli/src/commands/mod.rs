//! One file for each command: what it takes from the command line, and what it does.

pub mod admin;
pub mod api_keys;
mod arguments;
pub mod audit;
pub mod build;
pub mod check;
pub mod completions;
pub mod compose;
pub mod dlq;
pub mod events;
pub mod import;
pub mod invoke;
pub mod keys;
pub mod limits;
pub mod logs;
pub mod new;
pub mod projections;
pub mod routes;
pub mod run;
pub mod saga;
pub mod schema;
pub mod subscriptions;
pub mod test;
pub mod up;
pub mod watch;
