//! Files that are there whole or not at all, after a crash as well. For files that are written once or rarely; what is written all the
//! time goes through [`crate::disk`].

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::id;

/// Puts `bytes` in the place of the file `path`, and answers when that is on the medium.
///
/// # Errors
/// What the system says; the file is then what it was.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension(format!("{}.partial", id::new_span_id()));
    let written = (|| {
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)?;
        // The name is part of the folder.
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    })();
    if written.is_err() {
        // The write's error is the one to report; a leftover partial file is harmless.
        let _ = fs::remove_file(&partial);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_what_is_there_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for text in ["one", "two"] {
            write(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(write(&folder.path().join("nowhere/state.json"), b"").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
