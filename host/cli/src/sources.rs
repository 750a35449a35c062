//! The files that components are in: held against the digest that the manifest says, and modules of WASI preview 1 made
//! into components.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use weft_core::id;
use weft_core::manifest::{Diagnostic, Manifest, SourceFile};

/// How a core module begins; a component has another version there.
const MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";

/// The component in a file. `name` and `line` are for messages.
///
/// # Errors
/// A file that cannot be read, has another digest, or is a module that cannot be made a component.
pub fn read(manifest: &Manifest, name: &str, file: &SourceFile, line: usize) -> Result<Vec<u8>, Diagnostic> {
    let path = file.path.display();
    let bytes = std::fs::read(&file.path).map_err(|error| {
        let problem = manifest.problem(line, format!("{path} cannot be read: {error}"));
        if error.kind() == ErrorKind::NotFound { problem.with_help("run `weft build`") } else { problem }
    })?;
    if let Some(digest) = file.digest.as_ref().filter(|digest| ***digest != *id::digest(&bytes)) {
        let found = id::digest(&bytes);
        let message = format!("{path} has the digest sha256:{found}, not sha256:{digest} as the manifest says");
        return Err(manifest.problem(line, message).with_help("take the right file, or correct the digest"));
    }
    if !bytes.starts_with(&MODULE) {
        return Ok(bytes);
    }
    weft_compose::of_module(name, &bytes).map_err(|error| {
        let help = "build it for wasm32-wasip2, or with a Spin SDK of version 2 or later";
        manifest.problem(line, error.to_string()).with_help(help)
    })
}

/// Whether a file is to be read by [`read`] rather than run as it lies there.
#[must_use]
pub fn needs_reading(path: &Path, digest: Option<&str>) -> bool {
    digest.is_some() || is_module(path)
}

/// Whether it is there and is a core module.
fn is_module(path: &Path) -> bool {
    let mut start = [0_u8; MODULE.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == MODULE
}
