//! Several versions of one component at once: which of them serves a call, and how each does. How shares change over time belongs
//! to `canary`, keeping versions to whoever assembles the host.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use weft_core::{Origin, version_name, version_parts};

use crate::breaker::Verdict;
use crate::mirror::{Mirror, MirrorStats, MirrorView};

/// Shares are parts of this.
pub const WHOLE: u32 = 10_000;

/// Which version of a component serves which calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The component.
    pub component: Arc<str>,
    /// Its versions beside the one that the manifest names, by the name that the engine knows them by.
    pub versions: Vec<Share>,
    /// Whether a user (for a typed call: a trace) stays on a version while its share does not shrink.
    pub sticky: bool,
}

/// How much a version serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// What the engine knows it by.
    pub name: Arc<str>,
    /// Of [`WHOLE`] calls so many; all versions together at most all.
    pub weight: u32,
    /// Of [`WHOLE`] calls that another version serves so many are copied to it. Nobody gets its answers, and it has no effects then.
    pub mirror: u32,
    /// Requests with one of these headers are served by it in any case: name in lower case, and value.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
}

/// What is called: a component, by itself or by a half of it that has middleware of its own.
#[derive(Clone, Copy)]
pub(crate) struct Called<'a> {
    /// Whose versions there are.
    pub component: &'a Arc<str>,
    /// Which of its functions is asked for.
    pub function: &'a Arc<str>,
}

impl Called<'_> {
    /// The half of a version that stands behind the same middleware as what is asked for.
    fn half_of(self, version: &Arc<str>) -> Arc<str> {
        if self.function == self.component {
            return version.clone();
        }
        let named = |(_, version): (&str, &str)| version_name(self.function, version);
        version_parts(version).map_or_else(|| self.function.clone(), named)
    }
}

/// What is known of a call whose version is chosen.
pub(crate) struct Choice<'a> {
    /// Who stays on a version.
    pub sticky: Option<&'a str>,
    /// The value of a header of the request; of a typed call, of the request that it all began with.
    pub header: &'a (dyn Fn(&str) -> Option<&'a str> + Sync),
}

/// The splits, and how each version does.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    splits: ArcSwap<HashMap<Arc<str>, Arc<Routed>>>,
}

/// A split with what it counts.
#[derive(Debug)]
struct Routed {
    split: Split,
    /// Of the manifest's own version, and of each of the split's.
    base: Arc<VersionStats>,
    counts: Vec<Arc<Counts>>,
}

/// What is counted of a version beside the manifest's.
#[derive(Debug, Default)]
struct Counts {
    serves: Arc<VersionStats>,
    mirrors: Arc<MirrorStats>,
}

/// The version that serves a call.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// What the engine knows it by.
    pub name: Arc<str>,
    stats: Arc<VersionStats>,
}

impl Chosen {
    pub(crate) fn tell(&self, verdict: Verdict, took: Duration) {
        self.stats.count(verdict, took);
    }
}

impl Versions {
    /// Replaces the splits. A version that was there keeps its counts.
    pub fn set(&self, splits: Vec<Split>) {
        let before = self.splits.load();
        let routed = splits.into_iter().map(|split| {
            let old = before.get(&split.component);
            let kept = |name: &str| {
                let old = old?;
                let place = old.split.versions.iter().position(|share| &*share.name == name)?;
                old.counts.get(place).cloned()
            };
            let counts = split.versions.iter().map(|share| kept(&share.name).unwrap_or_default()).collect();
            let base = old.map(|old| old.base.clone()).unwrap_or_default();
            (split.component.clone(), Arc::new(Routed { split, base, counts }))
        });
        self.splits.store(Arc::new(routed.collect()));
    }

