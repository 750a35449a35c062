//! Who runs, who waits and who is refused. Pure: whoever asks says what time it is, and tells those that wait.

use std::sync::Arc;
use std::time::Duration;

use weft_core::manifest::{Priority, Route};

use super::limit::{Limit, MOST};
use super::queue::{Queue, Waiter};
use super::report::{OverloadClass, OverloadReport, OverloadRoute};
use super::routes::{RouteId, Routes};
use super::rules::{Rules, share};

/// A request, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub route: RouteId,
    pub priority: Priority,
    /// Whether it counts among those that run. One that waits long on purpose does not.
    pub holds: bool,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It runs.
    Run,
    /// It waits under this number, for so long.
    Wait {
        id: u64,
        patience: Duration,
    },
    Refuse,
}

/// How a request that ran has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was answered after so long.
    Answered(Duration),
    /// It was given up after so long; it would have taken longer.
    GivenUp(Duration),
    /// In a way that says nothing of how busy the host is.
    Untold,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    running: usize,
    admitted: u64,
    waited: u64,
    refused: u64,
}

/// All of it; `W` is whom to tell when a wait is over.
#[derive(Debug)]
pub(super) struct State<W> {
    pub rules: Rules,
    limit: Limit,
    pub routes: Routes,
    queue: Queue<W>,
    running: usize,
    /// Routes that have been asked for of late.
    active_routes: usize,
    counts: [Counts; Priority::ALL.len()],
}

impl<W> State<W> {
    pub fn new(rules: Rules) -> Self {
        let limit = Limit::new(&rules);
        let (routes, queue) = (Routes::default(), Queue::default());
        Self { rules, limit, routes, queue, running: 0, active_routes: 0, counts: Default::default() }
    }

    /// Keeps to these rules from now on.
    pub fn set_rules(&mut self, rules: Rules) {
        self.limit.bound(&rules);
        self.rules = rules;
    }

    /// What becomes of a request that has come. `tell` hears of another that has to give way.
    pub fn ask(
        &mut self,
        now: Duration,
        kind: Kind,
        wake: impl FnOnce() -> W,
        tell: &mut impl FnMut(W, bool),
    ) -> Decision {
        let Kind { route, priority, holds } = kind;
        // Those that may run have been let in already, unless the limit has risen since.
        self.call_in(now, tell);
        if !self.rules.enabled || self.may_run(route, priority) {
            self.begin(kind);
            return Decision::Run;
        }
        let active = self.routes.active(now, Some(route).filter(|_| holds));
        if active != self.active_routes {
            // One that is new among the routes leaves the others less; one that is idle leaves them more, and who waits is first.
            self.active_routes = active;
            self.call_in(now, tell);
        }
        if self.may_run(route, priority) {
            self.begin(kind);
            return Decision::Run;
        }
        let patience = self.queue.patience(now, self.rules.patience);
        if patience.is_zero() || self.rules.max_waiting == 0 {
            self.count(priority).refused += 1;
            return Decision::Refuse;
        }
        if self.queue.len() >= self.rules.max_waiting {
            let Some(evicted) = self.queue.evict(priority) else {
                self.count(priority).refused += 1;
                return Decision::Refuse;
            };
            tell(evicted.wake, false);
        }
        self.count(priority).waited += 1;
        let id = self.queue.push(now, priority, (route, holds), wake());
        Decision::Wait { id, patience }
    }

    /// Takes one out that has waited in vain; answers whether it still waited.
    pub fn leave(&mut self, now: Duration, priority: Priority, id: u64) -> bool {
        self.queue.remove(now, self.rules.patience, priority, id)
    }

    /// Notes that one was refused, which it is told elsewhere.
    pub fn refused(&mut self, priority: Priority) {
        self.count(priority).refused += 1;
    }

    /// A place is free; whoever it goes to is told.
    pub fn release(&mut self, now: Duration, kind: Kind, tell: &mut impl FnMut(W, bool)) {
        if kind.holds {
            self.running = self.running.saturating_sub(1);
            let counts = self.count(kind.priority);
            counts.running = counts.running.saturating_sub(1);
            if let Some(measured) = self.routes.get_mut(kind.route) {
                measured.end(kind.priority);
            }
        }
        self.call_in(now, tell);
    }

    /// A request that gave its place away for a while takes one again, whether there is room or not.
    pub fn take(&mut self, kind: Kind) {
        if kind.holds {
            self.running += 1;
            self.count(kind.priority).running += 1;
            if let Some(measured) = self.routes.get_mut(kind.route) {
                measured.begin(kind.priority);
            }
            self.limit.runs(self.running);
        }
    }

