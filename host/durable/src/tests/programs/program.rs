//! Saga programs by chance: what their code does, what their callees do, and what happens to them from outside. A seed
//! makes a whole scenario, always the same.

use crate::{LimitUse, RetryPolicy, StepOptions};

pub(super) const MAX_ATTEMPTS: u32 = 3;
/// At most one attempt at a time.
pub(super) const ONE_AT_A_TIME: &str = "one-at-a-time";
/// At most two attempts begin in ten seconds.
pub(super) const TWO_IN_TEN_SECONDS: &str = "two-in-ten-seconds";

/// What one attempt comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comes {
    Success,
    Error,
    /// The callee was not reached.
    NotRun {
        retry_after_ms: Option<u32>,
    },
    /// The callee's answer is lost.
    Lost {
        ran: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub takes_ms: u64,
    pub comes: Comes,
}

#[derive(Clone, Debug)]
pub(super) struct Step {
    pub name: String,
    /// By the number of the attempt; the last holds for all after it.
    pub attempts: Vec<Attempt>,
    /// The same for an attempt that is run again.
    pub again: Vec<Attempt>,
    pub undo: Option<Vec<Attempt>>,
    pub limit: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Step(Step),
    Sleep {
        name: String,
        ms: u64,
    },
    Signal {
        name: String,
        timeout_ms: Option<u64>,
    },
    /// A step begins the saga, and then its end is waited for.
    Child {
        name: String,
        program: usize,
    },
    /// Ends when all have ended.
    Join(Vec<Vec<Op>>),
    /// Ends when all have ended, or with the first error.
    TryJoin(Vec<Vec<Op>>),
    /// Ends with the first that ends; what the others did is compensated at once.
    Race {
        number: u32,
        branches: Vec<Vec<Op>>,
    },
    /// So many at a time.
    Fan {
        steps: Vec<Step>,
        width: usize,
    },
    Expose(u8),
    Attribute(u8),
}

