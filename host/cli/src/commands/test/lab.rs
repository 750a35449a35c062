//! Where cases run: a folder with the prepared data, a copy of it for each case, and hosts as child processes of this
//! very program.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use super::job::Job;
use crate::assemble::Place;
use crate::exit::{Exit, UsageError};
use crate::faults::{self, Written};

/// What a host is given beyond its job, to start and to close, in milliseconds.
const OVERHEAD_MS: u64 = 60_000;
/// The longest end of a host's log that an error shows, in bytes.
const LOG_SHOWN: usize = 2_000;
/// Compiled components.
const CACHE: &str = "cache";
/// What is of no use in a copy: sockets and locks of a host that runs.
const LEFT_BEHIND: [&str; 2] = ["lock", "control.sock"];

/// The folder of one run of the harness; gone with the value.
pub struct Lab {
    folder: TempDir,
    program: PathBuf,
    manifest: PathBuf,
    /// The place whose compiled components are shared.
    shared: PathBuf,
    cases: AtomicU32,
}

/// What goes wrong in a host.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    /// Of steps.
    pub faults: Vec<Written>,
    /// In the words of `WEFT_FAILPOINT`.
    pub failpoint: String,
}

/// How a host ended.
pub enum Gone<T> {
    /// In good order, with its report.
    Reported(T),
    /// It was aborted, as at a failpoint.
    Aborted,
    /// It did not end within its time and was killed.
    Hung,
}

/// A data directory of its own; gone with the value.
pub struct Case(PathBuf);

impl Drop for Case {
    fn drop(&mut self) {
        // The whole folder goes in the end.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Case {
    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }
}

impl Lab {
    /// A folder whose prepared data is a copy of `from`, or empty.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(place: &Place, from: Option<&Path>) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("weft-test-saga-").tempdir()?;
        let manifest = place.manifest.canonicalize();
        let manifest = manifest.with_context(|| format!("cannot find the manifest {}", place.manifest.display()))?;
        let program = std::env::current_exe().context("cannot find this program")?;
        let shared = place.data.join(CACHE);
        let lab = Self { folder, program, manifest, shared, cases: AtomicU32::new(0) };
        let prepared = lab.prepared();
        fs::create_dir_all(prepared.join(CACHE))?;
        if let Some(from) = from {
            copy(from, &prepared).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        link_all(&lab.shared, &prepared.join(CACHE));
        Ok(lab)
    }

    /// What each case begins with.
    pub fn prepared(&self) -> PathBuf {
        self.folder.path().join("prepared")
    }

    /// What was compiled is kept for the next time, where a host keeps it, if there is such a place.
    pub fn keep_compiled(&self) {
        if self.shared.is_dir() {
            link_all(&self.prepared().join(CACHE), &self.shared);
        }
    }

    /// A copy of the prepared data.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn case(&self) -> anyhow::Result<Case> {
        let number = self.cases.fetch_add(1, Ordering::Relaxed);
        let case = Case(self.folder.path().join(format!("case-{number}")));
        fs::create_dir(&case.0)?;
        copy(&self.prepared(), &case.data()).context("cannot copy the prepared data")?;
        Ok(case)
    }

    /// Runs a host on a data directory until its job is done.
    ///
    /// # Errors
    /// If it fails otherwise than by being aborted: with its own words, as a [`UsageError`] if it says so.
    pub async fn host<T: DeserializeOwned>(
        &self,
        data: &Path,
        job: &Job,
        trouble: &Trouble,
        timeout_ms: u64,
    ) -> anyhow::Result<Gone<T>> {
        let beside = data.parent().unwrap_or(data);
        let (asked, report, log) = (beside.join("job.json"), beside.join("report.json"), beside.join("log"));
        fs::write(&asked, serde_json::to_vec(job)?)?;
        let mut command = tokio::process::Command::new(&self.program);
        command.args([OsStr::new("--manifest"), self.manifest.as_ref(), OsStr::new("--data"), data.as_ref()]);
        command.args([OsStr::new("test"), OsStr::new("saga-run"), asked.as_ref(), report.as_ref()]);
        command
            .env("WEFT_FAILPOINT", &trouble.failpoint)
            .env(faults::VARIABLE, serde_json::to_string(&trouble.faults)?);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?).kill_on_drop(true);
        let mut child = command.spawn().context("cannot start a host")?;
        let within = Duration::from_millis(timeout_ms.saturating_mul(2) + OVERHEAD_MS);
        let Ok(status) = tokio::time::timeout(within, child.wait()).await else {
            child.kill().await.context("cannot kill a host")?;
            return Ok(Gone::Hung);
        };
        let status = status?;
        if is_abort(status) {
            return Ok(Gone::Aborted);
        }
        if !status.success() {
            let why = failed(status, &fs::read_to_string(&log).unwrap_or_default());
            if status.code() == Some(i32::from(Exit::Usage.code())) {
                return Err(UsageError(why).into());
            }
            bail!(why);
        }
        Ok(Gone::Reported(serde_json::from_slice(&fs::read(&report).context("a host has written no report")?)?))
    }
}

fn is_abort(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal().is_some()
}

fn failed(status: ExitStatus, log: &str) -> String {
    let start = log.char_indices().rev().nth(LOG_SHOWN).map_or(0, |(at, _)| at);
    let log = log.get(start..).unwrap_or_default().trim();
    log.strip_prefix("weft: ").map_or_else(|| format!("a host ended with {status}: {log}"), ToOwned::to_owned)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        let place = to.join(&name);
        if kind.is_dir() && name == CACHE {
            fs::create_dir_all(&place)?;
            link_all(&entry.path(), &place);
        } else if kind.is_dir() {
            copy(&entry.path(), &place)?;
        } else if kind.is_file() && !LEFT_BEHIND.iter().any(|left| name == *left) {
            fs::copy(entry.path(), place)?;
        }
    }
    Ok(())
}

/// Compiled components are linked: they are large and never written to. One that cannot be linked is compiled again.
fn link_all(from: &Path, to: &Path) {
    let entries = fs::read_dir(from).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    for file in entries.filter(|path| path.extension().is_some_and(|end| end == "cwasm")) {
        if let Some(name) = file.file_name() {
            let place = to.join(name);
            let _ = fs::hard_link(&file, &place).or_else(|_| fs::copy(&file, &place).map(drop));
        }
    }
}
