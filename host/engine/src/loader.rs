//! From a file to a compiled component: read, digest, compile once, keep the machine code by digest. Also keeps the
//! bytes of every component that durable functions began with. Knows nothing of grants or linking.

use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::mm::{Advice, madvise};
use wasmtime::Engine;
use wasmtime::component::Component;

use weft_core::{id, whole};

use crate::spec::Source;

/// A component, compiled, with the SHA-256 of its file.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub component: Component,
    pub digest: Arc<str>,
}

/// Why a component could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is not there.
    #[error("{} is missing; build it with `weft build`", .0.display())]
    Missing(PathBuf),
    /// The file or the cache could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a component that this host can compile.
    #[error("{} is not a valid component: {message}", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

/// Files larger than this are refused: a component of another language's runtime has 10 to 20 MB.
const MAX_COMPONENT_BYTES: u64 = 256 * 1024 * 1024;

/// Counts up when something else is compiled for the same file.
const PREPARATION: u32 = 2;

pub(crate) struct Loader {
    engine: Engine,
    cache: PathBuf,
    kept: PathBuf,
    compatibility: String,
}

impl Loader {
    /// A loader that caches under `<data>/cache` and keeps components under `<data>/components`.
    pub fn new(engine: Engine, data: &Path) -> Result<Self, LoadError> {
        let (cache, kept) = (data.join("cache"), data.join("components"));
        for dir in [&cache, &kept] {
            fs::create_dir_all(dir).map_err(io(dir))?;
        }
        let mut hasher = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        PREPARATION.hash(&mut hasher);
        let compatibility = format!("{:016x}", hasher.finish());
        Ok(Self { engine, cache, kept, compatibility })
    }

    /// Loads a component; compiles it only if its digest is new.
    pub fn load(&self, source: &Source) -> Result<Loaded, LoadError> {
        let Some(bytes) = &source.composed else { return self.load_file(&source.path) };
        let digest: Arc<str> = id::digest(bytes).into();
        let component = self.compiled(&digest, bytes, &source.path)?;
        Ok(Loaded { component, digest })
    }

    fn load_file(&self, path: &Path) -> Result<Loaded, LoadError> {
        let size = fs::metadata(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => LoadError::Missing(path.to_owned()),
            _ => LoadError::Io { path: path.to_owned(), source },
        })?;
        if size.len() > MAX_COMPONENT_BYTES {
            let message = format!("{} bytes; the limit is {MAX_COMPONENT_BYTES}", size.len());
            return Err(LoadError::Invalid { path: path.to_owned(), message });
        }
        let bytes = fs::read(path).map_err(io(path))?;
        let digest: Arc<str> = id::digest(&bytes).into();
        let component = self.compiled(&digest, &bytes, path)?;
        Ok(Loaded { component, digest })
    }

    /// Loads a component that was kept by [`Loader::keep`].
    pub fn load_kept(&self, digest: &str) -> Result<Loaded, LoadError> {
        self.load_file(&self.kept_path(digest))
    }

    /// Keeps the bytes of a component by digest, for durable functions that began with it.
    pub fn keep(&self, path: &Path, digest: &str) -> Result<(), LoadError> {
        let target = self.kept_path(digest);
        if target.exists() {
            return Ok(());
        }
        let bytes = fs::read(path).map_err(io(path))?;
        if id::digest(&bytes) != digest {
            let message = "the file changed while it was loaded".to_owned();
            return Err(LoadError::Invalid { path: path.to_owned(), message });
        }
        write_whole(&target, &bytes)
    }

    fn kept_path(&self, digest: &str) -> PathBuf {
        self.kept.join(format!("{digest}.wasm"))
    }

    fn compiled(&self, digest: &str, bytes: &[u8], path: &Path) -> Result<Component, LoadError> {
        let cached = self.cache.join(format!("{digest}-{}.cwasm", self.compatibility));
        if let Some(component) = self.cached(&cached) {
            return Ok(component);
        }
        let invalid = |error: wasmtime::Error| LoadError::Invalid {
            path: path.to_owned(),
            message: error.root_cause().to_string(),
        };
        // Visible, since it takes a moment: it happens once for each new component.
        tracing::info!(component = %path.display(), "compiling");
        // Bytes that are no component are told of by the engine, in its words.
        let released = weft_compose::released(bytes).unwrap_or_default();
        let component = Component::new(&self.engine, released.as_deref().unwrap_or(bytes)).map_err(invalid)?;
        let code = component.serialize().map_err(invalid)?;
        write_whole(&cached, &code)?;
        // From the file, so that the code is mapped and shared, not held a second time in memory.
        Ok(self.cached(&cached).unwrap_or(component))
    }

    #[allow(unsafe_code)]
    fn cached(&self, path: &Path) -> Option<Component> {
        if !path.exists() {
            return None;
        }
        // SAFETY: the file lies in the host's own data directory, which is its owner's alone, and was written whole
        // by `serialize` of this very wasmtime build and configuration (both are part of its name).
        match unsafe { Component::deserialize_file(&self.engine, path) } {
            Ok(component) => {
                release(&component);
                Some(component)
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled code in the cache is unusable; compiling again");
                None
            }
        }
    }
}

/// Gives back the pages of code that was mapped from a file: loading touches many of them, and the kernel maps their
/// neighbours with each, while most functions are idle most of the time. What runs is mapped again from the system's
/// cache of the file.
#[allow(unsafe_code)]
fn release(component: &Component) {
    let code = component.image_range();
    let bytes = code.end.addr().saturating_sub(code.start.addr());
    // SAFETY: the range is a private mapping of the file that nobody has written to (wasmtime takes no code that would
    // have to be relocated), so that it reads the same afterwards.
    if let Err(error) = unsafe { madvise(code.start.cast_mut().cast(), bytes, Advice::LinuxDontNeed) } {
        tracing::debug!(%error, "the pages of a component's code stay resident");
    }
}

/// Writes a file so that it is there whole or not at all.
fn write_whole(target: &Path, bytes: &[u8]) -> Result<(), LoadError> {
    whole::write(target, bytes).map_err(io(target))
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> LoadError + '_ {
    move |source| LoadError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use wasmtime::Config;

    use super::*;

    #[test]
    #[allow(unsafe_code)]
    fn code_that_was_given_back_reads_as_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("component.wasm");
        let text = "(component (core module (memory 1) (data (i32.const 0) \"data\") (func (export \"f\"))))";
        fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
        let engine = Engine::new(&Config::new()).unwrap();
        let loader = Loader::new(engine.clone(), folder.path()).unwrap();
        loader.load_file(&path).unwrap();
        let cached = fs::read_dir(folder.path().join("cache")).unwrap().next().unwrap().unwrap().path();
        // SAFETY: wasmtime has just written it.
        let component = unsafe { Component::deserialize_file(&engine, &cached) }.unwrap();
        let image = component.image_range();
        let bytes = image.end.addr() - image.start.addr();
        assert!(bytes as u64 >= fs::metadata(cached).unwrap().len());
        // SAFETY: the component is alive, and its code stays mapped and is never written to as long as it is.
        let code = || unsafe { std::slice::from_raw_parts(image.start, bytes) }.to_vec();
        // What wasmtime had changed after it was mapped would be lost.
        let before = code();
        release(&component);
        assert!(code() == before);
    }
}
