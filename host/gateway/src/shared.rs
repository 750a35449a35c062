//! What all requests of a gateway share.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore};
use weft_core::Clock;
use weft_core::manifest::{self, RateLimits};
use weft_core::shared_limits::SharedLimits;
use weft_telemetry::DecisionLog;

use crate::auth::Authenticator;
use crate::compressed;
use crate::health::HealthBoard;
use crate::idempotency::Idempotency;
use crate::limit::LimitSet;
use crate::listen::Secure;
use crate::overload::{Overload, Rules};
use crate::policy::Policy;
use crate::push::Push;
use crate::route::RouteTable;
use crate::settings::{About, Limits};

#[derive(Debug)]
pub(crate) struct Shared {
    pub clock: Arc<dyn Clock>,
    /// Read once per request and replaced whole.
    pub limits: ArcSwap<Limits>,
    /// Read once per request and replaced whole.
    pub policy: ArcSwap<Policy>,
    pub health: HealthBoard,
    /// Push, if there is any.
    pub push: Option<Push>,
    pub application: About,
    /// Read once per request and replaced whole.
    served: RwLock<Arc<Served>>,
    /// When it is asked for otherwise who calls.
    pub auth_changed: Notify,
    /// What its routes are limited by.
    rate_limits: RwLock<Arc<LimitSet>>,
    /// How many may run at a time.
    pub overload: Arc<Overload>,
    /// Who counts for several hosts together.
    pub shared_limits: Option<Arc<dyn SharedLimits>>,
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

/// The routes, and who may use them: they belong together, for a route that needs a token needs somebody to look at it.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub routes: RouteTable,
    pub auth: Option<Arc<Authenticator>>,
}

impl Shared {
    pub fn new(clock: Arc<dyn Clock>, settings: crate::settings::Settings, health: HealthBoard) -> Self {
        let rules = Rules::new(&settings.overload, settings.limits.in_flight);
        let idempotency = settings.answers.map(Idempotency::new);
        Self {
            overload: Arc::new(Overload::new(Arc::clone(&clock), rules)),
            clock,
            limits: ArcSwap::from_pointee(settings.limits),
            policy: ArcSwap::from_pointee(settings.policy),
            health,
            push: settings.push.map(Push::new),
            application: settings.application,
            served: RwLock::default(),
            auth_changed: Notify::new(),
            rate_limits: RwLock::new(Arc::new(LimitSet::new(&settings.rate_limits, &LimitSet::default()))),
            shared_limits: settings.shared_limits,
            idempotency,
            decisions: settings.decisions,
            in_flight: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            compressing: Arc::new(Semaphore::new(compressed::AT_ONCE)),
            secure: Mutex::default(),
            secure_changed: Notify::new(),
            https_port: AtomicU16::new(0),
        }
    }

    /// Who looks at tokens and API keys now.
    pub fn auth(&self) -> Option<Arc<Authenticator>> {
        self.served().auth.clone()
    }

    pub fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn rate_limits(&self) -> Arc<LimitSet> {
        Arc::clone(&self.rate_limits.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the definitions; the routes that are served keep those that they have.
    pub fn set_rate_limits(&self, definitions: &RateLimits) {
        let mut current = self.rate_limits.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(LimitSet::new(definitions, &current));
    }

    pub fn serve(&self, routes: RouteTable, auth: Option<Arc<Authenticator>>) {
        routes.limit(&self.rate_limits());
        routes.measure(&self.overload);
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Served { routes, auth });
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

    /// Replaces the bounds, and how many requests may run.
    pub fn set_limits(&self, limits: Limits, overload: &manifest::Overload) {
        self.overload.set_rules(Rules::new(overload, limits.in_flight));
        self.limits.store(Arc::new(limits));
    }
}