    /// What is to be carried on from a request.
    pub fn origin<'a>(&self, user: Option<&str>, header: impl Fn(&str) -> Option<&'a str>) -> Option<Origin> {
        let splits = self.splits.load();
        if splits.is_empty() {
            return None;
        }
        let mut headers: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        let shares = splits.values().flat_map(|routed| &routed.split.versions);
        for (name, _) in shares.flat_map(|share| &share.headers) {
            if headers.iter().all(|(known, _)| known != name)
                && let Some(value) = header(name)
            {
                headers.push((name.clone(), value.into()));
            }
        }
        Some(Origin { user: user.map(Into::into), headers })
    }

    /// Chooses; nothing where the component has one version. `random` is any 64 bits.
    pub fn choose(&self, called: Called<'_>, choice: &Choice<'_>, random: u64) -> Option<Chosen> {
        let splits = self.splits.load();
        // Most hosts have none at all.
        if splits.is_empty() {
            return None;
        }
        splits.get(called.component).map(|routed| routed.choose(called, choice, random))
    }

    /// A place for a copy of a call that `by` serves, if one of the other versions is to get one. `random` is any 64 bits.
    pub fn mirror(&self, called: Called<'_>, by: &str, random: u64) -> Option<Mirror> {
        let splits = self.splits.load();
        if splits.is_empty() {
            return None;
        }
        splits.get(called.component)?.mirror(called, by, random)
    }

    /// What became of the copies that the versions of a component got; none where the manifest's is the only one.
    pub fn mirrored(&self, component: &str) -> Vec<(Arc<str>, MirrorView)> {
        let Some(routed) = self.splits.load().get(component).cloned() else { return Vec::new() };
        let names = routed.split.versions.iter().map(|share| share.name.clone());
        names.zip(routed.counts.iter().map(|counts| counts.mirrors.view())).collect()
    }

    /// How the versions of a component do, that of the manifest first.
    pub fn samples(&self, component: &str) -> Vec<(Arc<str>, Sample)> {
        let Some(routed) = self.splits.load().get(component).cloned() else { return Vec::new() };
        let names = routed.split.versions.iter().map(|share| share.name.clone());
        let others = names.zip(routed.counts.iter().map(|counts| counts.serves.sample()));
        std::iter::once((routed.split.component.clone(), routed.base.sample())).chain(others).collect()
    }
}

impl Routed {
    fn choose(&self, called: Called<'_>, choice: &Choice<'_>, random: u64) -> Chosen {
        let place = self.by_header(choice).or_else(|| self.by_weight(choice, random));
        let version = place.and_then(|place| self.split.versions.get(place).zip(self.counts.get(place)));
        match version {
            Some((share, counts)) => Chosen { name: called.half_of(&share.name), stats: counts.serves.clone() },
            None => Chosen { name: called.function.clone(), stats: self.base.clone() },
        }
    }

    /// One version at most gets a copy.
    fn mirror(&self, called: Called<'_>, by: &str, random: u64) -> Option<Mirror> {
        let mut point = u32::try_from(random % u64::from(WHOLE)).unwrap_or_default();
        let all = self.split.versions.iter().zip(&self.counts);
        let others = all.map(|(share, counts)| (called.half_of(&share.name), share, counts));
        for (name, share, counts) in others.filter(|(name, ..)| **name != *by) {
            if point < share.mirror {
                return counts.mirrors.begin(name);
            }
            point -= share.mirror;
        }
        None
    }

    fn by_header(&self, choice: &Choice<'_>) -> Option<usize> {
        let asks = |share: &Share| share.headers.iter().any(|(name, value)| (choice.header)(name) == Some(value));
        self.split.versions.iter().position(asks)
    }

    /// Versions begin at nought, the manifest's own has what is left: who is on a version whose share grows stays there.
    fn by_weight(&self, choice: &Choice<'_>, random: u64) -> Option<usize> {
        let sticky = choice.sticky.filter(|_| self.split.sticky);
        let seed = sticky.map_or(random, |who| u64::from(crc32c::crc32c(who.as_bytes())));
        let point = u32::try_from(seed % u64::from(WHOLE)).unwrap_or_default();
        let mut end = 0u32;
        self.split.versions.iter().position(|share| {
            end = end.saturating_add(share.weight);
            point < end
        })
    }
}

/// Buckets of times: four to each doubling of microseconds, up to an hour and more.
const BUCKETS: usize = 128;

/// What one version has done since it was put beside another.
#[derive(Debug)]
struct VersionStats {
    calls: AtomicU64,
    failures: AtomicU64,
    times: [AtomicU64; BUCKETS],
}

