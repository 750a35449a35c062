//! The services that there are, their instances, the functions with their versions, and what changes: found by name, watched by an index that grows with every change.
//! Asking instances whether they are there, and keeping what was registered over a restart, is up to whoever has a network and a disk.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::{Either, select};
use tokio::sync::watch;

use weft_core::Clock;
use weft_core::manifest::service::{HealthCheck, MAX_INSTANCES};
use weft_core::outbound::is_private;

use crate::breaker::Verdict;
use crate::callee::Callee;
use crate::functions::{FunctionVersion, FunctionView, Functions};
use crate::policy::ServicePolicy;
use crate::pool::{Due, Instance, InstanceView, Pool, Token};

/// The services of one application, each with its instances.
#[derive(Debug)]
pub struct Registry {
    clock: Arc<dyn Clock>,
    services: ArcSwap<BTreeMap<Arc<str>, Arc<Service>>>,
    functions: Functions,
    /// Of the last change.
    index: watch::Sender<u64>,
}

#[derive(Debug)]
pub(crate) struct Service {
    pub policy: ServicePolicy,
    pub callee: Arc<Callee>,
    /// Shared with what was the service before its policy changed: requests that began then end there.
    pool: Arc<Mutex<Pool>>,
    /// The index of the last change of it.
    changed: AtomicU64,
}

/// What is looked for among the instances of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceFilter {
    /// Only those of this version.
    pub version: Option<String>,
    /// Only those with all of these tags.
    pub tags: Vec<String>,
    /// Only those that get requests.
    pub healthy: bool,
}

impl InstanceFilter {
    fn takes(&self, view: &InstanceView) -> bool {
        let instance = &view.instance;
        self.version.as_deref().is_none_or(|wanted| instance.version.as_deref() == Some(wanted))
            && self.tags.iter().all(|wanted| instance.tags.iter().any(|tag| **tag == **wanted))
            && (!self.healthy || view.is_healthy())
    }
}

/// A service as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceView {
    /// Its name.
    pub name: Arc<str>,
    /// Of its last change.
    pub index: u64,
    /// Its instances, those that the manifest declares first.
    pub instances: Vec<InstanceView>,
}

/// Why the registry does not do what it is told. Client fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// No service of that name.
    #[error("there is no service {0:?}: a service is declared in the manifest")]
    NoService(String),
    /// No instance of that id.
    #[error("service {0:?} has no instance {1:?}")]
    NoInstance(String, String),
    /// The manifest declares it.
    #[error("instance {1:?} of service {0:?} is declared in the manifest")]
    Declared(String, String),
    /// It answers as long as it is there.
    #[error("instance {1:?} of service {0:?} was registered without a time to live, and needs no renewal")]
    NoTtl(String, String),
    /// An address that only the manifest may name.
    #[error("{1} is a private address, and service {0:?} does not have `allow_private = true` in the manifest")]
    Private(String, String),
    /// As many as there may be.
    #[error("service {0:?} has {MAX_INSTANCES} instances already")]
    TooMany(String),
}

/// A check that is to be made.
#[derive(Clone, Debug)]
pub struct Check {
    service: Arc<Service>,
    token: Token,
    began: Duration,
    /// Who is asked.
    pub instance: Arc<Instance>,
}

impl Check {
    /// How it is asked.
    #[must_use]
    pub fn policy(&self) -> &HealthCheck {
        &self.service.policy.health
    }

    /// Its service.
    #[must_use]
    pub fn service(&self) -> &Arc<str> {
        self.service.name()
    }

    /// Whether its address may be private.
    #[must_use]
    pub fn may_be_private(&self) -> bool {
        self.service.may_be_private(&self.instance)
    }
}

