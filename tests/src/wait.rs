//! Waiting for what another process brings about. The one place of the tests that sleeps: between two looks.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Long enough that only a defect reaches it, on a machine that does other things as well.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until it sees something.
///
/// # Panics
/// If [`PATIENCE`] passes first, with what was seen last.
pub fn eventually<T, E: Debug>(what: &str, mut look: impl FnMut() -> Result<T, E>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(seen) => return seen,
            Err(seen) if Instant::now() >= until => panic!("{what}: not within {PATIENCE:?}; seen last: {seen:?}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}
