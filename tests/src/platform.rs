//! The real host as a child process: started on a port of its own with data of its own, killed, started again on the
//! same data. Owns the process and its data directory; nothing of it outlives the value.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::http::{Client, Request};
use crate::repository;
use crate::tokens::Token;
use crate::wait::eventually;

mod compiled;

/// E-mail of the first account.
pub const ADMIN_EMAIL: &str = "admin@example.com";
/// Its password.
pub const ADMIN_PASSWORD: &str = "correct horse battery";
/// How long a start may take on a busy machine: one compiles components of 25 MB. A host that ends is noticed at once.
const START: Duration = Duration::from_mins(5);
/// Lines of the host's log that a failed test shows.
const LOG_LINES: usize = 80;

/// How a host is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The manifest; the repository's by default.
    pub manifest: PathBuf,
    /// Environment variables on top of the admin account's.
    pub env: Vec<(String, String)>,
    /// More options of `weft up`.
    pub options: Vec<String>,
    /// Whether the manifest's rate limits hold. Not by default: tests ask over and over whether something has come
    /// about, all from one address, which is what rate limits are there to refuse.
    pub rate_limits: bool,
    /// A program and its options that the host is started under, such as `strace`.
    pub under: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        let manifest = repository::root().join("spin.toml");
        Self { manifest, env: Vec::new(), options: Vec::new(), rate_limits: false, under: Vec::new() }
    }
}

impl Options {
    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Arms a failpoint, in the words of `WEFT_FAILPOINT`.
    #[must_use]
    pub fn failpoint(self, setting: &str) -> Self {
        self.env("WEFT_FAILPOINT", setting)
    }
}

/// A host that runs, or did.
#[derive(Debug)]
pub struct Platform {
    child: Option<Child>,
    client: Client,
    url: String,
    data: PathBuf,
    folder: TempDir,
}

