//! DBOS: a library in the service itself, here in Python behind an HTTP server, with SQLite as it comes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::child::{Child, free_addresses};
use crate::install::{PIP, Package};
use crate::load::Server;
use crate::sagas::system::{Door, System};

/// Where its sagas are asked for.
pub const DOOR: Door = Door::Body("/sagas");
/// How it was set up.
pub const HOW: &str = "Python with SQLite, as it comes: a rollback journal with synchronous = FULL, flushed at each \
                       commit; a library in the service, which the client calls over HTTP";

const SERVICE: &str = "service.py";
const PACKAGE: Package = Package { name: "dbos", pins: "requirements.txt", service: Some(SERVICE), commands: PIP };

/// The service.
pub struct Dbos {
    child: Option<Child>,
    package: PathBuf,
    address: SocketAddr,
    data: TempDir,
}

impl Dbos {
    /// Installs it if it is not there.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn install() -> anyhow::Result<PathBuf> {
        PACKAGE.install()
    }

    /// Starts it on fresh data.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(package: &Path) -> anyhow::Result<Self> {
        let [address] = free_addresses()?;
        let data = tempfile::Builder::new().prefix("weft-bench-dbos-").tempdir()?;
        let mut dbos = Self { child: None, package: package.to_owned(), address, data };
        System::start(&mut dbos)?;
        if let Some(child) = &mut dbos.child {
            child.wait_for(address)?;
        }
        Ok(dbos)
    }
}

impl System for Dbos {
    fn server(&self) -> anyhow::Result<Server> {
        let processes = self.child.iter().map(Child::process).collect();
        Ok(Server { address: self.address, processes, writes: true })
    }

    fn kill(&mut self) {
        self.child = None;
    }

    fn start(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(self.package.join("venv/bin/python"));
        command
            .arg(self.package.join(SERVICE))
            .arg(self.address.port().to_string())
            .arg(self.data.path().join("dbos.sqlite"));
        self.child = Some(Child::start("dbos", &mut command, self.data.path())?);
        Ok(())
    }
}