#[derive(Clone, Debug)]
pub(super) struct Program {
    /// Of each generation.
    pub generations: Vec<Vec<Op>>,
    pub deadline_ms: Option<u64>,
    /// The code itself ends with an error.
    pub fails: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// `id`: none, or the number of the signal. `twice`: sent again once it was taken note of.
    Signal {
        name: u32,
        with_id: bool,
        twice: bool,
    },
    Cancel,
    Pause,
    Resume,
    /// Without further delay.
    Retry,
    /// The instance of whoever runs then ends, so many calls later.
    Trap {
        calls: u32,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Crash {
    /// The process ends in good order.
    Shutdown,
    /// Nothing is kept that was not flushed.
    Lost,
    /// The process is killed, the machine goes on.
    Killed,
    /// Of the unflushed bytes so many were written.
    Torn(usize),
    Scattered(u64),
}

/// A whole scenario.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    /// The first are begun from outside; others as children.
    pub programs: Vec<Program>,
    pub roots: usize,
    /// How long after the one before, what, and to which program.
    pub events: Vec<(u64, Event, usize)>,
    /// After how many turns, how, and whether in the middle of a flush.
    pub crashes: Vec<(u32, Crash, bool)>,
}

impl Step {
    pub(super) fn options(&self) -> StepOptions {
        let retry = RetryPolicy { max_attempts: MAX_ATTEMPTS, base_ms: 2000, factor_percent: 200, cap_ms: 20_000 };
        let limit = |name: &str| LimitUse { name: name.to_owned(), key: None };
        StepOptions { timeout_ms: 30_000, retry, limits: self.limit.map(limit).into_iter().collect(), occurrence: None }
    }
}

/// Chance that is the same each time.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

struct Author {
    dice: Dice,
    names: u32,
    programs: Vec<Program>,
}

pub(super) fn scenario(seed: u64) -> Scenario {
    let mut author = Author { dice: Dice::new(seed), names: 0, programs: Vec::new() };
    let roots = 1 + author.dice.below(10) / 8;
    author.programs.resize(roots, Program { generations: Vec::new(), deadline_ms: None, fails: false });
    for root in 0..roots {
        author.programs[root] = author.program(0);
    }
    let events = author.events();
    let dice = &mut author.dice;
    let count = [0, 0, 1, 1, 2, 3, 5][dice.below(7)];
    let crashes = (0..count).map(|_| {
        let most = dice.of(&[10, 40, 150]);
        let after = 1 + dice.below(most) as u32;
        let how = match dice.below(5) {
            0 => Crash::Shutdown,
            1 => Crash::Lost,
            2 => Crash::Killed,
            3 => Crash::Torn(dice.below(300)),
            _ => Crash::Scattered(dice.next()),
        };
        (after, how, dice.percent(50))
    });
    let crashes = crashes.collect();
    Scenario { programs: author.programs, roots, events, crashes }
}

impl Author {
    fn program(&mut self, depth: u32) -> Program {
        let generations = if self.dice.percent(15) { 2 + self.dice.below(2) } else { 1 };
        let generations = (0..generations).map(|_| self.ops(depth, 5)).collect();
        let deadline_ms = self.dice.percent(10).then(|| self.dice.of(&[50, 4000, 30_000, 4_000_000]));
        Program { generations, deadline_ms, fails: self.dice.percent(25) }
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn ops(&mut self, depth: u32, most: usize) -> Vec<Op> {
        let mut ops: Vec<Op> = Vec::new();
        for _ in 0..1 + self.dice.below(most) {
            let again = self.dice.percent(15);
            match ops.last().filter(|_| again).cloned() {
                // Another occurrence of the same names.
                Some(op @ (Op::Step(_) | Op::Sleep { .. } | Op::Signal { .. })) => ops.push(op),
                _ => {
                    let op = self.op(depth);
                    ops.push(op);
                }
            }
        }
        ops
    }

    fn op(&mut self, depth: u32) -> Op {
        let deep = depth >= 2;
        match self.dice.below(100) {
            0..40 => Op::Step(self.step()),
            40..50 => {
                let ms = self.dice.of(&[1, 50, 3000, 5001, 20_000, 3_600_000]);
                Op::Sleep { name: self.name("t"), ms }
            }
            50..60 => {
                let timeout_ms = self.dice.of(&[None, Some(10), Some(4000), Some(60_000)]);
                Op::Signal { name: self.name("g"), timeout_ms }
            }
            60..64 => Op::Expose(self.dice.below(200) as u8),
            64..67 => Op::Attribute(self.dice.below(3) as u8),
            67..71 if depth == 0 => {
                let program = self.program(1);
                self.programs.push(program);
                Op::Child { name: self.name("c"), program: self.programs.len() - 1 }
            }
            71..79 if !deep => Op::Join(self.branches(depth)),
            79..85 if !deep => Op::TryJoin(self.branches(depth)),
            85..95 if !deep => {
                self.names += 1;
                Op::Race { number: self.names, branches: self.branches(depth) }
            }
            95..98 if !deep => {
                let steps = (0..2 + self.dice.below(5)).map(|_| self.step()).collect();
                Op::Fan { steps, width: 1 + self.dice.below(3) }
            }
            _ => Op::Step(self.step()),
        }
    }

    fn branches(&mut self, depth: u32) -> Vec<Vec<Op>> {
        (0..2 + self.dice.below(2)).map(|_| self.ops(depth + 1, 2)).collect()
    }

    fn step(&mut self) -> Step {
        let name = self.name("s");
        let attempts = self.attempts();
        let again = if self.dice.percent(30) { self.attempts() } else { attempts.clone() };
        let undo = self.dice.percent(70).then(|| self.attempts());
        let limit = match self.dice.below(12) {
            0 => Some(ONE_AT_A_TIME),
            1 => Some(TWO_IN_TEN_SECONDS),
            _ => None,
        };
        Step { name, attempts, again, undo, limit }
    }

    fn attempts(&mut self) -> Vec<Attempt> {
        (0..1 + self.dice.below(3)).map(|_| self.attempt()).collect()
    }

    fn attempt(&mut self) -> Attempt {
        let takes_ms = self.dice.of(&[0, 0, 0, 1, 10, 100, 6000]);
        let comes = match self.dice.below(10) {
            0..7 => Comes::Success,
            7 => Comes::Error,
            8 => Comes::NotRun { retry_after_ms: self.dice.of(&[None, None, Some(1), Some(10_000)]) },
            _ => Comes::Lost { ran: self.dice.percent(50) },
        };
        Attempt { takes_ms, comes }
    }

    fn events(&mut self) -> Vec<(u64, Event, usize)> {
        let mut signals = Vec::new();
        for (index, program) in self.programs.iter().enumerate() {
            let mut names = Vec::new();
            program.generations.iter().for_each(|ops| signal_names(ops, &mut names));
            signals.extend(names.into_iter().map(|name| (index, name)));
        }
        let count = self.dice.below(3) + signals.len();
        let mut events = Vec::new();
        for _ in 0..count {
            let after_ms = self.dice.of(&[0, 0, 1, 10, 100, 3000, 8000, 60_000]);
            let any = self.dice.below(self.programs.len());
            let (event, program) = match self.dice.below(20) {
                0 => (Event::Cancel, any),
                1 => (Event::Pause, any),
                2 => (Event::Resume, any),
                3 => (Event::Retry, any),
                4 => (Event::Trap { calls: self.dice.below(8) as u32 }, any),
                _ if signals.is_empty() => continue,
                _ => {
                    let (program, name) = self.dice.of(&signals);
                    let (with_id, twice) = (self.dice.percent(60), self.dice.percent(30));
                    (Event::Signal { name, with_id, twice }, program)
                }
            };
            events.push((after_ms, event, program));
        }
        events
    }
}

/// Signals are named `g` and a number.
pub(super) fn signal_names(ops: &[Op], names: &mut Vec<u32>) {
    for op in ops {
        match op {
            Op::Signal { name, .. } => names.push(name.trim_start_matches('g').parse().unwrap()),
            Op::Join(branches) | Op::TryJoin(branches) | Op::Race { branches, .. } => {
                branches.iter().for_each(|branch| signal_names(branch, names));
            }
            _ => {}
        }
    }
}