impl Platform {
    /// Starts the education platform on fresh data.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&Options::default())
    }

    /// Starts a host on fresh data and waits until it is ready.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_with(options: &Options) -> Self {
        let mut platform = Self::stopped();
        platform.run(options).unwrap_or_else(|why| panic!("the host does not start: {why}\n{}", platform.log()));
        platform
    }

    /// A data directory and no process yet.
    ///
    /// # Panics
    /// If there is no room for temporary files.
    #[must_use]
    pub fn stopped() -> Self {
        let folder = tempfile::Builder::new().prefix("weft-test-").tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        Self { child: None, client: Client::new("http://127.0.0.1:1"), url: String::new(), data, folder }
    }

    /// A platform that does not run, with a copy of this one's data.
    ///
    /// # Panics
    /// If this one runs, or the disk is full.
    #[must_use]
    pub fn copy(&self) -> Self {
        assert!(self.child.is_none(), "the data of a host that runs cannot be copied");
        let copy = Self::stopped();
        copy_folder(&self.data, &copy.data);
        copy
    }

    /// Starts the host on the data there is and waits until it is ready.
    ///
    /// # Errors
    /// Why it is not: it ended, or said no address in time.
    ///
    /// # Panics
    /// If it runs already, or the machine refuses to start a process.
    pub fn run(&mut self, options: &Options) -> Result<(), String> {
        assert!(self.child.is_none(), "the host runs already");
        let compiled = compiled::provide(&self.data);
        let mut child = self
            .command(options, "up")
            .args(["--listen", "127.0.0.1:0"])
            .arg("--manifest")
            .arg(&options.manifest)
            .args(&options.options)
            .args((!options.rate_limits).then_some("--no-rate-limits"))
            .spawn()
            .expect("the host can be started");
        let address = address(&mut child, &self.log_path());
        self.child = Some(child);
        self.url = address.recv_timeout(START).map_err(|_| {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            let ended = ended.map(|status| format!("it ended with {status}"));
            ended.unwrap_or_else(|| format!("it said no address within {START:?}"))
        })?;
        self.client = Client::new(&self.url);
        self.wait_until_ready()?;
        compiled.keep(&self.data);
        Ok(())
    }

    fn command(&self, options: &Options, command: &str) -> Command {
        let mut words = options.under.iter().map(PathBuf::from).chain([repository::weft()]);
        let mut process = Command::new(words.next().unwrap_or_default());
        let log = File::options().append(true).create(true).open(self.log_path()).expect("the log can be written");
        process
            .args(words)
            .arg(command)
            .arg("--data")
            .arg(&self.data)
            .current_dir(self.folder.path())
            .env("SPIN_VARIABLE_ADMIN_EMAIL", ADMIN_EMAIL)
            .env("SPIN_VARIABLE_ADMIN_PASSWORD", ADMIN_PASSWORD)
            .envs(options.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        process
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let client = self.client.clone();
        let child = self.child.as_mut().expect("just started");
        eventually("the host is ready", || {
            if let Some(status) = child.try_wait().expect("a child can be asked") {
                return Ok(Err(format!("it ended with {status} before it was ready")));
            }
            match client.get("/readyz").try_send() {
                Ok(answer) if answer.status == 200 => Ok(Ok(())),
                other => Err(other.map(|answer| answer.status)),
            }
        })
    }

    /// A client of this host.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A GET request.
    #[must_use]
    pub fn get(&self, path: &str) -> Request<'_> {
        self.client.get(path)
    }

    /// A POST request with a JSON body.
    #[must_use]
    pub fn post(&self, path: &str, body: &serde_json::Value) -> Request<'_> {
        self.client.post(path, body)
    }

    /// A request of any method.
    #[must_use]
    pub fn request(&self, method: &str, path: &str) -> Request<'_> {
        self.client.request(method, path)
    }

    /// The address, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A token signed with this host's key.
    ///
    /// # Panics
    /// If the host has made no key.
    #[must_use]
    pub fn token(&self, token: &Token) -> String {
        let key = self.data.join("jwt_private_key.pem");
        let pem = std::fs::read_to_string(&key).unwrap_or_else(|error| panic!("{}: {error}", key.display()));
        token.encode(&pem)
    }

    /// The process id of the host, or of what it runs under.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the host runs").id()
    }

    /// Ends the process at once, as a power cut would. Does nothing if it has ended.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits for a host that ends by itself, as at a failpoint.
    ///
    /// # Panics
    /// If it does not.
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the host runs");
        let status = eventually("the host ends", || child.try_wait().transpose().ok_or("it runs"));
        status.expect("a child can be asked")
    }

    /// Whether the process has ended by itself.
    ///
    /// # Panics
    /// If it was never started.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        let child = self.child.as_mut().expect("the host was started");
        child.try_wait().expect("a child can be asked").is_some()
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If the host does not run.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a child can be signalled");
    }

    /// Runs another command of `weft` on this data directory: its status, stdout and stderr.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn weft(&self, arguments: &[&str]) -> (ExitStatus, String, String) {
        self.weft_given(arguments, "")
    }

    /// As [`Platform::weft`], with something on standard input.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn weft_given(&self, arguments: &[&str], input: &str) -> (ExitStatus, String, String) {
        let mut given = tempfile::tempfile().expect("a file for the input");
        given.write_all(input.as_bytes()).and_then(|()| given.rewind()).expect("the input is written");
        let output = Command::new(repository::weft())
            .arg("--data")
            .arg(&self.data)
            .args(arguments)
            .current_dir(repository::root())
            .stdin(Stdio::from(given))
            .output()
            .expect("weft can be started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status, text(&output.stdout), text(&output.stderr))
    }

    /// What the host has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.len().saturating_sub(LOG_LINES);
            eprintln!("---- the host's log, its last lines ----\n{}", lines[last..].join("\n"));
        }
    }
}

/// Without compiled code and without what only a running host has.
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("a folder can be read") {
        let entry = entry.expect("a folder can be read to its end");
        let (kind, place) = (entry.file_type().expect("an entry has a type"), to.join(entry.file_name()));
        if kind.is_dir() && entry.file_name() != "cache" {
            copy_folder(&entry.path(), &place);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), place).expect("a file can be copied");
        }
    }
}

/// The first address that the process prints; all it prints goes to the log.
fn address(child: &mut Child, log: &Path) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().expect("its stdout is a pipe"));
    let mut log = File::options().append(true).open(log).expect("the log can be written");
    std::thread::spawn(move || {
        // Ends with the process, which closes its end.
        for line in stdout.lines().map_while(Result::ok) {
            if let Some(url) = find_url(&line) {
                // Only the first is waited for.
                let _ = sender.send(url);
            }
            let _ = writeln!(log, "{line}");
        }
    });
    receiver
}

fn find_url(line: &str) -> Option<String> {
    const START: &str = "http://127.0.0.1:";
    let port: String = line.split_once(START)?.1.chars().take_while(char::is_ascii_digit).collect();
    (!port.is_empty()).then(|| format!("{START}{port}"))
}
