//! The gateway: what it is made of, how what it serves is replaced, and how it serves and drains.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::future::{Either, select};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use weft_core::Clock;

use crate::auth::KeySet;
use crate::deployment::Deployment;
use crate::door::Door;
use crate::health::{HealthBoard, HealthCheck};
use crate::limit::LimitReport;
use crate::listen::Listeners;
use crate::overload::OverloadReport;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::stack::Upstream;
use crate::tls::Tls;

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had to be cut off with a request in work, because the time was up.
    pub cut_off: usize,
}

/// The HTTP edge over an upstream.
#[derive(Debug)]
pub struct Gateway<S> {
    shared: Arc<Shared>,
    upstream: S,
}

impl<S: Upstream> Gateway<S> {
    /// A gateway that is not listening yet.
    pub fn new(
        clock: Arc<dyn Clock>,
        settings: Settings,
        deployment: Deployment,
        checks: Vec<Arc<dyn HealthCheck>>,
        upstream: S,
    ) -> Self {
        Self { shared: Arc::new(Shared::new(clock, settings, deployment, HealthBoard::new(checks))), upstream }
    }

    /// Serves something else from now on: each request that comes sees all of it. Those in work go on as they began, and connections
    /// that are open keep their timeouts and whom they trust. Nobody is cut off if there are more than there may be now. Tokens that
    /// were verified before are verified anew.
    pub fn deploy(&self, deployment: Deployment) {
        self.shared.deploy(deployment);
    }

    /// Replaces the keys that tokens are signed by, as after a change of their files; those that are fetched stay, and all else does. Tokens
    /// that were verified before are verified anew. Says whether the keys are others than before; if they are not, nothing changes.
    pub fn set_keys(&self, keys: &KeySet) -> bool {
        self.shared.auth().is_some_and(|auth| auth.set_keys(keys))
    }

    /// How all rate limits stand, with so many of the callers that have used most of each.
    #[must_use]
    pub fn rate_limits(&self, callers: usize) -> Vec<LimitReport> {
        let now_ns = u64::try_from(self.shared.clock.monotonic().as_nanos()).unwrap_or(u64::MAX);
        self.shared.rate_limits().report(callers, now_ns)
    }

    /// How the adaptive limit on requests that run stands.
    #[must_use]
    pub fn overload(&self) -> OverloadReport {
        self.shared.overload.report()
    }

    /// Never ends.
    async fn keep_keys_fresh(&self) {
        loop {
            // Before it is looked who is asked now, so that no change goes unseen.
            let changed = self.shared.auth_changed.notified();
            let auth = self.shared.served().auth.clone();
            let keep = async {
                match &auth {
                    Some(auth) => auth.keep_keys_fresh(&*self.shared.clock).await,
                    None => std::future::pending().await,
                }
            };
            select(std::pin::pin!(keep), std::pin::pin!(changed)).await;
        }
    }

    /// Requests in work now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Relaxed)
    }

    /// Whether it has stopped taking connections; `/readyz` then answers 503.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Relaxed)
    }

    /// Listens for HTTPS on this socket from now on, or not at all. Connections that are open, and those that have reached the
    /// socket before, are served.
    pub fn listen_tls(&self, secure: Option<(TcpListener, Arc<Tls>)>) {
        self.shared.set_secure(secure);
    }

    /// Serves until `shutdown` resolves; then takes no more connections, lets requests in work finish for up to
    /// `drain_timeout`, and cuts off the rest.
    pub async fn serve(
        &self,
        listeners: impl Into<Listeners>,
        shutdown: impl Future<Output = ()>,
        drain_timeout: Duration,
    ) -> Drained {
        let (drain, draining) = watch::channel(());
        let connections = TaskTracker::new();
        let door = Door::new(&self.shared, &self.upstream, &connections, draining);
        tokio::select! {
            () = door.accept_all(listeners.into()) => {}
            () = self.keep_keys_fresh() => {}
            () = shutdown => {}
        }
        // The listeners are closed by now, for they went with the accepting half.
        self.shared.draining.store(true, Relaxed);
        // Their answers have no end by themselves.
        if let Some(push) = &self.shared.push {
            push.hub.close();
        }
        // Nobody listening means that no connection is open.
        let _ = drain.send(());
        connections.close();
        let keyed = self.shared.idempotency.as_ref().map(|idempotency| &idempotency.in_work);
        // Requests under a key go on without their clients, so that their answers are kept.
        let ended = async {
            connections.wait().await;
            if let Some(in_work) = keyed {
                in_work.close();
                in_work.wait().await;
            }
        };
        let patience = self.shared.clock.sleep(drain_timeout);
        let cut_off = match select(std::pin::pin!(ended), patience).await {
            Either::Left(_) => 0,
            Either::Right(_) => connections.len(),
        };
        // Whoever still serves sees this and stops.
        drop(drain);
        connections.wait().await;
        Drained { cut_off }
    }
}
