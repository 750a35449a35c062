//! Random bytes for secrets.

use std::fs::File;
use std::io::{self, Read as _};

/// Bytes that nobody can guess.
///
/// # Errors
/// If the system has no source of them.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
