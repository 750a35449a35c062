//! The peers of messaging that can be had here. Owns which they are and how each flushes; running them is theirs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::jetstream::{self, Jetstream};
use super::redis::{self, Redis};
use super::{Starting, System};

/// Those that can be installed; says of the others why they are left out.
pub fn systems() -> Vec<System> {
    let mut systems = Vec::new();
    match jetstream::install() {
        Ok(program) => {
            systems.push(jetstream("jetstream-sync", "commit", jetstream::HOW_SYNC, program.clone(), true));
            systems.push(jetstream("jetstream-default", "2 min", jetstream::HOW_DEFAULT, program, false));
        }
        Err(error) => eprintln!("skipped: jetstream: {error:#}"),
    }
    match redis::install() {
        Ok(program) => {
            systems.push(redis("redis-always", "commit", redis::HOW_ALWAYS, program.clone(), true));
            systems.push(redis("redis-everysec", "1 s", redis::HOW_EVERYSEC, program, false));
        }
        Err(error) => eprintln!("skipped: redis: {error:#}"),
    }
    systems
}

/// `always`: it flushes before each acknowledgement.
fn jetstream(name: &'static str, flush: &'static str, how: &'static str, program: PathBuf, always: bool) -> System {
    let start = move |folder: &Path, careless: bool| -> Starting {
        let (program, folder) = (program.clone(), folder.to_owned());
        Box::pin(async move { Ok(Arc::new(Jetstream::start(&program, &folder, always && !careless).await?) as _) })
    };
    System { name, flush, how, start: Box::new(start) }
}

/// As [`jetstream`].
fn redis(name: &'static str, flush: &'static str, how: &'static str, program: PathBuf, always: bool) -> System {
    let start = move |folder: &Path, careless: bool| -> Starting {
        let (program, folder) = (program.clone(), folder.to_owned());
        Box::pin(async move { Ok(Arc::new(Redis::start(&program, &folder, always && !careless).await?) as _) })
    };
    System { name, flush, how, start: Box::new(start) }
}
