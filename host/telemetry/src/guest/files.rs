//! The log files: JSON lines, written by a thread of their own, of two generations each.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::{LogLine, folder};

/// A file is set aside when it is this long, in bytes; the one set aside before is removed.
pub const FILE_BYTES: u64 = 8 * 1024 * 1024;
/// Lines that may wait for the disk.
const QUEUE_LINES: usize = 4096;
/// How much of the end of a file is looked at for its last lines, in bytes.
const TAIL_BYTES: u64 = 4 * 1024 * 1024;

/// The thread and the way to it.
#[derive(Debug)]
pub(super) struct FileThread {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
enum Message {
    Line(Arc<LogLine>),
    Flush(SyncSender<()>),
    End,
}

impl FileThread {
    pub fn start(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let (queue, messages) = sync_channel(QUEUE_LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let mut files = Files { folder, open: HashMap::new(), dropped: Arc::clone(&dropped), failing: false };
        let thread = std::thread::Builder::new().name("weft-guest-log".into()).spawn(move || files.run(&messages))?;
        Ok(Self { queue, dropped, thread: Mutex::new(Some(thread)) })
    }

    /// Hands a line over, or drops it if the disk does not keep up.
    pub fn append(&self, line: Arc<LogLine>) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Message::Line(line)) {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.queue.send(Message::Flush(done)).is_ok() {
            // An error means that the thread has ended, and all is written.
            let _ = wait.recv();
        }
    }
}

impl Drop for FileThread {
    fn drop(&mut self) {
        let _ = self.queue.send(Message::End);
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// The thread's own state.
struct Files {
    folder: PathBuf,
    open: HashMap<Arc<str>, Open>,
    dropped: Arc<AtomicU64>,
    /// Whether the last write failed, so that a full disk is told once and not with every line.
    failing: bool,
}

struct Open {
    file: BufWriter<File>,
    bytes: u64,
}

impl Files {
    fn run(&mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            let mut next = Some(message);
            while let Some(message) = next {
                match message {
                    Message::Line(line) => self.append(&line),
                    Message::Flush(done) => {
                        self.write_out();
                        // An error means that nobody waits any more.
                        let _ = done.send(());
                    }
                    Message::End => return self.write_out(),
                }
                next = messages.try_recv().ok();
            }
            self.write_out();
        }
    }

    fn append(&mut self, line: &LogLine) {
        let result = self.try_append(line);
        self.note(&line.component, result);
    }

    fn try_append(&mut self, line: &LogLine) -> io::Result<()> {
        if !self.open.contains_key(&line.component) {
            let open = Open::at(&self.folder, &line.component)?;
            self.open.insert(Arc::clone(&line.component), open);
        }
        let mut json = serde_json::to_vec(line).map_err(io::Error::other)?;
        json.push(b'\n');
        let Some(open) = self.open.get_mut(&line.component) else { return Ok(()) };
        open.file.write_all(&json)?;
        open.bytes += json.len() as u64;
        if open.bytes < FILE_BYTES {
            return Ok(());
        }
        open.file.flush()?;
        self.open.remove(&line.component);
        let [older, newer] = paths(&self.folder, &line.component);
        fs::rename(newer, older)
    }

    fn write_out(&mut self) {
        let results: Vec<_> = self.open.iter_mut().map(|(name, open)| (Arc::clone(name), open.file.flush())).collect();
        for (component, result) in results {
            self.note(&component, result);
        }
        let dropped = self.dropped.swap(0, Relaxed);
        if dropped > 0 {
            tracing::warn!(
                dropped,
                "lines of functions are missing in the log files, because the disk did not keep up"
            );
        }
    }

    fn note(&mut self, component: &Arc<str>, result: io::Result<()>) {
        if let Err(error) = &result {
            // What the buffer holds could not be written; a new file is tried with the next line.
            self.open.remove(component);
            if !self.failing {
                tracing::warn!(%component, %error, "cannot write the log file of a component");
            }
        }
        self.failing = result.is_err();
    }
}

impl Open {
    fn at(folder: &Path, component: &str) -> io::Result<Self> {
        let [_, newer] = paths(folder, component);
        let file = OpenOptions::new().append(true).create(true).open(newer)?;
        let bytes = file.metadata()?.len();
        Ok(Self { file: BufWriter::new(file), bytes })
    }
}

/// The older and the newer file of a component. Its id is made safe for a file name.
fn paths(folder: &Path, component: &str) -> [PathBuf; 2] {
    let safe = |character: char| {
        if character.is_ascii_alphanumeric() || character == '-' { character } else { '_' }
    };
    let name: String = component.chars().map(safe).collect();
    [folder.join(format!("{name}.log.1")), folder.join(format!("{name}.log"))]
}

/// The last `count` lines in the files below `data`, of one component or of all, oldest first. No host need be running.
///
/// # Errors
/// If a file cannot be read. A file that does not exist is empty; a line that is not whole is left out.
pub fn last(data: &Path, component: Option<&str>, count: usize) -> io::Result<Vec<LogLine>> {
    let folder = folder(data);
    let files: Vec<PathBuf> = match component {
        Some(component) => paths(&folder, component).into(),
        None => match fs::read_dir(&folder) {
            Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        },
    };
    let mut lines = Vec::new();
    for file in files {
        let mut read = tail(&file)?;
        lines.extend(read.split_off(read.len().saturating_sub(count)));
    }
    lines.sort_by_key(|line| line.time_ms);
    Ok(lines.split_off(lines.len().saturating_sub(count)))
}

fn tail(path: &Path) -> io::Result<Vec<LogLine>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let start = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut lines = Vec::new();
    for bytes in BufReader::new(file.take(TAIL_BYTES)).split(b'\n') {
        // The first may be cut by where we began, the last by where a writer is just now.
        if let Ok(line) = serde_json::from_slice(&bytes?) {
            lines.push(line);
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::super::Stream;
    use super::*;

    fn line(time_ms: u64, component: &str, text: String) -> Arc<LogLine> {
        Arc::new(LogLine { time_ms, component: component.into(), stream: Stream::Stdout, trace_id: None, text })
    }

    #[test]
    fn two_generations_are_kept() {
        let data = tempfile::tempdir().unwrap();
        let files = FileThread::start(folder(data.path())).unwrap();
        let text = "x".repeat(8000);
        let mut time_ms = 0;
        // Enough for three files.
        for _ in 0..(3 * FILE_BYTES / 8000) {
            time_ms += 1;
            files.append(line(time_ms, "a", text.clone()));
            if time_ms % 1000 == 0 {
                files.flush();
            }
        }
        files.flush();
        assert_eq!(files.dropped.load(Relaxed), 0);
        let sizes: Vec<u64> = paths(&folder(data.path()), "a").iter().map(|p| fs::metadata(p).unwrap().len()).collect();
        assert!(sizes.iter().all(|size| *size <= FILE_BYTES + 10_000), "{sizes:?}");
        let last = last(data.path(), Some("a"), 2).unwrap();
        assert_eq!(last.iter().map(|line| line.time_ms).collect::<Vec<_>>(), [time_ms - 1, time_ms]);
    }

    #[test]
    fn a_name_cannot_leave_the_folder() {
        let [_, newer] = paths(Path::new("/data/logs"), "../../etc/passwd");
        assert_eq!(newer, Path::new("/data/logs/______etc_passwd.log"));
    }

    #[test]
    fn a_later_run_goes_on_in_the_same_file_and_broken_lines_are_left_out() {
        let data = tempfile::tempdir().unwrap();
        for run in 0..2 {
            let files = FileThread::start(folder(data.path())).unwrap();
            files.append(line(run, "a", format!("run {run}")));
            drop(files);
        }
        let [_, newer] = paths(&folder(data.path()), "a");
        OpenOptions::new().append(true).open(newer).unwrap().write_all(b"{\"time\":\"2026-").unwrap();
        let texts: Vec<String> = last(data.path(), None, 10).unwrap().into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["run 0", "run 1"]);
        assert!(last(&data.path().join("nowhere"), None, 10).unwrap().is_empty());
    }
}
