//! The audit log: who did what by hand to the application's sagas, and what became of it. One JSON object on each line of
//! `audit/audit.jsonl` in the data directory, readable by its owner alone. What is an action, and who may do it, is up to
//! the caller. What the gateway decided of requests (`decisions`) is in `audit/requests.jsonl` beside it.
//!
//! Unlike the other logs it is for evidence: an entry is on the medium before the action is acknowledged. Bounds: a file
//! is set aside at 64 MiB, or 16 MiB for requests, and the oldest of more than eight of those is removed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use weft_core::Clock;

use crate::decisions::DecidedRequests;
use crate::guest::{from_rfc3339, to_rfc3339};

/// One log: its files, and how long one of them grows before it is set aside, in bytes.
#[derive(Clone, Copy, Debug)]
struct Files {
    stem: &'static str,
    bytes: u64,
}

/// What was done by hand.
const ACTIONS: Files = Files { stem: "audit", bytes: 64 * 1024 * 1024 };
/// What the gateway decided.
const REQUESTS: Files = Files { stem: "requests", bytes: 16 * 1024 * 1024 };
/// So many that were set aside are kept.
const KEPT_FILES: usize = 8;
/// The longest text of one field, in bytes; a longer one is cut.
const MAX_TEXT_BYTES: usize = 2048;

/// One action of a person, or of a program in a person's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// Who, such as `ada@local`.
    pub actor: String,
    /// What, such as `cancel`.
    pub action: String,
    /// The saga that it is about; empty if there is none.
    pub saga: String,
    /// What else belongs to it, such as the step.
    pub detail: String,
    /// Why, in the actor's own words.
    pub reason: String,
    /// What became of it: `done`, or why it was refused.
    pub outcome: String,
}

/// A line of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, in milliseconds since the Unix epoch; RFC 3339 in JSON.
    #[serde(rename = "time", serialize_with = "to_rfc3339", deserialize_with = "from_rfc3339")]
    pub time_ms: u64,
    /// As [`Action::actor`].
    pub actor: String,
    /// As [`Action::action`].
    pub action: String,
    /// As [`Action::saga`].
    pub saga: String,
    /// As [`Action::detail`].
    pub detail: String,
    /// As [`Action::reason`].
    pub reason: String,
    /// As [`Action::outcome`].
    pub outcome: String,
    /// The requests that it is about, if it is about such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<DecidedRequests>,
}

/// The audit log of a data directory, whose lock the caller holds. Clones are the same log.
#[derive(Clone, Debug)]
pub struct AuditLog {
    clock: Arc<dyn Clock>,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug)]
struct Open {
    folder: PathBuf,
    stem: &'static str,
    file: File,
    /// What is whole and on the medium.
    bytes: u64,
    limit: u64,
    /// Something behind `bytes` may have been written.
    torn: bool,
}

impl AuditLog {
    /// Opens the log of `data`, or makes it. A last line that is not whole is ended.
    ///
    /// # Errors
    /// If the folder or the file cannot be made or read.
    pub fn open(data: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        Self::open_with(data, clock, ACTIONS)
    }

    /// The same for what the gateway decides.
    pub(crate) fn open_requests(data: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        Self::open_with(data, clock, REQUESTS)
    }

    fn open_with(data: &Path, clock: Arc<dyn Clock>, files: Files) -> io::Result<Self> {
        let folder = folder(data);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => File::open(data)?.sync_all()?,
        }
        let Files { stem, bytes: limit } = files;
        let file = open_file(&folder, stem)?;
        let bytes = file.metadata()?.len();
        let mut open = Open { folder, stem, file, bytes, limit, torn: false };
        if !open.ends_with_a_line()? {
            open.write(b"\n")?;
        }
        Ok(Self { clock, open: Arc::new(Mutex::new(open)) })
    }

    /// Appends an entry with the time of now. It is on the medium when this answers. Blocks.
    ///
    /// # Errors
    /// If it may not be there; what is there already stays as it is, and a later entry may succeed.
    pub fn append(&self, action: &Action) -> io::Result<()> {
        let cut = |text: &str| text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or_default().to_owned();
        let entry = AuditEntry {
            time_ms: self.clock.now_ms(),
            actor: cut(&action.actor),
            action: cut(&action.action),
            saga: cut(&action.saga),
            detail: cut(&action.detail),
            reason: cut(&action.reason),
            outcome: cut(&action.outcome),
            requests: None,
        };
        self.append_all(&[entry])
    }

    /// Appends entries as they are, with one flush.
    pub(crate) fn append_all(&self, entries: &[AuditEntry]) -> io::Result<()> {
        let mut line = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut line, entry).map_err(io::Error::other)?;
            line.push(b'\n');
        }
        if line.is_empty() {
            return Ok(());
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.bytes > 0 && open.bytes + line.len() as u64 > open.limit {
            open.rotate()?;
        }
        open.write(&line)
    }
}

