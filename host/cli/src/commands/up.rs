//! `weft up`: assembles the host, serves until it is told to stop, drains, and leaves nothing half-done.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arc_swap::ArcSwapOption;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use weft_core::manifest::Manifest;
use weft_gateway::{About, Gateway, HealthCheck, Listeners, Settings, bind};
use weft_telemetry::{AuditLog, DecisionLog};

use crate::api_keys::Keyring;
use crate::assemble::{self, Dialect, Place};
use crate::commands::{build, watch};
use crate::control::operations::Running;
use crate::control::server;
use crate::edge::{self, Edge};
use crate::host::Host;
use crate::https;
use crate::output;
use crate::reload::{self, Build, Reloader};
use crate::seeding::Seeds;
use crate::upstream::Upstream;
use crate::versions::canary;
use crate::wiring::{BrokerHealth, JournalHealth};
use crate::{config, keys};

/// How long requests in work may take to finish when the host goes down.
const DRAIN: Duration = Duration::from_secs(30);

/// What `weft up` was asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the application and its data are.
    pub place: Place,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where to listen for HTTPS, if not where the manifest says.
    pub listen_tls: Option<SocketAddr>,
    /// Which engine stands behind what.
    pub config: Option<PathBuf>,
    /// Rebuild and redeploy when sources change.
    pub watch: bool,
    /// Run what Spin would run, with what Spin would give it.
    pub dialect: Dialect,
    /// Build before the start.
    pub build: bool,
    /// Whether the manifest's rate limits mean nothing.
    pub no_rate_limits: bool,
    /// What is put into the default stores before the first request.
    pub seeds: Seeds,
}

/// Runs until SIGINT or SIGTERM, then drains; takes up a changed manifest at a SIGHUP.
///
/// # Errors
/// Whatever keeps the host from starting.
pub async fn run(options: Options) -> anyhow::Result<()> {
    if let Some(path) = &options.config {
        config::check(path)?;
    }
    // Signals first: one that comes while the host starts ends it in order. Then the port, so that one in use is told
    // before anything is opened or compiled.
    // Asked before the signal is taken: whoever starts a host by nohup wants it to outlive the terminal.
    let follows_terminal = has_terminal() && !ignores_hangup();
    let (stop, hangup) = (stop_on_signal()?, signal(SignalKind::hangup())?);
    let listener = bind(options.listen).await?;
    let address = listener.local_addr()?;
    if options.build {
        build::build(&options.place.load().map_err(assemble::refused)?, None).await?;
    }
    let place = options.place.clone();
    let dialect = options.dialect;
    let assembling = tokio::task::spawn_blocking(move || assemble::assemble(&place, dialect));
    let host = Arc::new(assembling.await.context("assembling the host was cut short")??);
    let https = https::open(&host.manifest(), options.listen_tls).await?;
    host.parts().inside.listens(address);
    options.seeds.plant(host.parts()).await?;
    let told = host.start().await?;
    let api_keys = Arc::new(ArcSwapOption::new(edge::keyring(&host, &host.manifest(), None).await?));
    let edge = Arc::new(edge(&host, api_keys.load_full(), !options.no_rate_limits)?);

    let data = &options.place.data;
    let audit = AuditLog::open(data, host.parts().clock.clone());
    let audit = audit.with_context(|| format!("cannot open the audit log in {}", data.display()))?;
    let audit_of_canaries = audit.clone();
    let tls = https.as_ref().map(|https| https.tls.clone());
    let secure_address = https.as_ref().map(|https| https.listener.local_addr()).transpose()?;
    let listeners = match https {
        Some(https) => Listeners::from(listener).with_tls(https.listener, https.tls),
        None => listener.into(),
    };
    let serving = https::Serving::new(host.clone(), edge.clone(), options.listen_tls, tls, stop.clone())?;
    let parts = reload::Parts {
        host: host.clone(),
        edge: edge.clone(),
        api_keys: api_keys.clone(),
        dialect,
        rate_limited: !options.no_rate_limits,
    };
    let reloader = Reloader::start(parts, serving, stop.clone())?;
    let operations = Running {
        host: host.clone(),
        edge: edge.clone(),
        reloader: reloader.clone(),
        api_keys,
        sagas: host.parts().sagas.clone(),
        logs: host.parts().logs.clone(),
        audit,
        data: options.place.data.clone(),
        address: Some(address),
        since: Instant::now(),
    };
    // Whoever has read the address finds the socket.
    let control = tokio::spawn(server::serve(Arc::new(operations), data, stop.clone().cancelled_owned())?);
    tokio::spawn(canary::run(host.clone(), audit_of_canaries, stop.clone()));
    reload_on(hangup, follows_terminal, reloader.clone(), stop.clone());
    if options.watch {
        watch::start(reloader.clone(), stop.clone())?;
    }
    announce(&host.manifest(), address, secure_address, &told)?;
    serve(&edge, listeners, &stop).await;
    reloader.stop().await;
    // Told at the end: the host is closed whatever became of its socket.
    let controlled = control.await.context("the control socket's task");
    drop((edge, reloader));
    host.shutdown().await?;
    controlled?;
    tracing::info!("stopped");
    Ok(())
}

