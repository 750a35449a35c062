//! What the requests of each route take while there is room. Pure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use weft_core::manifest::Priority;

use super::limit::{Lesson, MOST};
use super::rules::Rules;

/// A route that alone takes so much longer than it should has troubles of its own, such as a service that it waits for.
const ALONE: f64 = 1.5;
/// How fast such a route's time is believed to be its usual one.
const BELIEVED: f64 = 0.05;

/// A route that takes less than this share of its usual time is looked at again soon.
const NEWS: f64 = 0.8;
/// So many requests tell enough of a route.
const FEW: f64 = 10.0;
/// A route that takes less than this share of its time under load owes the rest to the load.
const BY_LOAD: f64 = 0.8;

/// Routes are active so long after they were last measured.
const ACTIVE: Duration = Duration::from_secs(10);

/// A route's place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteId(usize);

/// All routes. One that is gone leaves its place to another.
#[derive(Debug, Default)]
pub(super) struct Routes {
    ids: HashMap<Arc<str>, RouteId>,
    measured: Vec<Measured>,
    free: Vec<RouteId>,
}

#[derive(Debug, Default)]
pub(super) struct Measured {
    /// In seconds; none until it is known.
    pub usual_s: Option<f64>,
    /// The same while requests may have waited for each other.
    busy_s: Option<f64>,
    /// The longest mean since the limit falls, and what those take that have begun since fewer run.
    worst_s: f64,
    since: (u32, f64),
    /// Whether it takes too long while others do not.
    pub is_slow: bool,
    running: Running,
    /// When it was last measured.
    seen: Duration,
    count: u32,
    seconds: f64,
    ratios: f64,
}

/// How many requests of a route run, by priority.
#[derive(Clone, Copy, Debug, Default)]
struct Running([usize; Priority::ALL.len()]);

impl Routes {
    /// These are the routes that there are. Answers their places; what is known of them stays.
    pub fn set(&mut self, names: &[Arc<str>]) -> Vec<RouteId> {
        let before = std::mem::take(&mut self.ids);
        let gone = before.iter().filter(|(name, _)| !names.contains(name)).map(|(_, id)| *id);
        self.free.extend(gone);
        let mut ids = Vec::with_capacity(names.len());
        for name in names {
            let id = before.get(name).copied().or_else(|| self.free.pop()).unwrap_or_else(|| {
                self.measured.push(Measured::default());
                RouteId(self.measured.len() - 1)
            });
            if !before.contains_key(name)
                && let Some(place) = self.measured.get_mut(id.0)
            {
                // Requests of the route that had the place before may still run.
                *place = Measured { running: place.running, ..Measured::default() };
            }
            self.ids.insert(Arc::clone(name), id);
            ids.push(id);
        }
        ids
    }

    /// One of them.
    pub fn get_mut(&mut self, id: RouteId) -> Option<&mut Measured> {
        self.measured.get_mut(id.0)
    }

    /// Those of which something is known, with their names.
    pub fn known(&self) -> impl Iterator<Item = (&Arc<str>, &Measured)> {
        let named = self.ids.iter().filter_map(|(name, id)| Some((name, self.measured.get(id.0)?)));
        named.filter(|(_, measured)| measured.usual_s.is_some())
    }

    /// Takes in a window, in which all routes had so many requests with this sum of ratios. Answers whether any route takes
    /// much less than was believed.
    pub fn learn(&mut self, lesson: Lesson, (count, ratios): (u32, f64), now: Duration) -> bool {
        let mut is_news = false;
        for measured in self.measured.iter_mut().filter(|measured| measured.count > 0) {
            let others = count.saturating_sub(measured.count);
            let others_take = (ratios - measured.ratios) / f64::from(others.max(1));
            let takes = measured.ratios / f64::from(measured.count);
            measured.is_slow = others > 0 && takes >= ALONE && others_take <= 1.0;
            is_news |= measured.learn(lesson);
            measured.seen = now;
            (measured.count, measured.seconds, measured.ratios) = (0, 0.0, 0.0);
        }
        is_news
    }

    /// How many are at it or have been measured of late, with the one that is being asked for.
    pub fn active(&self, now: Duration, asked: Option<RouteId>) -> usize {
        let is_active = |(place, measured): &(usize, &Measured)| {
            let is_measured = || measured.usual_s.is_some() && now.saturating_sub(measured.seen) < ACTIVE;
            asked == Some(RouteId(*place)) || measured.running() > 0 || is_measured()
        };
        self.measured.iter().enumerate().filter(is_active).count()
    }

