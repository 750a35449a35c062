//! How many requests may run at a time: a number that follows from how long they take. Pure: whoever measures says what
//! time it is.
//!
//! The rule is that of Netflix's `Gradient2Limit` (concurrency-limits) and of Envoy's adaptive concurrency filter: the limit
//! is multiplied by the ratio of the time that requests should take to the time that they took, between a half and one,
//! and gets some headroom, in the order of its square root, where it is in use. Two things are different. What is averaged is
//! the ratio of each request to what its own route should take, not the time, so that another mix of routes changes
//! nothing; and no request counts for more than twice what it should take, so that a few strange ones change little.
//!
//! What a route takes is learned while there is room: with less than a third of the limit in use, requests hardly
//! wait for each other. Where there is never room, the limit is a third for a short while, every ten seconds (a probe, as Envoy
//! has it), to see.

use std::time::Duration;

use super::rules::Rules;

/// Where it begins.
const FIRST: f64 = 100.0;
/// Requests that a window needs.
const ENOUGH: u32 = 10;
/// A window that lasts so many times its length has to do with what came.
const LONGEST: u32 = 10;
/// No request counts for more than so many times the time it should have taken.
pub(super) const MOST: f64 = 2.0;
/// The limit moves half the way to where it should be in each window.
const SPEED: f64 = 0.5;
/// With less than this share of the limit in use there is room.
const ROOM: f64 = 1.0 / 3.0;
/// After so long without room it is made,
const PROBE_AFTER: Duration = Duration::from_secs(10);
/// or after so long, if routes were found to take less than was believed: they may take still less.
const PROBE_SOON: Duration = Duration::from_secs(1);

/// When so much less runs than at most since it became too slow, it has to be faster, or it is slow for another reason.
const LESS: f64 = 0.6;

/// How it was in a window that has ended, which says what it teaches of each route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lesson {
    /// There was room, so requests hardly waited for each other.
    Room,
    /// Room was made.
    Probe,
    /// They may have waited for each other.
    Busy,
}

#[derive(Debug)]
pub(super) struct Limit {
    value: f64,
    window: Window,
    probe: Option<Probe>,
    fall: Option<Fall>,
    /// When there is a probe, unless there is room before.
    probe_at: Duration,
    /// Of the last window: how much longer requests took than they should have.
    pub ratio: f64,
}

#[derive(Debug, Default)]
struct Window {
    began: Duration,
    count: u32,
    ratios: f64,
    most_running: usize,
}

/// Requests take too long, and the limit falls for it.
#[derive(Debug)]
struct Fall {
    /// The limit when it began.
    from: f64,
    /// How many ran at most since it began.
    most_running: usize,
    /// Since when so many fewer run that it has to help.
    since: Option<Duration>,
    /// Requests that have begun since then and are answered.
    count: u32,
}

#[derive(Debug)]
struct Probe {
    began: Duration,
    /// Since when those that ran before are done.
    since: Option<Duration>,
}

impl Limit {
    pub fn new(rules: &Rules) -> Self {
        let value = FIRST.clamp(rules.min, rules.max);
        Self { value, window: Window::default(), probe: None, fall: None, probe_at: PROBE_SOON, ratio: 0.0 }
    }

    /// The rules have changed.
    pub fn bound(&mut self, rules: &Rules) {
        self.value = self.value.clamp(rules.min, rules.max);
    }

    /// How many may run.
    pub fn value(&self) -> f64 {
        if self.probe.is_some() { (self.value * ROOM).max(1.0) } else { self.value }
    }

    /// Whether a probe waits for what ran before to be done.
    pub fn is_clearing(&self) -> bool {
        self.probe.as_ref().is_some_and(|probe| probe.since.is_none())
    }

    /// Whether a request that began then tells of what is measured now.
    pub fn counts(&self, began: Duration) -> bool {
        self.probe.as_ref().and_then(|probe| probe.since).is_none_or(|since| began >= since)
    }

    /// Notes a request that began then; answers whether it has begun since fewer run.
    pub fn begun_since(&mut self, began: Duration) -> bool {
        let Some(fall) = self.fall.as_mut().filter(|fall| fall.since.is_some_and(|since| began >= since)) else {
            return false;
        };
        fall.count += 1;
        true
    }