impl Default for VersionStats {
    fn default() -> Self {
        Self { calls: AtomicU64::new(0), failures: AtomicU64::new(0), times: [const { AtomicU64::new(0) }; BUCKETS] }
    }
}

impl VersionStats {
    fn count(&self, verdict: Verdict, took: Duration) {
        if verdict == Verdict::Nothing {
            return;
        }
        self.calls.fetch_add(1, Relaxed);
        if verdict == Verdict::Failure {
            self.failures.fetch_add(1, Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(time) = self.times.get(bucket(micros)) {
            time.fetch_add(1, Relaxed);
        }
    }

    fn sample(&self) -> Sample {
        let times = self.times.iter().map(|time| time.load(Relaxed)).collect();
        Sample { calls: self.calls.load(Relaxed), failures: self.failures.load(Relaxed), times }
    }
}

/// Counts of one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Calls that said something of it.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    pub(crate) times: Vec<u64>,
}

impl Sample {
    /// Both together.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let (longer, shorter) = if self.times.len() < other.times.len() { (other, self) } else { (self, other) };
        let more = shorter.times.iter().copied().chain(std::iter::repeat(0));
        Self {
            calls: self.calls + other.calls,
            failures: self.failures + other.failures,
            times: longer.times.iter().zip(more).map(|(one, more)| one + more).collect(),
        }
    }

    /// What came after `earlier`, a sample of the same version.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.times.iter().copied().chain(std::iter::repeat(0));
        Self {
            calls: self.calls.saturating_sub(earlier.calls),
            failures: self.failures.saturating_sub(earlier.failures),
            times: self.times.iter().zip(before).map(|(now, before)| now.saturating_sub(before)).collect(),
        }
    }

    /// What so many of a hundred calls did not take longer than, to a quarter of a doubling; nothing without calls.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let all: u64 = self.times.iter().sum();
        let wanted = (all * percent).div_ceil(100);
        let mut seen = 0;
        let place = self.times.iter().position(|count| {
            seen += count;
            seen >= wanted && seen > 0
        });
        place.map(|place| Duration::from_micros(upper(place)))
    }
}

