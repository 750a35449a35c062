//! The token of the control socket: random, made anew at each start, readable by the owner of the data directory alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq as _;
use weft_core::id::hex;

use crate::random;

const TOKEN_BYTES: usize = 32;

/// A token, in hex. Debug output does not show it.
#[derive(Clone)]
pub(super) struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

fn path(data: &Path) -> PathBuf {
    data.join("token")
}

impl Token {
    /// Makes a new token and writes it for clients to find. It is there whole or not at all.
    pub fn create(data: &Path) -> io::Result<Self> {
        let token = hex(&random::bytes::<TOKEN_BYTES>()?);
        let partial = data.join("token.partial");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(token.as_bytes())?;
        fs::rename(&partial, path(data))?;
        Ok(Self(token))
    }

    /// The token of the host that runs on `data`.
    pub fn read(data: &Path) -> io::Result<Self> {
        fs::read_to_string(path(data)).map(Self)
    }

    /// As it stands in a request.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether an `Authorization` header carries this token. Takes the same time for every wrong one of its length.
    pub fn admits(&self, authorization: &[u8]) -> bool {
        self.authorization().as_bytes().ct_eq(authorization).into()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_the_very_token_admits() {
        let data = tempfile::tempdir().unwrap();
        let token = Token::create(data.path()).unwrap();
        assert!(token.admits(Token::read(data.path()).unwrap().authorization().as_bytes()));
        let header = token.authorization();
        let mut last_changed = header.clone().into_bytes();
        *last_changed.last_mut().unwrap() ^= 1;
        for wrong in [b"".as_slice(), b"Bearer ", &header.as_bytes()[..header.len() - 1], &last_changed] {
            assert!(!token.admits(wrong));
        }
        assert!(!Token::create(data.path()).unwrap().admits(header.as_bytes()), "each start has its own");
    }

    #[test]
    fn nobody_else_can_read_it() {
        let data = tempfile::tempdir().unwrap();
        let token = Token::create(data.path()).unwrap();
        let mode = fs::metadata(path(data.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}
