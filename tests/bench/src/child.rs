//! Processes that the bench starts: each is killed by its id when its value is dropped, and what it says goes to a file.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use weft_tests::wait::eventually;

use crate::process::Process;

/// The last lines of a log that are shown when its process has ended.
const LOG_LINES: usize = 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A process that runs until the value is dropped.
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    name: &'static str,
    log: PathBuf,
}

impl Child {
    /// Starts it; what it says is appended to `<folder>/<name>.log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(name: &'static str, command: &mut Command, folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join(name).with_extension("log");
        let out = File::options().append(true).create(true).open(&log).with_context(|| log.display().to_string())?;
        let child = command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).spawn();
        Ok(Self { child: child.with_context(|| format!("{name} cannot be started"))?, name, log })
    }

    /// For counting what it uses.
    #[must_use]
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// Waits until it listens.
    ///
    /// # Errors
    /// If it ended before, with the end of its log.
    pub fn wait_for(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        eventually(self.name, || match self.child.try_wait() {
            Ok(None) => TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map(|_| Ok(())),
            Ok(Some(status)) => Ok(Err(status)),
            Err(error) => Err(error),
        })
        .or_else(|status| bail!("{} ended with {status}:\n{}", self.name, self.last_words()))
    }

    /// Ends it at once, as a power cut would, and waits until it has.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, and waits until it has written what it has to write.
    ///
    /// # Errors
    /// If it ends badly.
    #[cfg(feature = "peers")]
    pub fn end(&mut self) -> anyhow::Result<()> {
        use rustix::process::{Pid, Signal, kill_process};
        let process = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("its process id")?;
        kill_process(process, Signal::TERM)?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "{} ended with {status}:\n{}", self.name, self.last_words());
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Addresses of this machine that nobody listens on.
///
/// # Errors
/// If there are none.
pub fn free_addresses<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    // All are held until the last is found, so that they differ.
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for (address, listener) in addresses.iter_mut().zip(listeners) {
        *address = listener?.local_addr()?;
    }
    Ok(addresses)
}