/// The bucket of a time: exact below four microseconds, then by the two bits after the highest.
fn bucket(micros: u64) -> usize {
    let bucket = match micros.checked_ilog2() {
        None | Some(0 | 1) => micros,
        Some(log) => u64::from(log) * 4 - 4 + ((micros >> (log - 2)) & 3),
    };
    usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The longest time of a bucket, in microseconds.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 4 {
        return bucket;
    }
    let (log, quarter) = (bucket / 4 + 1, bucket % 4);
    let width = 1u64 << (log - 2);
    (1u64 << log) + (quarter + 1) * width - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A component, or a half of it.
    macro_rules! called {
        ($component:expr) => {
            called!($component, $component)
        };
        ($component:expr, $function:expr) => {
            Called { component: &Arc::from($component), function: &Arc::from($function) }
        };
    }

    fn share(name: &str, weight: u32) -> Share {
        Share { name: name.into(), weight, mirror: 0, headers: Vec::new() }
    }

    fn versions(sticky: bool, shares: Vec<Share>) -> Versions {
        let versions = Versions::default();
        versions.set(vec![Split { component: "c".into(), versions: shares, sticky }]);
        versions
    }

    fn anyone<'a>(sticky: Option<&'a str>) -> Choice<'a> {
        Choice { sticky, header: &|_| None }
    }

    #[test]
    fn shares_are_kept() {
        use rand::{RngExt as _, SeedableRng as _};
        let versions = versions(true, vec![share("c@a", 1_000), share("c@b", 2_500)]);
        let mut random = rand::rngs::StdRng::seed_from_u64(7);
        for by_user in [false, true] {
            let mut counts = HashMap::<Arc<str>, f64>::new();
            for number in 0..100_000 {
                let user = format!("user-{number}");
                let chosen = versions.choose(called!("c"), &anyone(by_user.then_some(&user)), random.random()).unwrap();
                *counts.entry(chosen.name).or_default() += 1.0;
            }
            let expected = [("c@a", 10_000.0), ("c@b", 25_000.0), ("c", 65_000.0)];
            let chi_squared: f64 = expected.iter().map(|(name, of)| (counts[*name] - of).powi(2) / of).sum();
            // Two degrees of freedom: one in a thousand.
            assert!(chi_squared < 13.82, "{chi_squared}: {counts:?}");
        }
    }

    #[test]
    fn whoever_is_on_a_version_stays_while_it_grows() {
        let grown = [500, 1_000, 5_000, 10_000].map(|weight| versions(true, vec![share("c@a", weight)]));
        for number in 0..2_000 {
            let user = format!("user-{number}");
            let on: Vec<bool> = grown
                .iter()
                .map(|v| &*v.choose(called!("c"), &anyone(Some(&user)), 0).unwrap().name == "c@a")
                .collect();
            assert!(on.is_sorted(), "{user}: {on:?}");
            assert_eq!(on.last(), Some(&true));
        }
    }

    #[test]
    fn as_many_calls_are_copied_as_was_said() {
        use rand::{RngExt as _, SeedableRng as _};
        let mirrored = |name, mirror| Share { mirror, ..share(name, 5_000) };
        let versions = versions(false, vec![mirrored("c@a", 1_000), mirrored("c@b", 500)]);
        let mut random = rand::rngs::StdRng::seed_from_u64(11);
        let mut counts = HashMap::<Option<Arc<str>>, f64>::new();
        for _ in 0..100_000 {
            let mirror = versions.mirror(called!("c"), "c", random.random());
            *counts.entry(mirror.map(|mirror| mirror.name.clone())).or_default() += 1.0;
        }
        let expected = [(Some("c@a".into()), 10_000.0), (Some("c@b".into()), 5_000.0), (None, 85_000.0)];
        let chi_squared: f64 = expected.iter().map(|(name, of)| (counts[name] - of).powi(2) / of).sum();
        // Two degrees of freedom: one in a thousand.
        assert!(chi_squared < 13.82, "{chi_squared}: {counts:?}");
        // What a version serves itself is not copied to it, and so much of it as before to the other.
        let to_b =
            (0..10_000).filter(|point| versions.mirror(called!("c"), "c@a", *point).is_some_and(|m| &*m.name == "c@b"));
        assert_eq!(to_b.count(), 500);
        assert!(versions.mirror(called!("other"), "other", 0).is_none());
    }

    #[test]
    fn a_header_asks_for_a_version() {
        let asked = Share { headers: vec![("x-version".into(), "v2".into())], ..share("c@a", 0) };
        let versions = versions(false, vec![asked]);
        let with = |value: &'static str| {
            let header = move |name: &str| (name == "x-version").then_some(value);
            versions.choose(called!("c"), &Choice { sticky: None, header: &header }, 0).unwrap().name
        };
        assert_eq!((&*with("v2"), &*with("v3")), ("c@a", "c"));
        assert!(versions.choose(called!("other"), &anyone(None), 0).is_none());
    }

    #[test]
    fn a_version_keeps_its_counts_when_shares_change() {
        let versions = versions(false, vec![share("c@a", 10_000)]);
        let chosen = versions.choose(called!("c"), &anyone(None), 0).unwrap();
        chosen.tell(Verdict::Failure, Duration::from_millis(3));
        versions.set(vec![Split {
            component: "c".into(),
            versions: vec![share("c@b", 1), share("c@a", 1)],
            sticky: true,
        }]);
        let samples = versions.samples("c");
        let counts: Vec<_> = samples.iter().map(|(name, sample)| (&**name, sample.calls, sample.failures)).collect();
        assert_eq!(counts, [("c", 0, 0), ("c@b", 0, 0), ("c@a", 1, 1)]);
    }

    proptest! {
        #[test]
        fn a_percentile_is_near(mut times in prop::collection::vec(0u64..100_000_000, 1..200), percent in 1u64..=100) {
            let stats = VersionStats::default();
            times.iter().for_each(|time| stats.count(Verdict::Success, Duration::from_micros(*time)));
            times.sort_unstable();
            let place = (times.len() as u64 * percent).div_ceil(100) as usize - 1;
            let found = stats.sample().percentile(percent).unwrap().as_micros() as u64;
            prop_assert!(found >= times[place] && found <= times[place] + times[place] / 4, "{found} for {}", times[place]);
        }
    }
}
