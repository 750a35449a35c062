//! The instances of one service: which of them the next request goes to, what became of those before, which are left out. Pure: whoever
//! asks says what time it is and throws the dice.
//!
//! A request goes to an instance that is not critical, not left out and has not been tried for it yet; to one that was tried if there
//! is no other. If no instance is fit, all of them are taken: when everything looks dead, it is more likely that the checks are wrong, and a
//! service that is left alone is what the breaker is for.

use std::sync::Arc;
use std::time::Duration;

use weft_core::manifest::service::{Ejection, HealthCheck, LoadBalance};
use weft_core::outbound::EndpointAddress;

use crate::balance::{self, Load};
use crate::breaker::Verdict;
use crate::health::{Health, HealthState};
use crate::outlier::{self, Outlier};

/// One instance of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// What it is called among the instances of its service.
    pub id: Arc<str>,
    /// Where it is.
    pub address: EndpointAddress,
    /// How much it gets beside others; at least 1.
    pub weight: u32,
    /// Which version of the service it runs.
    pub version: Option<Arc<str>>,
    /// What else it is known by.
    pub tags: Vec<Arc<str>>,
    /// How long it is taken to be there without being renewed; as long as it answers without it.
    pub ttl: Option<Duration>,
    /// Whether the manifest declares it; else it was registered while the host ran.
    pub declared: bool,
}

/// Of one instance, for operators and whoever looks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceView {
    /// The instance.
    pub instance: Arc<Instance>,
    /// What the checks say.
    pub health: HealthState,
    /// For how long they have said so.
    pub health_for: Duration,
    /// What was wrong.
    pub problem: Option<String>,
    /// How long it gets no requests since it failed again and again; nothing if it does.
    pub ejected_for: Option<Duration>,
    /// How often that was, of late.
    pub ejections: u32,
    /// Requests under way.
    pub active: u32,
    /// The moving average of its times.
    pub average: Option<Duration>,
    /// Requests that were sent there, since it is there.
    pub requests: u64,
    /// Those that failed.
    pub failures: u64,
}

impl InstanceView {
    /// Whether it gets requests while others do.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.health != HealthState::Critical && self.ejected_for.is_none()
    }
}

/// What a pool goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoolPolicy {
    pub load_balance: LoadBalance,
    pub health: HealthCheck,
    pub ejection: Ejection,
}

/// Names a member as long as the process lives.
pub(crate) type Token = u64;

#[derive(Debug)]
struct Member {
    token: Token,
    instance: Arc<Instance>,
    health: Health,
    outlier: Outlier,
    load: Load,
    requests: u64,
    failures: u64,
}

/// A check that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub token: Token,
    pub instance: Arc<Instance>,
}

#[derive(Debug)]
pub(crate) struct Pool {
    policy: PoolPolicy,
    members: Vec<Member>,
    next_token: Token,
    /// When it is next looked whose time out is over.
    next_look: Duration,
}

impl Pool {
    pub fn new(policy: PoolPolicy, instances: Vec<Instance>, now: Duration) -> Self {
        let mut pool = Self { policy, members: Vec::new(), next_token: 0, next_look: now };
        for instance in instances {
            pool.put(instance, now);
        }
        pool
    }

    /// Makes the policy another one and the declared instances these. What is registered stays, and an instance that is as it was keeps
    /// all that is known of it.
    pub fn configure(&mut self, policy: PoolPolicy, declared: Vec<Instance>, now: Duration) {
        self.members.retain(|member| !member.instance.declared || declared.contains(&member.instance));
        let is_asked_otherwise = self.policy.health != policy.health;
        self.policy = policy;
        if is_asked_otherwise {
            for member in &mut self.members {
                member.health = Health::new(&self.policy.health, member.instance.ttl, now);
            }
        }
        for instance in declared {
            if !self.members.iter().any(|member| *member.instance == instance) {
                self.put(instance, now);
            }
        }
    }

    /// Puts an instance in, in the place of one that is called so.
    pub fn put(&mut self, instance: Instance, now: Duration) {
        self.remove(&instance.id);
        let health = Health::new(&self.policy.health, instance.ttl, now);
        let load = Load::new(instance.weight);
        let (token, instance) = (self.next_token, Arc::new(instance));
        self.next_token += 1;
        let outlier = Outlier::default();
        self.members.push(Member { token, instance, health, outlier, load, requests: 0, failures: 0 });
    }

    pub fn remove(&mut self, id: &str) -> Option<Arc<Instance>> {
        let place = self.members.iter().position(|member| *member.instance.id == *id)?;
        Some(self.members.remove(place).instance)
    }

    pub fn find(&self, id: &str) -> Option<&Arc<Instance>> {
        self.members.iter().map(|member| &member.instance).find(|instance| *instance.id == *id)
    }

