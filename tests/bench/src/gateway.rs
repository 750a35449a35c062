//! `bare`, `policies`: what a gateway costs. `bare` is a request without a token or a limit, beside nginx and HAProxy in front of a
//! server that answers the same from memory; `policies` is one with a token and limits, beside a gateway on Express.
//! The function runs inside the host, in a reused instance unless it is said otherwise.

use std::cell::Cell;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::json;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::tokens::Token;

use crate::child::{Child, free_addresses};
use crate::install::{self, Package, debian};
use crate::load::{Exchange, Server, drive};
use crate::process::Process;
use crate::report::{Label, Row, Settings};
use crate::rounds::{Contender, alternate};
use crate::{target, wrk};

const CONNECTIONS: [usize; 2] = [1, 64];
const REUSED: &str = "128x16";
/// Tokens that are sent in turn, more than the host remembers: each is verified anew.
const TOKENS: u32 = 40_000;

const EXPRESS: Package = Package {
    name: "express",
    pins: "package.json",
    service: Some("gateway.js"),
    commands: &[&["npm", "install", "--silent", "--no-audit", "--no-fund"]],
};

/// A peer with what it needs to run.
struct Peer {
    server: Server,
    token: Option<String>,
    _children: Vec<Child>,
}

/// Measures the benches whose names begin with `only`.
///
/// # Errors
/// If an answer is wrong, or something cannot be had.
pub fn measure(with_peers: bool, only: &str) -> anyhow::Result<Vec<Row>> {
    debian("wrk", "wrk")?;
    let manifest = repository::root().join("tests/bench/gateway/spin.toml");
    let options = Options { manifest, rate_limits: true, ..Options::default() };
    let mut platform = Platform::start_with(&options);
    // A host that has just compiled its components is slower for some seconds.
    platform.stop();
    platform.run(&options).map_err(|why| anyhow!("the host does not start again: {why}"))?;
    let weft = target::server(&platform, false)?;
    let mut rows = Vec::new();
    if "bare".starts_with(only) {
        rows.extend(bare(&weft, with_peers)?);
    }
    if "policies".starts_with(only) {
        rows.extend(policies(&platform, &weft, with_peers)?);
    }
    Ok(rows)
}

fn bare(weft: &Server, with_peers: bool) -> anyhow::Result<Vec<Row>> {
    let peers = if with_peers { vec![("nginx", nginx()?), ("haproxy", haproxy()?)] } else { Vec::new() };
    let mut contenders = Vec::new();
    for connections in CONNECTIONS {
        contenders.push(contender(("bare", "weft", REUSED), HOW_BARE, connections, weft, "/bare", None));
        for (name, peer) in &peers {
            let label = ("bare", *name, "none");
            contenders.push(contender(label, HOW_PROXY, connections, &peer.server, "/bare", None));
        }
    }
    alternate(contenders)
}

fn policies(platform: &Platform, weft: &Server, with_peers: bool) -> anyhow::Result<Vec<Row>> {
    let express = if with_peers { Some(express()?) } else { None };
    let token = platform.token(&Token { expires_in_s: 3_600, ..Token::default() });
    let tokens = distinct(platform);
    let mut contenders = Vec::new();
    for connections in CONNECTIONS {
        for (reuse, path) in [(REUSED, "/reused"), ("fresh", "/fresh")] {
            let label = ("policies", "weft", reuse);
            contenders.push(contender(label, HOW_POLICIES, connections, weft, path, Some(token.clone())));
        }
        contenders.push(uncached(connections, weft, &tokens));
        if let Some(express) = &express {
            let label = ("policies", "express", "none");
            contenders.push(contender(
                label,
                HOW_EXPRESS,
                connections,
                &express.server,
                "/reused",
                express.token.clone(),
            ));
        }
    }
    alternate(contenders)
}

const HOW_BARE: &str = "access log, trace, bounds; the function runs in the host";
const HOW_PROXY: &str = "access log, keep-alive to a server that answers from memory";
const HOW_POLICIES: &str =
    "EdDSA token, verified once and remembered; three limits, identity headers, access log, trace";
const HOW_EXPRESS: &str = "one process: express-rate-limit, jsonwebtoken (RS256), http-proxy-middleware to a server that answers from memory, access log";
const HOW_UNCACHED: &str = "the same with each token verified anew; loaded by this process, which checks each answer";

fn contender<'a>(
    (bench, system, reuse): (&'static str, &'static str, &'static str),
    how: &'static str,
    connections: usize,
    server: &'a Server,
    path: &'static str,
    token: Option<String>,
) -> Contender<'a> {
    let settings = Settings { reuse, flush: "none", limits: "manifest", how };
    Contender {
        label: Label { bench, system, concurrency: connections, settings },
        run: Box::new(move || wrk::load(server, path, connections, token.as_deref())),
    }
}

/// A row of its own: the answers are checked one by one, which costs what wrk does not.
fn uncached<'a>(connections: usize, weft: &'a Server, tokens: &'a [String]) -> Contender<'a> {
    let settings = Settings { reuse: REUSED, flush: "none", limits: "uncached-tokens", how: HOW_UNCACHED };
    let next = Cell::new(0);
    Contender {
        label: Label { bench: "policies", system: "weft", concurrency: connections, settings },
        run: Box::new(move || {
            drive(weft, connections, |_| {
                let number = next.replace(next.get() + 1);
                greeting(tokens.get(number % tokens.len()).cloned().unwrap_or_default())
            })
        }),
    }
}