impl Open {
    fn ends_with_a_line(&mut self) -> io::Result<bool> {
        if self.bytes == 0 {
            return Ok(true);
        }
        let mut last = [0];
        self.file.seek(SeekFrom::End(-1))?;
        self.file.read_exact(&mut last)?;
        Ok(last == *b"\n")
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.bytes)?;
        }
        self.torn = true;
        self.file.write_all(line)?;
        self.file.sync_data()?;
        self.torn = false;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Sets the file aside; the ones set aside before move on by one, the last is replaced.
    fn rotate(&mut self) -> io::Result<()> {
        for number in (0..KEPT_FILES).rev() {
            let (from, to) = (path(&self.folder, self.stem, number), path(&self.folder, self.stem, number + 1));
            match fs::rename(from, to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.file = open_file(&self.folder, self.stem)?;
        (self.bytes, self.torn) = (0, false);
        Ok(())
    }
}

fn folder(data: &Path) -> PathBuf {
    data.join("audit")
}

/// The file in use is number 0; the higher the number, the older the file.
fn path(folder: &Path, stem: &str, number: usize) -> PathBuf {
    match number {
        0 => folder.join(format!("{stem}.jsonl")),
        number => folder.join(format!("{stem}.{number}.jsonl")),
    }
}

/// Its name is on the medium, and nobody else can read it.
fn open_file(folder: &Path, stem: &str) -> io::Result<File> {
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path(folder, stem, 0))?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// The last `count` entries below `data` that are `wanted`, oldest first, of what was done by hand and what the gateway
/// decided. No host need be running.
///
/// # Errors
/// If a file cannot be read. No file is no entry; a line that is not whole is left out.
pub fn last(data: &Path, count: usize, wanted: impl Fn(&AuditEntry) -> bool) -> io::Result<Vec<AuditEntry>> {
    let mut entries = last_of(data, ACTIONS, count, &wanted)?;
    entries.extend(last_of(data, REQUESTS, count, &wanted)?);
    entries.sort_by_key(|entry| entry.time_ms);
    Ok(entries.split_off(entries.len().saturating_sub(count)))
}

fn last_of(
    data: &Path,
    files: Files,
    count: usize,
    wanted: &impl Fn(&AuditEntry) -> bool,
) -> io::Result<Vec<AuditEntry>> {
    let mut entries: Vec<AuditEntry> = Vec::new();
    for number in 0..=KEPT_FILES {
        if entries.len() >= count {
            break;
        }
        let text = match fs::read(path(&folder(data), files.stem, number)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        };
        let lines = text.rsplit(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        entries.extend(lines.filter(wanted).take(count - entries.len()));
    }
    entries.reverse();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use weft_core::clock::ManualClock;

    use super::*;

    fn action(saga: &str) -> Action {
        Action { actor: "ada@local".into(), action: "cancel".into(), saga: saga.into(), ..Action::default() }
    }

    fn opened(data: &Path, limit: u64) -> AuditLog {
        AuditLog::open_with(data, Arc::new(ManualClock::at_ms(1_500)), Files { bytes: limit, ..ACTIONS }).unwrap()
    }

    fn sagas(data: &Path, count: usize) -> Vec<String> {
        last(data, count, |_| true).unwrap().into_iter().map(|entry| entry.saga).collect()
    }

    #[test]
    fn an_entry_is_a_line_that_its_owner_alone_can_read() {
        let data = tempfile::tempdir().unwrap();
        let log = AuditLog::open(data.path(), Arc::new(ManualClock::at_ms(1_500))).unwrap();
        log.append(&Action { reason: "a\n\"b\"".into(), outcome: "done".into(), ..action("s") }).unwrap();
        let file = data.path().join("audit/audit.jsonl");
        let expected = concat!(
            r#"{"time":"1970-01-01T00:00:01.5Z","actor":"ada@local","action":"cancel","saga":"s","detail":"","#,
            r#""reason":"a\n\"b\"","outcome":"done"}"#,
            "\n"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), expected);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(last(data.path(), 5, |_| true).unwrap()[0].time_ms, 1_500);
        assert!(last(&data.path().join("nowhere"), 5, |_| true).unwrap().is_empty());
    }

    #[test]
    fn files_are_set_aside_and_the_oldest_goes() {
        let data = tempfile::tempdir().unwrap();
        let line = serde_json::to_vec(&action_line()).unwrap().len() as u64 + 1;
        let log = opened(data.path(), 2 * line);
        for number in 100..130 {
            log.append(&action(&number.to_string())).unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(folder(data.path())).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names.len(), KEPT_FILES + 1, "{names:?}");
        assert_eq!(sagas(data.path(), 3), ["127", "128", "129"]);
        let all = sagas(data.path(), 1000);
        assert_eq!((all.len(), all[0].as_str()), (2 * (KEPT_FILES + 1), "112"));
    }

    fn action_line() -> AuditEntry {
        let Action { actor, action, saga, detail, reason, outcome } = action("100");
        AuditEntry { time_ms: 1_500, actor, action, saga, detail, reason, outcome, requests: None }
    }

    #[test]
    fn a_torn_line_costs_itself_alone() {
        let data = tempfile::tempdir().unwrap();
        opened(data.path(), ACTIONS.bytes).append(&action("1")).unwrap();
        let file = path(&folder(data.path()), "audit", 0);
        OpenOptions::new().append(true).open(file).unwrap().write_all(b"{\"time\":\"2026-").unwrap();
        opened(data.path(), ACTIONS.bytes).append(&action("2")).unwrap();
        assert_eq!(sagas(data.path(), 10), ["1", "2"]);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let data = tempfile::tempdir().unwrap();
        let log = opened(data.path(), ACTIONS.bytes);
        log.append(&Action { reason: "ä".repeat(MAX_TEXT_BYTES), ..action("x".repeat(MAX_TEXT_BYTES + 1).as_str()) })
            .unwrap();
        let entry = &last(data.path(), 1, |_| true).unwrap()[0];
        assert_eq!((entry.saga.len(), entry.reason.len()), (MAX_TEXT_BYTES, MAX_TEXT_BYTES));
    }
}