    /// Whether it is known by now if it helps that fewer run.
    pub fn is_judged(&self, now: Duration, rules: &Rules) -> bool {
        let is_late = |since| now.saturating_sub(since) >= rules.window * LONGEST * 2;
        self.fall.as_ref().is_some_and(|fall| fall.count >= ENOUGH || fall.since.is_some_and(is_late))
    }

    /// Whether it falls.
    pub fn falls(&self) -> bool {
        self.fall.is_some()
    }

    /// It has been judged: if it was in vain, the limit is again what it was.
    pub fn judged(&mut self, in_vain: bool) {
        if let Some(fall) = self.fall.take().filter(|_| in_vain) {
            self.value = self.value.max(fall.from);
        }
    }

    /// All requests of this window: how many, and the sum of their ratios.
    pub fn totals(&self) -> (u32, f64) {
        (self.window.count, self.window.ratios)
    }

    /// Notes how many run, when one more does.
    pub fn runs(&mut self, running: usize) {
        self.window.most_running = self.window.most_running.max(running);
    }

    /// Notes a request that took so many times as long as it should have, at most [`MOST`].
    pub fn sample(&mut self, ratio: f64) {
        self.window.count += 1;
        self.window.ratios += ratio;
    }

    /// Whether the window is at its end, and then what it teaches. To be followed by [`Self::next`].
    pub fn ended(&mut self, now: Duration, running: usize, rules: &Rules) -> Option<Lesson> {
        let since = now.saturating_sub(self.window.began);
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.since.is_none()) {
            let is_late = now.saturating_sub(probe.began) >= rules.window * LONGEST;
            if is_late || running as f64 <= (self.value * ROOM).max(1.0) {
                probe.since = Some(now);
                self.window = Window { began: now, ..Window::default() };
            }
            return None;
        }
        let is_due = since >= rules.window && self.window.count >= ENOUGH
            || since >= rules.window * LONGEST && self.window.count > 0;
        if !is_due {
            return None;
        }
        let had_room = (self.window.most_running as f64) < self.value * ROOM;
        Some(match () {
            () if self.probe.is_some() => Lesson::Probe,
            () if had_room => Lesson::Room,
            () => Lesson::Busy,
        })
    }

    /// Begins the next window: the limit changes, and a probe ends or begins.
    pub fn next(&mut self, now: Duration, running: usize, (lesson, is_news): (Lesson, bool), rules: &Rules) {
        let window = std::mem::take(&mut self.window);
        self.window = Window { began: now, most_running: running, ..Window::default() };
        if lesson != Lesson::Busy {
            self.probe_at = now + if is_news { PROBE_SOON } else { PROBE_AFTER };
        }
        if self.probe.take().is_some() {
            return;
        }
        self.ratio = window.ratios / f64::from(window.count.max(1));
        self.note_fall(now, &window);
        if self.ratio >= MOST * 0.9 && self.value <= rules.min {
            // It cannot fall any further to see whether that helps.
            self.probe_at = self.probe_at.min(now + PROBE_SOON);
        }
        self.value = self.changed(&window).clamp(rules.min, rules.max);
        if now >= self.probe_at {
            self.probe = Some(Probe { began: now, since: None });
        }
    }

    fn note_fall(&mut self, now: Duration, window: &Window) {
        if self.ratio <= 1.0 {
            self.fall = None;
            return;
        }
        let from = self.value;
        let fall = self.fall.get_or_insert(Fall { from, most_running: 0, since: None, count: 0 });
        fall.most_running = fall.most_running.max(window.most_running);
        if (window.most_running as f64) <= fall.most_running as f64 * LESS {
            fall.since.get_or_insert(now);
        }
    }

    fn changed(&self, window: &Window) -> f64 {
        let (value, used) = (self.value, window.most_running as f64);
        // What is not used is not the reason, and nobody would profit.
        if used < value / 4.0 {
            return value;
        }
        // It is waited for what has come of it.
        if self.fall.as_ref().is_some_and(|fall| fall.since.is_some()) {
            return value;
        }
        let gradient = (1.0 / self.ratio.max(f64::EPSILON)).clamp(0.5, 1.5);
        let headroom = if used >= value * 0.3 { (value.sqrt() / 2.0).max(1.0) } else { 0.0 };
        value + SPEED * (value * gradient + headroom - value)
    }
}