impl Registry {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        // After a restart it is greater than before, so that nobody waits for changes that have been.
        let index = watch::Sender::new(clock.now_ms());
        Self { clock, services: ArcSwap::default(), functions: Functions::default(), index }
    }

    /// Replaces which services there are. One that was there keeps what was registered, and each instance what is known of it.
    pub(crate) fn configure(&self, services: Vec<(ServicePolicy, Arc<Callee>)>) {
        let (before, now) = (self.services.load_full(), self.clock.monotonic());
        let mut is_another = services.len() != before.len();
        let services = services.into_iter().map(|(policy, callee)| {
            let name = callee.policy.component.clone();
            let old = before.get(&name);
            let kept = old.filter(|old| old.policy == policy && Arc::ptr_eq(&old.callee, &callee));
            let service = kept.cloned().unwrap_or_else(|| {
                is_another = true;
                Arc::new(Service::of(policy, callee, old, now))
            });
            (name, service)
        });
        let services: BTreeMap<_, _> = services.collect();
        self.services.store(Arc::new(services.clone()));
        if is_another {
            for (name, service) in &services {
                if before.get(name).is_none_or(|old| !Arc::ptr_eq(old, service)) {
                    self.note_change(service);
                }
            }
            self.index.send_modify(|index| *index += 1);
        }
    }

    /// Makes these the application's functions, each with its versions, that of the manifest first.
    pub fn note_functions(&self, functions: BTreeMap<Arc<str>, Vec<FunctionVersion>>) {
        self.index.send_if_modified(|index| {
            let next = *index + 1;
            let is_another = self.functions.set(functions, next);
            if is_another {
                *index = next;
            }
            is_another
        });
    }

    /// The application's functions, by name.
    #[must_use]
    pub fn functions(&self) -> Vec<FunctionView> {
        self.functions.all()
    }

    /// One of them.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<FunctionView> {
        self.functions.find(name)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Service>> {
        self.services.load().get(name).cloned()
    }

    fn service(&self, name: &str) -> Result<Arc<Service>, RegistryError> {
        self.find(name).ok_or_else(|| RegistryError::NoService(name.to_owned()))
    }

    fn note_change(&self, service: &Service) {
        self.index.send_modify(|index| {
            *index += 1;
            service.changed.store(*index, Relaxed);
        });
    }

    /// The index of the last change of anything.
    #[must_use]
    pub fn index(&self) -> u64 {
        *self.index.borrow()
    }

    /// All services, by name.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceView> {
        let everything = InstanceFilter::default();
        self.services.load().values().map(|service| self.view(service, &everything)).collect()
    }

    /// One service, with those of its instances that fit.
    ///
    /// # Errors
    /// [`RegistryError::NoService`].
    pub fn discover(&self, name: &str, filter: &InstanceFilter) -> Result<ServiceView, RegistryError> {
        Ok(self.view(&*self.service(name)?, filter))
    }

    fn view(&self, service: &Service, filter: &InstanceFilter) -> ServiceView {
        let now = self.clock.monotonic();
        if service.pool().look(now) {
            self.note_change(service);
        }
        // The index first: what changes in between is told again.
        let index = service.changed.load(Relaxed);
        let mut instances = service.pool().views(now);
        instances.retain(|view| filter.takes(view));
        instances.sort_by_key(|view| !view.instance.declared);
        ServiceView { name: service.name().clone(), index, instances }
    }

    /// The index of the last change of a function or service.
    fn last_change(&self, name: &str) -> Result<u64, RegistryError> {
        match self.functions.find(name) {
            Some(function) => Ok(function.index),
            None => Ok(self.service(name)?.changed.load(Relaxed)),
        }
    }

    /// Resolves when something of the function or service (or of any, without a name) has changed since `index`, or `time` has passed.
    ///
    /// # Errors
    /// [`RegistryError::NoService`].
    pub async fn changed(&self, name: Option<&str>, index: u64, time: Duration) -> Result<(), RegistryError> {
        let mut changes = self.index.subscribe();
        let waiting = async {
            loop {
                changes.mark_unchanged();
                let now_at = match name {
                    // A deployment may have put another in its place, or none.
                    Some(name) => self.last_change(name)?,
                    None => *changes.borrow(),
                };
                if now_at > index || changes.changed().await.is_err() {
                    return Ok(());
                }
            }
        };
        match select(std::pin::pin!(waiting), self.clock.sleep(time)).await {
            Either::Left((changed, _)) => changed,
            Either::Right(_) => Ok(()),
        }
    }

    /// Whether an instance may be registered; what [`Self::register`] would say.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn may_register(&self, name: &str, instance: &Instance) -> Result<(), RegistryError> {
        let service = self.service(name)?;
        if !service.policy.allow_private && instance.address.ip().is_some_and(is_private) {
            return Err(RegistryError::Private(name.to_owned(), instance.address.to_string()));
        }
        let pool = service.pool();
        match pool.find(&instance.id) {
            Some(known) if known.declared => Err(RegistryError::Declared(name.to_owned(), instance.id.to_string())),
            None if pool.instances().count() >= MAX_INSTANCES => Err(RegistryError::TooMany(name.to_owned())),
            _ => Ok(()),
        }
    }

    /// Puts an instance in, in the place of a registered one of that id. One that is there as it is is only renewed.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn register(&self, name: &str, instance: Instance) -> Result<(), RegistryError> {
        self.may_register(name, &instance)?;
        let (service, now) = (self.service(name)?, self.clock.monotonic());
        let is_another = {
            let mut pool = service.pool();
            let is_known = pool.find(&instance.id).is_some_and(|known| **known == instance);
            if is_known {
                pool.renew(&instance.id, now).unwrap_or(false)
            } else {
                pool.put(instance, now);
                true
            }
        };
        if is_another {
            self.note_change(&service);
        }
        Ok(())
    }

    /// Takes a registered instance out. Requests that are under way end there.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn deregister(&self, name: &str, id: &str) -> Result<Arc<Instance>, RegistryError> {
        let service = self.service(name)?;
        let missing = || RegistryError::NoInstance(name.to_owned(), id.to_owned());
        let removed = {
            let mut pool = service.pool();
            if pool.find(id).ok_or_else(missing)?.declared {
                return Err(RegistryError::Declared(name.to_owned(), id.to_owned()));
            }
            pool.remove(id).ok_or_else(missing)?
        };
        self.note_change(&service);
        Ok(removed)
    }

    /// Says that a registered instance is there still.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn renew(&self, name: &str, id: &str) -> Result<(), RegistryError> {
        let (service, now) = (self.service(name)?, self.clock.monotonic());
        let renewed = {
            let mut pool = service.pool();
            if pool.find(id).is_none() {
                return Err(RegistryError::NoInstance(name.to_owned(), id.to_owned()));
            }
            pool.renew(id, now)
        };
        let is_another = renewed.ok_or_else(|| RegistryError::NoTtl(name.to_owned(), id.to_owned()))?;
        if is_another {
            self.note_change(&service);
        }
        Ok(())
    }

    /// What was registered, by service.
    #[must_use]
    pub fn registered(&self) -> Vec<(Arc<str>, Arc<Instance>)> {
        let services = self.services.load();
        let of = |service: &Arc<Service>| {
            let pool = service.pool();
            let instances = pool.instances().filter(|instance| !instance.declared).cloned();
            instances.map(|instance| (service.name().clone(), instance)).collect::<Vec<_>>()
        };
        services.values().flat_map(of).collect()
    }

    /// The checks that are to be made now. What each finds is to be told to [`Self::checked`].
    #[must_use]
    pub fn due(&self) -> Vec<Check> {
        let now = self.clock.monotonic();
        let services = self.services.load();
        let of = |service: &Arc<Service>| {
            let due = service.pool().due(now);
            let check = |Due { token, instance }| Check { service: service.clone(), token, began: now, instance };
            due.into_iter().map(check).collect::<Vec<_>>()
        };
        services.values().flat_map(of).collect()
    }

    /// Takes in what a check found.
    pub fn checked(&self, check: &Check, found: Result<(), String>) {
        let Check { service, token, began, .. } = check;
        let changed = service.pool().checked(*token, found, *began, self.clock.monotonic());
        if let Some(view) = changed {
            let (name, instance, health) = (service.name(), &view.instance.id, view.health.as_str());
            let problem = view.problem.unwrap_or_default();
            tracing::warn!(service = %name, %instance, health, problem, "an instance of a service changed its state");
            self.note_change(service);
        }
    }

    /// Looks which instances were not renewed, which are back, and which are given up. Answers whether any was taken out.
    pub fn sweep(&self) -> bool {
        let (services, now) = (self.services.load_full(), self.clock.monotonic());
        let mut any_gone = false;
        for service in services.values() {
            let (is_another, gone) = {
                let mut pool = service.pool();
                let is_back = pool.look(now);
                let (is_another, gone) = pool.sweep(now);
                (is_back || is_another, gone)
            };
            for instance in &gone {
                let (name, instance) = (service.name(), &instance.id);
                tracing::warn!(service = %name, %instance, "an instance is taken out, since it has been critical for long");
            }
            if is_another {
                self.note_change(service);
            }
            any_gone |= !gone.is_empty();
        }
        any_gone
    }

    /// How long there is nothing to be done, unless something changes.
    #[must_use]
    pub fn idle_for(&self) -> Option<Duration> {
        let (services, now) = (self.services.load(), self.clock.monotonic());
        let next = services.values().filter_map(|service| service.pool().next()).min();
        next.map(|next| next.saturating_sub(now))
    }

    /// Takes in what came of a request.
    pub(crate) fn record(&self, service: &Service, token: Token, verdict: Verdict, took: Duration) {
        let ejected = service.pool().record(token, verdict, took, self.clock.monotonic());
        if let Some((instance, time)) = ejected {
            let (name, instance, seconds) = (service.name(), &instance.id, time.as_secs());
            tracing::warn!(service = %name, %instance, seconds, "an instance of a service is left out for a while");
            self.note_change(service);
        }
    }

    /// Says where the next request goes.
    pub(crate) fn pick(&self, service: &Service, tried: &[Token], random: u64) -> Option<(Token, Arc<Instance>)> {
        let now = self.clock.monotonic();
        let (is_back, picked) = {
            let mut pool = service.pool();
            (pool.look(now), pool.pick(tried, random, now))
        };
        if is_back {
            self.note_change(service);
        }
        picked
    }
}

impl Service {
    fn of(policy: ServicePolicy, callee: Arc<Callee>, old: Option<&Arc<Self>>, now: Duration) -> Self {
        let instances = policy.instances.clone();
        let pool = match old {
            None => Arc::new(Mutex::new(Pool::new(policy.pool(), instances, now))),
            Some(old) => {
                old.pool().configure(policy.pool(), instances, now);
                old.pool.clone()
            }
        };
        Self { policy, callee, pool, changed: AtomicU64::new(0) }
    }

    pub fn name(&self) -> &Arc<str> {
        &self.callee.policy.component
    }

    pub fn may_be_private(&self, instance: &Instance) -> bool {
        instance.declared || self.policy.allow_private
    }

    /// What is behind this lock holds after each statement, so a panic leaves nothing half done.
    pub fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