    pub fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.members.iter().map(|member| &member.instance)
    }

    fn member(&mut self, token: Token) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.token == token)
    }

    /// Says where the next request goes, which is under way from then on; nowhere if there is no instance at all. `random` is any 64
    /// bits.
    pub fn pick(&mut self, tried: &[Token], random: u64, now: Duration) -> Option<(Token, Arc<Instance>)> {
        let all_are_unfit = !self.members.iter().any(is_fit);
        let is_new = |member: &Member| !tried.contains(&member.token);
        let in_the_running = |member: &Member| all_are_unfit || is_fit(member);
        let only_new = self.members.iter().any(|member| in_the_running(member) && is_new(member));
        let may_be = |member: &Member| in_the_running(member) && (!only_new || is_new(member));
        let mut candidates: Vec<&mut Member> = self.members.iter_mut().filter(|member| may_be(member)).collect();
        let mut loads: Vec<&mut Load> = candidates.iter_mut().map(|member| &mut member.load).collect();
        let place = balance::choose(self.policy.load_balance, &mut loads, random, now)?;
        let member = candidates.into_iter().nth(place)?;
        member.load.active = member.load.active.saturating_add(1);
        member.requests += 1;
        Some((member.token, member.instance.clone()))
    }

    /// Whether there is a fit instance that has not been tried.
    pub fn has_other(&self, tried: &[Token]) -> bool {
        self.members.iter().any(|member| is_fit(member) && !tried.contains(&member.token))
    }

    /// Takes in what came of a request that took `took`. Answers its instance, and for how long that is left out by it.
    pub fn record(
        &mut self,
        token: Token,
        verdict: Verdict,
        took: Duration,
        now: Duration,
    ) -> Option<(Arc<Instance>, Duration)> {
        let (all, ejected) = (self.members.len(), self.ejected());
        let policy = self.policy.ejection;
        let member = self.member(token)?;
        if verdict != Verdict::Nothing {
            member.load.record(took, verdict == Verdict::Failure, now);
        }
        if verdict == Verdict::Failure {
            member.failures += 1;
        }
        let is_too_much = member.outlier.record(verdict, &policy);
        let is_ejected = is_too_much && outlier::may_eject(ejected, all, &policy);
        is_ejected.then(|| (member.instance.clone(), member.outlier.eject(&policy, now)))
    }

    fn ejected(&self) -> usize {
        self.members.iter().filter(|member| member.outlier.is_ejected()).count()
    }

    /// A request is no longer under way.
    pub fn end(&mut self, token: Token) {
        if let Some(member) = self.member(token) {
            member.load.active = member.load.active.saturating_sub(1);
        }
    }

    /// Looks whose time out is over, if it is time to. Answers whether anyone's is.
    pub fn look(&mut self, now: Duration) -> bool {
        if now < self.next_look {
            return false;
        }
        self.next_look = now + Duration::from_millis(self.policy.ejection.interval_ms.into());
        self.members.iter_mut().filter_map(|member| member.outlier.check(now).then_some(())).count() > 0
    }

    /// The checks that are to be made now; they are under way from then on.
    pub fn due(&mut self, now: Duration) -> Vec<Due> {
        let due = self.members.iter_mut().filter_map(|member| {
            let is_due = member.health.begin(now);
            is_due.then(|| Due { token: member.token, instance: member.instance.clone() })
        });
        due.collect()
    }

    /// Takes in what a check found. Answers the instance if its state is another.
    pub fn checked(
        &mut self,
        token: Token,
        found: Result<(), String>,
        began: Duration,
        now: Duration,
    ) -> Option<InstanceView> {
        let policy = self.policy.health.clone();
        let member = self.member(token)?;
        let is_another = member.health.checked(found, &policy, began, now);
        is_another.then(|| member.view(now))
    }

    /// Renews a registered instance. Answers whether its state is another; nothing if there is none, or it needs no renewal.
    pub fn renew(&mut self, id: &str, now: Duration) -> Option<bool> {
        let member = self.members.iter_mut().find(|member| *member.instance.id == *id)?;
        let ttl = member.instance.ttl?;
        Some(member.health.renew(ttl, now))
    }

    /// Looks who was not renewed and who is to be given up, and removes those. Answers whether anyone's state is another, and who is
    /// gone.
    pub fn sweep(&mut self, now: Duration) -> (bool, Vec<Arc<Instance>>) {
        let is_another = self.members.iter_mut().filter_map(|member| member.health.look(now).then_some(())).count() > 0;
        let (mut gone, health) = (Vec::new(), &self.policy.health);
        self.members.retain(|member| {
            let is_lost = !member.instance.declared && member.health.is_lost(health, now);
            if is_lost {
                gone.push(member.instance.clone());
            }
            !is_lost
        });
        (is_another || !gone.is_empty(), gone)
    }

    /// When there is something to be done again.
    pub fn next(&self) -> Option<Duration> {
        let ejected = (self.ejected() > 0).then_some(self.next_look);
        let of = |member: &Member| member.health.next(&self.policy.health, !member.instance.declared);
        self.members.iter().filter_map(of).chain(ejected).min()
    }

    pub fn views(&self, now: Duration) -> Vec<InstanceView> {
        self.members.iter().map(|member| member.view(now)).collect()
    }
}

fn is_fit(member: &Member) -> bool {
    !member.health.is_critical() && !member.outlier.is_ejected()
}

impl Member {
    fn view(&self, now: Duration) -> InstanceView {
        InstanceView {
            instance: self.instance.clone(),
            health: self.health.state(),
            health_for: now.saturating_sub(self.health.since()),
            problem: self.health.problem().map(str::to_owned),
            ejected_for: self.outlier.left(now),
            ejections: self.outlier.ejections(),
            active: self.load.active,
            average: self.load.average(now),
            requests: self.requests,
            failures: self.failures,
        }
    }
}

#[cfg(test)]
mod tests;
