//! The `weft` command. `assemble` puts a host together, `host` is one that stands, `commands` has a file for each
//! command. `cli` parses the command line, `control` is how commands talk to a running host, `invoker` where they
//! call functions.

pub mod api_keys;
pub mod assemble;
pub mod choreographing;
pub mod cli;
pub mod closing;
pub mod commands;
pub mod composing;
pub mod config;
pub mod control;
pub mod edge;
pub mod exit;
pub mod faults;
pub mod given;
pub mod guest_files;
pub mod host;
pub mod https;
pub mod import;
pub mod inside;
pub mod invoker;
pub mod issuers;
pub mod keys;
mod machine;
pub mod output;
pub mod random;
pub mod reload;
pub mod restart;
pub mod runtime_config;
pub mod schemas;
pub mod seeding;
pub mod service_tokens;
pub mod services;
pub mod sources;
pub mod specs;
pub mod upstream;
pub mod versions;
pub mod watched;
pub mod wiring;