    /// Learns from how a request ended.
    pub fn learn(&mut self, now: Duration, route: RouteId, end: End) {
        let (End::Answered(took) | End::GivenUp(took)) = end else { return };
        let began = now.saturating_sub(took);
        let counts = self.limit.counts(began);
        if let Some(measured) = self.routes.get_mut(route).filter(|_| counts) {
            if self.limit.begun_since(began) {
                measured.note_since(took);
            }
            match end {
                End::Answered(took) => self.limit.sample(measured.sample(took, &self.rules)),
                End::GivenUp(after) => {
                    match measured.ratio(after, &self.rules) {
                        Some(ratio) if ratio > 1.0 => self.limit.sample(measured.sample(after, &self.rules)),
                        // It might have been answered in time.
                        Some(_) => {}
                        // Whatever it takes, it is too long.
                        None => self.limit.sample(MOST),
                    }
                }
                End::Untold => {}
            }
        }
        let probes = self.limit.is_clearing();
        if let Some(lesson) = self.limit.ended(now, self.running, &self.rules) {
            let is_news = self.routes.learn(lesson, self.limit.totals(), now);
            self.active_routes = self.routes.active(now, None);
            if self.limit.is_judged(now, &self.rules) {
                let in_vain = self.routes.judge();
                self.limit.judged(in_vain);
            }
            self.limit.next(now, self.running, (lesson, is_news), &self.rules);
            if !self.limit.falls() {
                self.routes.rise();
            }
        } else if probes && !self.limit.is_clearing() {
            // What ran before the limit was lowered says nothing of what it takes under the lower one.
            self.routes.forget();
        }
    }

    /// How it stands.
    pub fn report(&self) -> OverloadReport {
        let ms = |seconds: f64| (seconds * 1e5).round() / 100.0;
        let classes =
            Priority::ALL.iter().rev().zip(self.counts.iter().rev()).map(|(priority, counts)| OverloadClass {
                priority: priority.as_str().to_owned(),
                most: share(self.limit.value(), *priority) as usize,
                running: counts.running,
                admitted: counts.admitted,
                waited: counts.waited,
                refused: counts.refused,
            });
        let mut routes: Vec<_> = self
            .routes
            .known()
            .map(|(name, measured)| OverloadRoute {
                route: name.to_string(),
                usual_ms: ms(measured.usual_s.unwrap_or_default()),
                running: measured.running(),
                slow: measured.is_slow,
            })
            .collect();
        routes.sort_by(|one, other| one.route.cmp(&other.route));
        OverloadReport {
            enabled: self.rules.enabled,
            limit: self.limit.value() as usize,
            min: self.rules.min as usize,
            max: self.rules.max as usize,
            running: self.running,
            waiting: self.queue.len(),
            ratio_percent: (self.limit.ratio * 100.0).round() as u32,
            classes: classes.collect(),
            routes,
        }
    }

    fn may_run(&self, route: RouteId, priority: Priority) -> bool {
        self.routes.may_run(route, priority, self.most_of(priority)) && self.has_room(priority)
    }

    /// What a route has beyond its half, since it was alone or the limit higher when that began, is not held against the
    /// others: they have the rest of the limit all the same.
    fn has_room(&self, priority: Priority) -> bool {
        let (running, most) = (self.running, share(self.limit.value(), priority));
        let beyond = || self.routes.beyond(whole(self.half_of(most)), priority);
        running < whole(most) || running.saturating_sub(beyond()) < whole(most)
    }

    /// Where there are several routes, none may have more than half of what its priority may have, so that one that waits for
    /// something slow leaves room to the others. What is critical may have all.
    fn most_of(&self, priority: Priority) -> usize {
        let most = share(self.limit.value(), priority);
        whole(if priority == Priority::Critical { most } else { self.half_of(most) })
    }

    /// All of it, if there is one route alone.
    fn half_of(&self, most: f64) -> f64 {
        if self.active_routes < 2 { most } else { (most / 2.0).max(1.0) }
    }

    fn begin(&mut self, kind: Kind) {
        self.count(kind.priority).admitted += 1;
        self.take(kind);
    }

    /// Lets in whoever waits and may run now.
    fn call_in(&mut self, now: Duration, tell: &mut impl FnMut(W, bool)) {
        for priority in Priority::ALL.into_iter().rev() {
            while self.queue.has(priority) && self.has_room(priority) {
                let most = self.most_of(priority);
                let may = |route| self.routes.may_run(route, priority, most);
                let Some(waiter) = self.queue.pop(now, priority, self.rules.patience, may) else { break };
                let Waiter { route, holds, wake, .. } = waiter;
                self.begin(Kind { route, priority, holds });
                tell(wake, true);
            }
        }
    }

    fn count(&mut self, priority: Priority) -> &mut Counts {
        let [low, normal, high, critical] = &mut self.counts;
        match priority {
            Priority::Low => low,
            Priority::Normal => normal,
            Priority::High => high,
            Priority::Critical => critical,
        }
    }
}

/// Requests are whole: one more may begin while fewer run than this.
fn whole(most: f64) -> usize {
    most.ceil() as usize
}

/// The name of a route, by which it is told apart over manifests.
pub(super) fn route_name(route: &Route) -> Arc<str> {
    let hosts: Vec<String> = route.hosts.iter().map(ToString::to_string).collect();
    let on = if hosts.is_empty() { String::new() } else { format!(" on {}", hosts.join(", ")) };
    format!("{} {}{on}", route.method, route.pattern).into()
}