/// Serves until it is stopped, and lets requests in work finish. It is stopped in any case after it.
async fn serve(edge: &Edge, listeners: Listeners, stop: &CancellationToken) {
    let drained = edge.serve(listeners, stop.clone().cancelled_owned(), DRAIN).await;
    if drained.cut_off > 0 {
        tracing::warn!(connections = drained.cut_off, "cut off requests that did not finish in time");
    }
    stop.cancel();
}

fn edge(host: &Arc<Host>, api_keys: Option<Arc<Keyring>>, rate_limited: bool) -> anyhow::Result<Edge> {
    let (parts, manifest) = (host.parts(), host.manifest());
    let variables = keys::resolve(&manifest, &parts.place).map_err(assemble::refused)?;
    let deployment = edge::deployment(host, &manifest, &variables, api_keys, rate_limited, host.behind())?;
    let application =
        About { name: manifest.application.name.to_string(), version: manifest.application.version.to_string() };
    let push = Some(parts.push.clone());
    let answers = Some(parts.answers.clone());
    let data = &parts.place.data;
    let decisions = DecisionLog::open(data, parts.clock.clone());
    let decisions = Some(decisions.with_context(|| format!("cannot open the audit log in {}", data.display()))?);
    let settings = Settings { application, push, answers, decisions };
    let checks: Vec<Arc<dyn HealthCheck>> =
        vec![Arc::new(JournalHealth(parts.sagas.clone())), Arc::new(BrokerHealth(parts.broker.clone()))];
    let upstream = Upstream::new(parts.engine.clone(), parts.mesh.clone());
    Ok(Gateway::new(parts.clock.clone(), settings, deployment, checks, upstream))
}

/// Reloads the host whenever it is told to by SIGHUP, as daemons do. The same signal says that the terminal of the host was closed, which
/// ends it.
fn reload_on(mut hangup: Signal, follows_terminal: bool, reloader: Arc<Reloader>, stop: CancellationToken) {
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                () = stop.cancelled() => return,
            }
            if follows_terminal && !has_terminal() {
                return stop.cancel();
            }
            // It tells itself what became of it.
            drop(reloader.reload(Build::No).await);
        }
    });
}

/// Whether the process has a terminal that it is controlled by (tty(4)).
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Whether SIGHUP was ignored when the process began, as by nohup (proc(5), `SigIgn`).
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")?.trim().get(..));
    mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// Says where it is and what to try. The address comes first: scripts wait for it.
fn announce(
    manifest: &Manifest,
    address: SocketAddr,
    secure_address: Option<SocketAddr>,
    told: &[String],
) -> anyhow::Result<()> {
    output::line(&format!("{} listening on http://{address}", manifest.application.name))?;
    if let Some(address) = secure_address {
        output::line(&format!("{} listening on https://{address}", manifest.application.name))?;
    }
    for line in told {
        output::line(line)?;
    }
    let example = manifest.routes.iter().find(|route| {
        route.method == weft_core::manifest::Method::Get
            && route.access == weft_core::manifest::Access::Public
            && route.hosts.is_empty()
            && !route.pattern.to_string().contains([':', '*', '.'])
    });
    output::line("try:")?;
    let path = example.map_or_else(|| "/health".to_owned(), |route| route.pattern.to_string());
    output::line(&format!("  curl http://{address}{path}"))?;
    output::line(&format!("  curl http://{address}/health"))?;
    output::line("  weft routes")?;
    Ok(())
}

/// Cancelled by the first SIGINT or SIGTERM. A second one ends the process at once, as one expects of Ctrl-C.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        for stopped_before in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stopped_before {
                tracing::warn!("stopped by a second signal; what was acknowledged is safe");
                std::process::exit(1);
            }
            tracing::info!("stopping; requests in work may finish");
            stopping.cancel();
        }
    });
    Ok(stop)
}
