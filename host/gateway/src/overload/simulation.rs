//! A host in simulated time, for the tests: cores that are shared equally by the requests that compute, routes that compute or
//! wait, requests that come at random, and clients that go away after a while.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use weft_core::manifest::Priority;

use super::routes::RouteId;
use super::rules::Rules;
use super::state::{Decision, End, Kind, State};

/// What requests of a route do.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// How often they come, in a second.
    pub per_s: f64,
    /// What they compute, in milliseconds of a core: half of them a half of it, half of them one and a half.
    pub computes_ms: f64,
    /// How long they wait for something else, in milliseconds.
    pub waits_ms: f64,
    pub priority: Priority,
}

/// What has become of the requests of a route.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    pub came: u64,
    /// Answered within the patience of their clients.
    pub good: u64,
    pub refused: u64,
    /// Those whose clients went away.
    pub late: u64,
}

struct Job {
    number: u64,
    kind: Kind,
    route: usize,
    came: f64,
    began: f64,
    /// Of a core, in seconds.
    left: f64,
    /// When what it waits for is there.
    ready: f64,
}

struct Waiter {
    job: Job,
    until: f64,
    id: u64,
    /// How many of each priority had been let in when it began to wait.
    let_in: [u64; 4],
}

/// The host.
pub struct Simulation {
    pub state: State<u64>,
    pub now: f64,
    pub outcomes: Vec<Outcome>,
    routes: Vec<Route>,
    ids: Vec<RouteId>,
    cores: f64,
    patience: f64,
    next: Vec<f64>,
    running: Vec<Job>,
    waiting: BTreeMap<u64, Waiter>,
    numbers: u64,
    let_in: [u64; 4],
    random: u64,
}

impl Simulation {
    /// `patience` is that of the clients, in seconds.
    pub fn new(rules: Rules, cores: f64, patience: f64, routes: &[Route]) -> Self {
        let mut state = State::new(rules);
        let names: Vec<_> = (0..routes.len()).map(|number| number.to_string().into()).collect();
        let ids = state.routes.set(&names);
        let mut simulation = Self {
            state,
            now: 0.0,
            outcomes: vec![Outcome::default(); routes.len()],
            routes: routes.to_vec(),
            ids,
            cores,
            patience,
            next: vec![0.0; routes.len()],
            running: Vec::new(),
            waiting: BTreeMap::new(),
            numbers: 0,
            let_in: [0; 4],
            random: 0x9e37_79b9_7f4a_7c15,
        };
        for route in 0..routes.len() {
            simulation.plan(route);
        }
        simulation
    }

    /// From now on requests of a route are others.
    pub fn change(&mut self, route: usize, to: Route) {
        self.routes[route] = to;
        self.plan(route);
    }

    /// Goes on for so long, and counts anew.
    pub fn run(&mut self, seconds: f64) -> Vec<Outcome> {
        self.outcomes.iter_mut().for_each(|outcome| *outcome = Outcome::default());
        let end = self.now + seconds;
        while self.now < end {
            self.step(end);
        }
        self.outcomes.clone()
    }

    pub fn limit(&self) -> usize {
        self.state.report().limit
    }

    fn step(&mut self, end: f64) {
        let computing = self.running.iter().filter(|job| job.left > 0.0).count() as f64;
        let speed = (self.cores / computing.max(1.0)).min(1.0);
        let done = self.running.iter().map(|job| {
            let computed = if job.left > 0.0 { self.now + job.left / speed } else { job.ready };
            computed.min(job.came + self.patience)
        });
        let leaves = self.waiting.values().map(|waiter| waiter.until.min(waiter.job.came + self.patience));
        let times = done.chain(leaves).chain(self.next.iter().copied());
        let at = times.fold(end, f64::min).max(self.now);
        for job in &mut self.running {
            if job.left > 0.0 {
                job.left -= (at - self.now) * speed;
                // What is less than a nanosecond is an error of the arithmetic.
                if job.left < 1e-9 {
                    (job.left, job.ready) = (0.0, at + job.ready);
                }
            }
        }
        self.now = at;
        self.end_jobs();
        self.end_waits();
        for route in 0..self.routes.len() {
            if self.next[route] <= self.now {
                self.arrive(route);
                self.plan(route);
            }
        }
    }