    /// Whether fewer than so many requests of a route run. What is critical has all of that for itself.
    pub fn may_run(&self, id: RouteId, priority: Priority, most: usize) -> bool {
        self.measured.get(id.0).is_none_or(|measured| match priority {
            Priority::Critical => measured.running() - measured.running.up_to(Priority::High) < most,
            _ => measured.running() < most,
        })
    }

    /// How many requests run beyond so many of each route, counting those that matter no more than this. What is critical is
    /// not among them.
    pub fn beyond(&self, most: usize, priority: Priority) -> usize {
        let counted = |measured: &Measured| measured.running.up_to(priority.min(Priority::High));
        self.measured.iter().map(|measured| counted(measured).saturating_sub(most)).sum()
    }

    /// Fewer run. A route that takes as long all the same is slow for another reason, and that is then what it takes. Answers
    /// whether most requests are of such routes.
    pub fn judge(&mut self) -> bool {
        let (mut all, mut in_vain) = (0, 0);
        for measured in &mut self.measured {
            let (count, seconds) = measured.since;
            let mean = seconds / f64::from(count.max(1));
            all += count;
            if count > 0 && mean >= measured.worst_s * BY_LOAD {
                measured.usual_s = Some(mean);
                in_vain += count;
            }
        }
        self.rise();
        in_vain * 2 > all
    }

    /// The limit does not fall any more.
    pub fn rise(&mut self) {
        for measured in &mut self.measured {
            (measured.worst_s, measured.since) = (0.0, (0, 0.0));
        }
    }

    /// Forgets what was measured since the last lesson.
    pub fn forget(&mut self) {
        for measured in &mut self.measured {
            (measured.count, measured.seconds, measured.ratios) = (0, 0.0, 0.0);
        }
    }
}

impl Running {
    fn up_to(&self, priority: Priority) -> usize {
        self.0.iter().take(priority as usize + 1).sum()
    }
}

impl Measured {
    /// How many of its requests run.
    pub fn running(&self) -> usize {
        self.running.up_to(Priority::Critical)
    }

    /// Notes that one more runs.
    pub fn begin(&mut self, priority: Priority) {
        if let Some(running) = self.running.0.get_mut(priority as usize) {
            *running += 1;
        }
    }

    /// Notes that one less runs.
    pub fn end(&mut self, priority: Priority) {
        if let Some(running) = self.running.0.get_mut(priority as usize) {
            *running = running.saturating_sub(1);
        }
    }

    /// Takes in the mean of a window; answers whether it is much less than was believed.
    fn learn(&mut self, lesson: Lesson) -> bool {
        let mean = self.seconds / f64::from(self.count.max(1));
        if lesson == Lesson::Busy {
            let busy = self.busy_s.unwrap_or(mean);
            self.busy_s = Some(busy + 0.5 * (mean - busy));
            self.worst_s = self.worst_s.max(mean);
        }
        let Some(usual) = self.usual_s else {
            self.usual_s = Some(mean);
            return lesson == Lesson::Busy;
        };
        // Where a third of the load makes it little faster, the load is not why it is slow.
        let is_by_load = self.busy_s.is_some_and(|busy| mean < busy * BY_LOAD);
        let weight = match lesson {
            Lesson::Probe if mean < usual * NEWS => 1.0,
            Lesson::Probe if mean >= usual / NEWS && !is_by_load => 1.0,
            Lesson::Probe if mean < usual / NEWS => 0.5,
            Lesson::Room => 0.25,
            Lesson::Busy if mean < usual => 0.1,
            _ if self.is_slow => BELIEVED,
            _ => 0.0,
        };
        // Few requests say less.
        let share = (f64::from(self.count) / FEW).min(1.0);
        self.usual_s = Some(usual + weight * share * (mean - usual));
        lesson == Lesson::Probe && mean < usual * NEWS
    }

    /// Notes a request's time; answers how many times it is what it should be, at most [`MOST`], if that is known.
    pub fn sample(&mut self, took: Duration, rules: &Rules) -> f64 {
        let ratio = self.ratio(took, rules).unwrap_or(1.0).min(MOST);
        self.count += 1;
        self.seconds += took.as_secs_f64();
        self.ratios += ratio;
        ratio
    }

    /// Notes what a request takes that has begun since fewer run.
    pub fn note_since(&mut self, took: Duration) {
        self.since.0 += 1;
        self.since.1 += took.as_secs_f64();
    }

    /// How many times so long is what it should be.
    pub fn ratio(&self, took: Duration, rules: &Rules) -> Option<f64> {
        let should = self.usual_s? * rules.tolerance + rules.slack_s;
        Some(took.as_secs_f64() / should.max(f64::EPSILON))
    }
}