fn greeting(token: String) -> Exchange {
    Exchange {
        method: Method::GET,
        path: "/reused?name=Ada".to_owned(),
        headers: vec![("authorization", format!("Bearer {token}"))],
        body: Bytes::new(),
        is_right: Box::new(|status, body| status == StatusCode::OK && body == wrk::GREETING.as_bytes()),
    }
}

fn distinct(platform: &Platform) -> Vec<String> {
    let token = |number: u32| {
        let claims = [("jti".to_owned(), json!(number.to_string()))].into_iter().collect();
        platform.token(&Token { claims, expires_in_s: 3_600, ..Token::default() })
    };
    (0..TOKENS).map(token).collect()
}

fn nginx() -> anyhow::Result<Peer> {
    debian("nginx", "nginx-light")?;
    let (folder, [upstream, address]) = (folder("nginx")?, free_addresses()?);
    let behind = answering(&folder, upstream)?;
    let config = format!(
        "worker_processes auto;\npid nginx.pid;\nerror_log error.log;\nevents {{}}\nhttp {{\n  access_log access.log;\n{}\
           upstream behind {{ server {upstream}; keepalive 64; }}\n  server {{\n    listen {address};\n    keepalive_requests 100000000;\n\
             location / {{ proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}\n  }}\n}}\n",
        temporary()
    );
    let (child, mut server) = nginx_of(&folder, "front", &config, address)?;
    let Process(master) = child.process();
    let workers = fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
    server.processes =
        workers.split_whitespace().map(|pid| Ok(Process(pid.parse()?))).collect::<anyhow::Result<_>>()?;
    Ok(Peer { server, token: None, _children: vec![child, behind] })
}

/// A server that answers the greeting from memory: nginx itself.
fn answering(folder: &Path, address: SocketAddr) -> anyhow::Result<Child> {
    let config = format!(
        "worker_processes 1;\npid behind.pid;\nerror_log error.log;\nevents {{}}\nhttp {{\n  access_log off;\n{}\
           server {{\n    listen {address};\n    keepalive_requests 100000000;\n    location / {{ default_type application/json; return 200 '{}'; }}\n  }}\n}}\n",
        temporary(),
        wrk::GREETING
    );
    Ok(nginx_of(folder, "behind", &config, address)?.0)
}

/// Where nginx would put bodies that are too large for memory.
fn temporary() -> &'static str {
    "  client_body_temp_path tmp;\n  proxy_temp_path tmp;\n  fastcgi_temp_path tmp;\n  uwsgi_temp_path tmp;\n  scgi_temp_path tmp;\n"
}

fn nginx_of(folder: &Path, name: &'static str, config: &str, address: SocketAddr) -> anyhow::Result<(Child, Server)> {
    let file = folder.join(format!("{name}.conf"));
    fs::write(&file, config)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder).arg("-c").arg(&file).args(["-g", "daemon off;"]);
    started(name, &mut command, folder, address)
}

fn haproxy() -> anyhow::Result<Peer> {
    debian("haproxy", "haproxy")?;
    debian("nginx", "nginx-light")?;
    let (folder, [upstream, address]) = (folder("haproxy")?, free_addresses()?);
    let behind = answering(&folder, upstream)?;
    let file = folder.join("haproxy.cfg");
    let config = format!(
        "global\n  log stdout format raw local0\ndefaults\n  mode http\n  log global\n  option httplog\n  timeout connect 5s\n  timeout client 60s\n  \
         timeout server 60s\n  http-reuse always\nfrontend front\n  bind {address}\n  default_backend behind\nbackend behind\n  server one {upstream}\n"
    );
    fs::write(&file, config)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(&file);
    let (child, server) = started("haproxy", &mut command, &folder, address)?;
    Ok(Peer { server, token: None, _children: vec![child, behind] })
}

fn express() -> anyhow::Result<Peer> {
    debian("nginx", "nginx-light")?;
    let package = EXPRESS.install()?;
    let (folder, [upstream, address]) = (folder("express-data")?, free_addresses()?);
    let behind = answering(&folder, upstream)?;
    let mut command = Command::new("node");
    command
        .arg(package.join("gateway.js"))
        .arg(address.port().to_string())
        .arg(format!("http://{upstream}"))
        .arg(&folder);
    command.env("NODE_ENV", "production");
    let (child, server) = started("express", &mut command, &folder, address)?;
    let token = fs::read_to_string(folder.join("token")).context("the Express gateway wrote no token")?;
    Ok(Peer { server, token: Some(token), _children: vec![child, behind] })
}

fn started(
    name: &'static str,
    command: &mut Command,
    folder: &Path,
    address: SocketAddr,
) -> anyhow::Result<(Child, Server)> {
    let mut child = Child::start(name, command, folder)?;
    child.wait_for(address)?;
    let server = Server { address, processes: vec![child.process()], writes: false };
    Ok((child, server))
}

fn folder(name: &str) -> anyhow::Result<PathBuf> {
    let folder = install::target().join("peers").join(name);
    // What an earlier run has logged is of no use.
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder.join("tmp"))?;
    Ok(std::path::absolute(folder)?)
}
