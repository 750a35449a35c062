//! Restate: its server, and the saga as a service in node that the server calls over HTTP/2.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::json;
use tempfile::TempDir;
use weft_tests::http::Client;

use crate::child::{Child, free_addresses};
use crate::install::Package;
use crate::load::Server;
use crate::sagas::system::{Door, System};

/// Where its sagas are asked for.
pub const DOOR: Door = Door::Body("/saga5/run");
/// How it was set up.
pub const HOW: &str = "one node, as it comes: the log's RocksDB calls fsync before a record is acknowledged \
                       (rocksdb-disable-wal-fsync = false); the server calls the service, a process in node, over \
                       HTTP/2";

const SERVICE: &str = "service.js";
const PACKAGE: Package = Package {
    name: "restate",
    pins: "package.json",
    service: Some(SERVICE),
    // Scripts of packages would only report the installation to their makers.
    commands: &[&[
        "npm",
        "install",
        "--ignore-scripts",
        "--no-package-lock",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]],
};

/// What is installed.
#[derive(Clone, Debug)]
pub struct Files {
    server: PathBuf,
    service: PathBuf,
}

/// The server and the service.
pub struct Restate {
    /// Server and service, in this order, while they run.
    children: Vec<Child>,
    files: Files,
    service: SocketAddr,
    ingress: SocketAddr,
    admin: SocketAddr,
    node: SocketAddr,
    data: TempDir,
}

impl Restate {
    /// Installs both if they are not there.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn install() -> anyhow::Result<Files> {
        let package = PACKAGE.install()?;
        Ok(Files { server: server_program(&package)?, service: package.join(SERVICE) })
    }

    /// Starts both on fresh data, and tells the server of the service.
    ///
    /// # Errors
    /// If one does not start.
    pub fn start(files: &Files) -> anyhow::Result<Self> {
        let [service, ingress, admin, node] = free_addresses()?;
        let data = tempfile::Builder::new().prefix("weft-bench-restate-").tempdir()?;
        let files = files.clone();
        let mut restate = Self { children: Vec::new(), files, service, ingress, admin, node, data };
        System::start(&mut restate)?;
        for (child, address) in restate.children.iter_mut().zip([admin, service]) {
            child.wait_for(address)?;
        }
        let deployment = json!({ "uri": format!("http://{service}") });
        let answer = Client::new(&format!("http://{admin}")).post("/deployments", &deployment).try_send()?;
        ensure!(answer.status < 300, "the service was refused with {}: {}", answer.status, answer.text());
        Ok(restate)
    }
}

impl System for Restate {
    fn server(&self) -> anyhow::Result<Server> {
        let processes = self.children.iter().map(Child::process).collect();
        Ok(Server { address: self.ingress, processes, writes: true })
    }

    fn kill(&mut self) {
        self.children.clear();
    }

    fn start(&mut self) -> anyhow::Result<()> {
        let folder = self.data.path();
        let mut server = Command::new(&self.files.server);
        server
            .arg("--no-logo")
            .env("RESTATE_BASE_DIR", folder.join("data"))
            .env("RESTATE_NODE_NAME", "bench")
            .env("RESTATE_LISTEN_MODE", "tcp")
            .env("RESTATE_BIND_IP", "127.0.0.1")
            .env("RESTATE_BIND_PORT", self.node.port().to_string())
            .env("RESTATE_INGRESS__BIND_PORT", self.ingress.port().to_string())
            .env("RESTATE_ADMIN__BIND_PORT", self.admin.port().to_string())
            .env("RESTATE_DISABLE_TELEMETRY", "true");
        let server = Child::start("restate-server", &mut server, folder)?;
        let mut service = Command::new("node");
        service
            .arg(&self.files.service)
            .arg(self.service.port().to_string())
            .env("NODE_ENV", "production")
            .env("RESTATE_LOGGING", "ERROR");
        self.children = vec![server, Child::start("restate-service", &mut service, folder)?];
        Ok(())
    }
}

/// The server for this machine: the package has one for each kind of machine, and npm installs the one that fits.
fn server_program(package: &Path) -> anyhow::Result<PathBuf> {
    let vendor = package.join("node_modules/@restatedev");
    let entries = fs::read_dir(&vendor).with_context(|| vendor.display().to_string())?;
    let mut programs = entries.filter_map(Result::ok).map(|entry| entry.path().join("bin/restate-server"));
    programs.find(|program| program.is_file()).context("there is no Restate server for this kind of machine")
}
