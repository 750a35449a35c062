//! Peers from package registries, in the versions that `tests/bench/peers` pins, into `target/peers`. Owns installing
//! once and saying so; what a peer does is for its own module.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use weft_tests::repository;

/// Commands that install what `requirements.txt` pins from PyPI.
pub const PIP: &[&[&str]] = &[
    &["python3", "-m", "venv", "venv"],
    &["venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"],
];

/// What is installed and how.
pub struct Package {
    /// Its folder under `tests/bench/peers` and `target/peers`.
    pub name: &'static str,
    /// The file that pins its versions.
    pub pins: &'static str,
    /// The program of ours that runs in it, if there is one.
    pub service: Option<&'static str>,
    /// Commands that are run in the folder, one after the other.
    pub commands: &'static [&'static [&'static str]],
}

impl Package {
    /// The folder with the package, installed unless these versions are there already.
    ///
    /// # Errors
    /// If a command is missing or fails, as without a network.
    pub fn install(&self) -> anyhow::Result<PathBuf> {
        let source = repository::root().join("tests/bench/peers").join(self.name);
        let folder = target().join("peers").join(self.name);
        let installed = folder.join("installed");
        let pins = fs::read(source.join(self.pins))?;
        fs::create_dir_all(&folder)?;
        if let Some(service) = self.service {
            fs::copy(source.join(service), folder.join(service))?;
        }
        if fs::read(&installed).is_ok_and(|installed| installed == pins) {
            return Ok(folder);
        }
        fs::write(folder.join(self.pins), &pins)?;
        eprintln!("installing {} into {}:\n{}", self.name, folder.display(), String::from_utf8_lossy(&pins).trim());
        for command in self.commands {
            run(command, &folder)?;
        }
        fs::write(installed, pins)?;
        Ok(folder)
    }
}

fn run(command: &[&str], folder: &Path) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("an empty command")?;
    let mut process = Command::new(program);
    process.args(arguments).current_dir(folder).stdin(Stdio::null());
    let output = process.output().with_context(|| format!("`{program}` cannot be run"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{}` ended with {}: {}", command.join(" "), output.status, said.trim());
    Ok(())
}

/// Installs a Debian package if its program is missing, and says so.
///
/// # Errors
/// If it cannot be installed.
pub fn debian(program: &str, package: &str) -> anyhow::Result<()> {
    if Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok() {
        return Ok(());
    }
    eprintln!("installing {package}");
    let installed = Command::new("apt-get").args(["install", "-q", "-y", package]).stdout(Stdio::null()).status();
    let is_there = installed.is_ok_and(|status| status.success());
    ensure!(is_there, "{program} cannot be installed: `apt-get install {package}`");
    Ok(())
}

/// The folder of what is built.
#[must_use]
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository::root().join("target"), PathBuf::from)
}