    fn end_jobs(&mut self) {
        let (now, patience) = (self.now, self.patience);
        let is_over = |job: &Job| job.left <= 0.0 && job.ready <= now + 1e-9 || now >= job.came + patience - 1e-9;
        let ended: Vec<_> = self.running.extract_if(.., |job| is_over(job)).collect();
        for job in ended {
            let took = Duration::from_secs_f64(now - job.began);
            let is_late = now >= job.came + patience - 1e-9;
            let outcome = &mut self.outcomes[job.route];
            if is_late {
                outcome.late += 1;
            } else {
                outcome.good += 1;
            }
            let end = if is_late { End::GivenUp(took) } else { End::Answered(took) };
            self.state.learn(self.time(), job.kind.route, end);
            self.release(job.kind);
        }
    }

    fn end_waits(&mut self) {
        let is_over = |waiter: &Waiter| waiter.until.min(waiter.job.came + self.patience) <= self.now + 1e-9;
        let over: Vec<u64> =
            self.waiting.iter().filter(|(_, waiter)| is_over(waiter)).map(|(number, _)| *number).collect();
        for number in over {
            let Some(waiter) = self.waiting.remove(&number) else { continue };
            assert!(
                self.state.leave(self.time(), waiter.job.kind.priority, waiter.id),
                "whoever was told does not wait"
            );
            self.state.refused(waiter.job.kind.priority);
            self.refuse(waiter);
        }
    }

    /// What is critical is not refused while others are let in.
    fn refuse(&mut self, waiter: Waiter) {
        if waiter.job.kind.priority == Priority::Critical {
            assert_eq!(waiter.let_in[..3], self.let_in[..3], "at {}", self.now);
        }
        self.outcomes[waiter.job.route].refused += 1;
    }

    fn arrive(&mut self, route: usize) {
        let Route { computes_ms, waits_ms, priority, .. } = self.routes[route];
        let kind = Kind { route: self.ids[route], priority, holds: true };
        let computes_s = computes_ms / 1e3 * if self.random() < 0.5 { 0.5 } else { 1.5 };
        let number = self.numbers;
        self.numbers += 1;
        self.outcomes[route].came += 1;
        let ready = if computes_ms > 0.0 { waits_ms / 1e3 } else { self.now + waits_ms / 1e3 };
        let job = Job { number, kind, route, came: self.now, began: self.now, left: computes_s, ready };
        let mut told = VecDeque::new();
        let mut tell = |number, may_run| told.push_back((number, may_run));
        let decision = self.state.ask(self.time(), kind, || number, &mut tell);
        match decision {
            Decision::Run => {
                self.let_in[priority as usize] += 1;
                self.running.push(job);
            }
            Decision::Wait { id, patience } => {
                let until = self.now + patience.as_secs_f64();
                self.waiting.insert(job.number, Waiter { job, until, id, let_in: self.let_in });
            }
            Decision::Refuse => self.outcomes[route].refused += 1,
        }
        self.tell(told);
    }

    fn release(&mut self, kind: Kind) {
        let mut told = VecDeque::new();
        let mut tell = |number, may_run| told.push_back((number, may_run));
        self.state.release(self.time(), kind, &mut tell);
        self.tell(told);
    }

    fn tell(&mut self, told: VecDeque<(u64, bool)>) {
        for (number, may_run) in told {
            let Some(mut waiter) = self.waiting.remove(&number) else { panic!("{number} does not wait") };
            if !may_run {
                self.state.refused(waiter.job.kind.priority);
                self.outcomes[waiter.job.route].refused += 1;
                continue;
            }
            self.let_in[waiter.job.kind.priority as usize] += 1;
            waiter.job.began = self.now;
            if waiter.job.left <= 0.0 {
                waiter.job.ready += self.now - waiter.job.came;
            }
            self.running.push(waiter.job);
        }
    }

    /// Requests come independently of each other.
    fn plan(&mut self, route: usize) {
        let per_s = self.routes[route].per_s;
        let pause = if per_s > 0.0 { -(1.0 - self.random()).ln() / per_s } else { f64::INFINITY };
        self.next[route] = self.now + pause;
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.now)
    }

    /// From 0 to 1 (xorshift64*).
    fn random(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
