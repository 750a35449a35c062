//! What all requests of a gateway share.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore};
use weft_core::Clock;
use weft_telemetry::DecisionLog;

use crate::auth::Authenticator;
use crate::compressed;
use crate::deployment::{Deployment, Served};
use crate::health::HealthBoard;
use crate::idempotency::Idempotency;
use crate::limit::LimitSet;
use crate::listen::Secure;
use crate::overload::{Overload, Rules};
use crate::push::Push;
use crate::settings::About;

#[derive(Debug)]
pub(crate) struct Shared {
    pub clock: Arc<dyn Clock>,
    pub health: HealthBoard,
    /// Push, if there is any.
    pub push: Option<Push>,
    pub application: About,
    /// Read once per request and replaced whole.
    served: ArcSwap<Served>,
    /// Held while it is replaced.
    changing: Mutex<()>,
    /// When it is asked for otherwise who calls.
    pub auth_changed: Notify,
    /// What its routes are limited by.
    rate_limits: ArcSwap<LimitSet>,
    /// How many may run at a time.
    pub overload: Arc<Overload>,
    /// Requests that are done under a key.
    pub idempotency: Option<Idempotency>,
    /// Where it is kept who was refused.
    pub decisions: Option<DecisionLog>,
    /// Requests in work.
    pub in_flight: AtomicUsize,
    /// Set once the gateway takes no more connections.
    pub draining: AtomicBool,
    /// Places for answers that are being compressed.
    pub compressing: Arc<Semaphore>,
    /// Where HTTPS is to be listened for from now on, until that is done.
    secure: Mutex<Option<Secure>>,
    pub secure_changed: Notify,
    /// Where HTTPS is listened for; 0 as long as it is not.
    pub https_port: AtomicU16,
}

impl Shared {
    pub fn new(
        clock: Arc<dyn Clock>,
        settings: crate::settings::Settings,
        deployment: Deployment,
        health: HealthBoard,
    ) -> Self {
        let rules = Rules::new(&deployment.overload, deployment.limits.in_flight);
        let idempotency = settings.answers.map(Idempotency::new);
        let shared = Self {
            overload: Arc::new(Overload::new(Arc::clone(&clock), rules)),
            clock,
            health,
            push: settings.push.map(Push::new),
            application: settings.application,
            served: ArcSwap::default(),
            changing: Mutex::default(),
            auth_changed: Notify::new(),
            rate_limits: ArcSwap::default(),
            idempotency,
            decisions: settings.decisions,
            in_flight: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            compressing: Arc::new(Semaphore::new(compressed::AT_ONCE)),
            secure: Mutex::default(),
            secure_changed: Notify::new(),
            https_port: AtomicU16::new(0),
        };
        shared.deploy(deployment);
        shared
    }

    /// Who looks at tokens and API keys now.
    pub fn auth(&self) -> Option<Arc<Authenticator>> {
        self.served().auth.clone()
    }

    pub fn served(&self) -> Arc<Served> {
        self.served.load_full()
    }

    pub fn rate_limits(&self) -> Arc<LimitSet> {
        self.rate_limits.load_full()
    }

    /// Serves something else from now on.
    pub fn deploy(&self, deployment: Deployment) {
        let Deployment { routes, auth, limits, policy, rate_limits, shared_limits, overload, generation } = deployment;
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let rate_limits = Arc::new(LimitSet::new(&rate_limits, &self.rate_limits.load()));
        routes.limit(&rate_limits);
        routes.measure(&self.overload);
        self.overload.set_rules(Rules::new(&overload, limits.in_flight));
        let before = self.auth();
        let auth = auth.map(|auth| Arc::new(Authenticator::new(auth, before.as_deref())));
        let (policy, limits) = (policy.into(), limits.into());
        let served = Served { routes, auth, policy, limits, shared_limits, generation };
        self.served.store(Arc::new(served));
        // What reports show, and what the next ones go on from.
        self.rate_limits.store(rate_limits);
        self.auth_changed.notify_waiters();
    }

    /// Where HTTPS is to be listened for from now on, if that has changed.
    pub fn next_secure(&self) -> Option<Secure> {
        self.secure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn set_secure(&self, secure: Secure) {
        *self.secure.lock().unwrap_or_else(PoisonError::into_inner) = Some(secure);
        // One note is kept if nobody waits for it now.
        self.secure_changed.notify_one();
    }
}
