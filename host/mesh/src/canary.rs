//! Whether a new version does at least as well as the old one beside it: pure judgement over their counts. Who serves how much
//! meanwhile belongs to `versions`, and carrying it out to whoever assembles the host.
//!
//! It is aborted as soon as more of its calls fail than chance would explain, and a step is passed when both have had enough calls
//! and neither failures nor times speak against it. Both questions are asked again and again, so the bar for chance is high:
//! a version that is no worse is aborted in fewer than one of a hundred canaries (the tests run a thousand of them).

use std::time::Duration;

use crate::versions::Sample;

/// How a canary goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryPlan {
    /// The shares that the new version has one after the other, of [`crate::versions::WHOLE`]; after the last it has all.
    pub steps: Vec<u32>,
    /// Calls that each of the two has to have had in a step.
    pub min_calls: u64,
    /// How long a step lasts at least.
    pub min_time: Duration,
    /// The new version's 95th percentile may be so many hundredths of the old one's, and two milliseconds more.
    pub max_latency_percent: u64,
}

/// What counts say of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// There are too few calls yet.
    TooEarly,
    /// The new version does as well as the old one.
    Fine,
    /// It does worse, and how.
    Worse(String),
}

/// Fewer calls of the new version say nothing, however bad.
const FEWEST: u64 = 20;
/// Standard errors beyond which a difference is not taken for chance: one in thirty thousand, in one look.
const BAR: f64 = 4.0;
/// So many failures more than the old version's share of them may be chance even where the standard error says otherwise: it does not
/// hold for a few rare failures.
const CHANCE: f64 = 4.0;
/// What two percentiles may differ by in any case: below it is the noise of the machine.
const NOISE: Duration = Duration::from_millis(2);

/// Judges the calls that both versions have had in a step.
#[must_use]
pub fn judge(plan: &CanaryPlan, old: &Sample, new: &Sample, lasted: Duration) -> Judgement {
    if new.calls >= FEWEST && old.calls >= FEWEST && excess(old, new) > BAR && unexpected(old, new) > CHANCE {
        let failed = |sample: &Sample| format!("{} of {}", sample.failures, sample.calls);
        return Judgement::Worse(format!("{} calls failed, {} of the old version", failed(new), failed(old)));
    }
    // With nothing beside it to compare, a version that mostly fails is bad all the same.
    if old.calls < FEWEST && new.calls >= FEWEST && new.failures * 2 > new.calls {
        return Judgement::Worse(format!("{} of {} calls failed", new.failures, new.calls));
    }
    if lasted < plan.min_time || new.calls < plan.min_calls || old.calls < plan.min_calls {
        return Judgement::TooEarly;
    }
    if let (Some(before), Some(now)) = (old.percentile(95), new.percentile(95)) {
        let allowed = before.as_micros() * u128::from(plan.max_latency_percent) / 100 + NOISE.as_micros();
        if now.as_micros() > allowed {
            return Judgement::Worse(format!("of 100 calls 95 took up to {now:?}, {before:?} of the old version"));
        }
    }
    Judgement::Fine
}

/// How many standard errors the new version's share of failures lies above the old one's, if the two were the same (the pooled
/// two-proportion z-test).
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn excess(old: &Sample, new: &Sample) -> f64 {
    let (old_calls, new_calls) = (old.calls as f64, new.calls as f64);
    // One failure more for each: without any, the error would be nought and every failure beyond chance.
    let pooled = (old.failures + new.failures + 1) as f64 / (old_calls + new_calls + 1.0);
    let error = (pooled * (1.0 - pooled) * (1.0 / old_calls + 1.0 / new_calls)).sqrt();
    if error <= 0.0 {
        return 0.0;
    }
    (new.failures as f64 / new_calls - old.failures as f64 / old_calls) / error
}

/// How many more of the new version's calls failed than of as many of the old one's.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn unexpected(old: &Sample, new: &Sample) -> f64 {
    new.failures as f64 - new.calls as f64 * old.failures as f64 / old.calls as f64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;
    use crate::breaker::Verdict;
    use crate::versions::{Called, Choice, Share, Split, Versions, WHOLE};

    fn plan() -> CanaryPlan {
        CanaryPlan {
            steps: vec![500, 1_000, 2_500, 5_000],
            min_calls: 100,
            min_time: Duration::from_secs(10),
            max_latency_percent: 125,
        }
    }

    /// How a canary ends whose versions fail and take so much: aborted, and after how many calls.
    fn run(random: &mut StdRng, failing: [f64; 2], ms: [u64; 2]) -> (bool, u32) {
        let (plan, versions, mut calls) = (plan(), Versions::default(), 0);
        let component: Arc<str> = "c".into();
        let called = Called { component: &component, function: &component };
        for weight in &plan.steps {
            let share = Share { name: "c@new".into(), weight: *weight, mirror: 0, headers: Vec::new() };
            versions.set(vec![Split { component: "c".into(), versions: vec![share], sticky: false }]);
            let before = versions.samples("c");
            for number in 1.. {
                let choice = Choice { sticky: None, header: &|_| None };
                let chosen = versions.choose(called, &choice, random.random()).unwrap();
                let is_new = usize::from(&*chosen.name == "c@new");
                let failed = random.random_bool(failing[is_new]);
                let verdict = if failed { Verdict::Failure } else { Verdict::Success };
                chosen.tell(verdict, Duration::from_micros(ms[is_new] * random.random_range(500..1_500)));
                calls += 1;
                // A look after every hundred calls, which take a second.
                if number % 100 > 0 {
                    continue;
                }
                let now = versions.samples("c");
                let of = |place: usize| now[place].1.since(&before[place].1);
                match judge(&plan, &of(0), &of(1), Duration::from_secs(number / 100)) {
                    Judgement::TooEarly => {}
                    Judgement::Fine => break,
                    Judgement::Worse(_) => return (true, calls),
                }
            }
        }
        assert_eq!(WHOLE, 10_000);
        (false, calls)
    }

    fn aborted(failing: [f64; 2], ms: [u64; 2], runs: u32) -> u32 {
        let mut random = StdRng::seed_from_u64(11);
        (0..runs).filter(|_| run(&mut random, failing, ms).0).count() as u32
    }

    #[test]
    fn a_version_that_is_no_worse_is_promoted() {
        for rate in [0.0, 0.01, 0.2] {
            let aborted = aborted([rate, rate], [20, 20], 1_000);
            assert!(aborted < 10, "{aborted} of 1000 at {rate}");
        }
    }

    #[test]
    fn a_version_that_fails_more_is_aborted() {
        for (rates, most) in [([0.0, 0.3], 1), ([0.01, 0.2], 1), ([0.0, 1.0], 0)] {
            let promoted = 200 - aborted(rates, [20, 20], 200);
            assert!(promoted <= most, "{promoted} of 200 at {rates:?}");
        }
    }

    #[test]
    fn a_version_that_takes_longer_is_aborted() {
        assert_eq!(aborted([0.0, 0.0], [20, 40], 50), 50);
    }

    #[test]
    fn a_few_calls_say_nothing() {
        let sample = |calls, failures| Sample { calls, failures, ..Sample::default() };
        let early = Duration::from_secs(1);
        assert_eq!(judge(&plan(), &sample(1_000, 0), &sample(19, 19), early), Judgement::TooEarly);
        assert!(matches!(judge(&plan(), &sample(1_000, 0), &sample(20, 20), early), Judgement::Worse(_)));
        // Both fail alike, for what they depend on is down.
        assert!(matches!(judge(&plan(), &sample(1_000, 300), &sample(100, 33), early), Judgement::TooEarly));
    }
}
