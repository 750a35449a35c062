//! Which of several instances the next request goes to. Pure: whoever asks says what time it is and throws the dice.
//!
//! * *round-robin*: in turn, smoothly by weight (an instance of weight 2 among two of weight 1 comes every other time, not twice in a row);
//! * *random*: by weight;
//! * *least-connections*: the fewest requests under way, in proportion to the weight;
//! * *p2c*: of two that are drawn by weight the one that is expected to answer sooner: the moving average of its times, times the
//!   requests that would be under way. The average rises at once to a time that is longer and sinks slowly to shorter ones; it also sinks
//!   while nothing is heard, so that an instance that was slow is tried again.

use std::time::Duration;

use weft_core::manifest::service::LoadBalance;

/// After this time without news a third of the average is left.
const DECAY: Duration = Duration::from_secs(10);
/// What a failure counts for: one that comes quickly must not make an instance look fast.
const FAILURE_COST: Duration = Duration::from_secs(1);

/// What is known of one instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// At least 1.
    pub weight: u32,
    /// Requests under way.
    pub active: u32,
    average: Average,
    /// What it has saved up for its turn.
    turn: i64,
}

/// The moving average of times, in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Average {
    seconds: f64,
    /// When it was that.
    at: Option<Duration>,
}

impl Average {
    fn now(self, now: Duration) -> Option<f64> {
        let idle = now.saturating_sub(self.at?);
        Some(self.seconds * (-idle.as_secs_f64() / DECAY.as_secs_f64()).exp())
    }

    fn record(&mut self, took: Duration, now: Duration) {
        let (took, before) = (took.as_secs_f64(), self.seconds);
        self.seconds = match self.at {
            Some(at) if took < before => {
                let kept = (-now.saturating_sub(at).as_secs_f64() / DECAY.as_secs_f64()).exp();
                before * kept + took * (1.0 - kept)
            }
            _ => took,
        };
        self.at = Some(now);
    }
}

impl Load {
    pub fn new(weight: u32) -> Self {
        Self { weight: weight.max(1), active: 0, average: Average::default(), turn: 0 }
    }

    /// Takes in how long an answer took.
    pub fn record(&mut self, took: Duration, failed: bool, now: Duration) {
        self.average.record(if failed { took.max(FAILURE_COST) } else { took }, now);
    }

    /// The average of its times; nothing before the first.
    pub fn average(&self, now: Duration) -> Option<Duration> {
        self.average.now(now).map(Duration::from_secs_f64)
    }

    fn cost(&self, now: Duration) -> f64 {
        match self.average.now(now) {
            Some(seconds) => seconds * f64::from(self.active.saturating_add(1)),
            // One of which nothing is known is tried, but not by everybody at once.
            None => FAILURE_COST.as_secs_f64() * f64::from(self.active),
        }
    }

    /// Whether this one has fewer requests under way for its weight.
    fn is_less_busy(&self, other: &Self) -> bool {
        let of = |one: &Self, weight: u32| u64::from(one.active.saturating_add(1)) * u64::from(weight);
        of(self, other.weight) < of(other, self.weight)
    }
}

/// Numbers from one that was thrown (SplitMix64).
#[derive(Clone, Copy, Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        u64::try_from((u128::from(word) * u128::from(bound)) >> 64).unwrap_or_default()
    }
}

/// Chooses one by its place; none of none. `random` is any 64 bits.
pub(crate) fn choose(strategy: LoadBalance, loads: &mut [&mut Load], random: u64, now: Duration) -> Option<usize> {
    let mut dice = Dice(random);
    match strategy {
        LoadBalance::RoundRobin => in_turn(loads),
        LoadBalance::Random => drawn(loads, None, &mut dice),
        LoadBalance::LeastConnections => least_busy(loads, &mut dice),
        LoadBalance::PowerOfTwo => {
            let one = drawn(loads, None, &mut dice)?;
            let other = drawn(loads, Some(one), &mut dice).unwrap_or(one);
            let cost = |place: usize| loads.get(place).map(|load| load.cost(now));
            Some(if cost(other) < cost(one) { other } else { one })
        }
    }
}

/// Everyone saves its weight; who has most has its turn, and pays what all have saved.
fn in_turn(loads: &mut [&mut Load]) -> Option<usize> {
    let whole: i64 = loads.iter().map(|load| i64::from(load.weight)).sum();
    for load in loads.iter_mut() {
        load.turn += i64::from(load.weight);
    }
    let most = loads.iter().map(|load| load.turn).max()?;
    let place = loads.iter().position(|load| load.turn == most)?;
    if let Some(load) = loads.get_mut(place) {
        load.turn -= whole;
    }
    Some(place)
}

/// One at random, by weight, but for `without`.
fn drawn(loads: &[&mut Load], without: Option<usize>, dice: &mut Dice) -> Option<usize> {
    let those = || loads.iter().enumerate().filter(|(place, _)| Some(*place) != without);
    let whole: u64 = those().map(|(_, load)| u64::from(load.weight)).sum();
    let mut point = dice.below(whole);
    those().find_map(|(place, load)| {
        let weight = u64::from(load.weight);
        let is_here = point < weight;
        point = point.saturating_sub(weight);
        is_here.then_some(place)
    })
}

fn least_busy(loads: &[&mut Load], dice: &mut Dice) -> Option<usize> {
    let mut best: Option<(usize, &Load)> = None;
    let mut equals = 1;
    for (place, load) in loads.iter().enumerate() {
        let Some((_, so_far)) = best else {
            best = Some((place, &**load));
            continue;
        };
        if load.is_less_busy(so_far) {
            (best, equals) = (Some((place, &**load)), 1);
        } else if !so_far.is_less_busy(load) {
            // Among equals each has the same chance.
            equals += 1;
            if dice.below(equals) == 0 {
                best = Some((place, &**load));
            }
        }
    }
    best.map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STRATEGIES: [LoadBalance; 4] = LoadBalance::ALL;

    fn pick(strategy: LoadBalance, loads: &mut [Load], random: u64, now: Duration) -> Option<usize> {
        choose(strategy, &mut loads.iter_mut().collect::<Vec<_>>(), random, now)
    }

    fn loads(weights: &[u32]) -> Vec<Load> {
        weights.iter().map(|weight| Load::new(*weight)).collect()
    }

    /// How often each is chosen, if nothing takes any time.
    fn counts(strategy: LoadBalance, weights: &[u32], picks: u32, seed: u64) -> Vec<u32> {
        let mut loads = loads(weights);
        let mut counts = vec![0; weights.len()];
        for number in 0..u64::from(picks) {
            let place = pick(strategy, &mut loads, seed.wrapping_add(number), Duration::ZERO).unwrap();
            counts[place] += 1;
        }
        counts
    }

    proptest! {
        #[test]
        fn turns_are_exactly_as_the_weights(weights in prop::collection::vec(1u32..20, 1..12), rounds in 1u32..5) {
            let whole: u32 = weights.iter().sum();
            let expected: Vec<u32> = weights.iter().map(|weight| weight * rounds).collect();
            prop_assert_eq!(counts(LoadBalance::RoundRobin, &weights, whole * rounds, 0), expected);
        }

        /// No instance waits for more than its share of a round, rounded up, and one more.
        #[test]
        fn turns_are_spread_over_the_round(weights in prop::collection::vec(1u32..10, 2..8)) {
            let whole: u32 = weights.iter().sum();
            let mut loads = loads(&weights);
            let mut last = vec![0u32; weights.len()];
            for number in 1..=whole * 3 {
                let place = pick(LoadBalance::RoundRobin, &mut loads, 0, Duration::ZERO).unwrap();
                let gap = number - last[place];
                let fair = whole.div_ceil(weights[place]);
                prop_assert!(gap <= 2 * fair, "{place} waited {gap} of {whole}, weights {weights:?}");
                last[place] = number;
            }
        }

        /// The fewest for its weight, whatever the others have.
        #[test]
        fn the_least_busy_is_chosen(rows in prop::collection::vec((1u32..10, 0u32..50), 1..10), random: u64) {
            let mut loads: Vec<Load> =
                rows.iter().map(|(weight, active)| Load { active: *active, ..Load::new(*weight) }).collect();
            let place = pick(LoadBalance::LeastConnections, &mut loads, random, Duration::ZERO).unwrap();
            let chosen = loads[place];
            prop_assert!(!loads.iter().any(|other| other.is_less_busy(&chosen)));
        }

        #[test]
        fn one_is_chosen_if_there_is_one(weights in prop::collection::vec(1u32..1_000, 0..6), random: u64) {
            for strategy in STRATEGIES {
                let place = pick(strategy, &mut loads(&weights), random, Duration::ZERO);
                prop_assert_eq!(place.is_some(), !weights.is_empty());
                prop_assert!(place.is_none_or(|place| place < weights.len()));
            }
        }
    }

    /// Chi-squared over 100,000 picks against the weights; 99.9 % of fair draws are below 16.27 with three degrees of freedom.
    #[test]
    fn draws_are_as_the_weights() {
        let weights = [1, 2, 3, 4];
        for seed in [1, 1 << 40, u64::MAX / 3] {
            let counts = counts(LoadBalance::Random, &weights, 100_000, seed);
            let chi: f64 = weights
                .iter()
                .zip(&counts)
                .map(|(weight, count)| {
                    let expected = f64::from(*weight) * 10_000.0;
                    (f64::from(*count) - expected).powi(2) / expected
                })
                .sum();
            assert!(chi < 16.27, "{counts:?}: {chi}");
        }
    }

    /// Requests come every millisecond; each instance answers after its own time.
    fn simulated(strategy: LoadBalance, times_ms: &[u64], requests: u64) -> Vec<u64> {
        let mut loads = loads(&vec![1; times_ms.len()]);
        let mut under_way: Vec<(u64, usize, u64)> = Vec::new();
        let mut counts = vec![0; times_ms.len()];
        for now_ms in 0..requests {
            under_way.retain(|(ends, place, took)| {
                if *ends <= now_ms {
                    loads[*place].active -= 1;
                    loads[*place].record(Duration::from_millis(*took), false, Duration::from_millis(now_ms));
                }
                *ends > now_ms
            });
            let place = pick(strategy, &mut loads, now_ms, Duration::from_millis(now_ms)).unwrap();
            counts[place] += 1;
            loads[place].active += 1;
            under_way.push((now_ms + times_ms[place], place, times_ms[place]));
        }
        counts
    }

    #[test]
    fn of_two_the_fast_one_is_preferred() {
        let counts = simulated(LoadBalance::PowerOfTwo, &[5, 50], 10_000);
        assert!(counts[0] > 5 * counts[1] && counts[1] > 0, "{counts:?}");
        // Among many, the slow one is left with what the draw forces on nobody else.
        let counts = simulated(LoadBalance::PowerOfTwo, &[10, 10, 10, 200], 20_000);
        let fast = &counts[..3];
        assert!(fast.iter().all(|count| *count > 5 * counts[3]), "{counts:?}");
        let (least, most) = (fast.iter().min().unwrap(), fast.iter().max().unwrap());
        assert!(most * 10 < least * 14, "equals share alike: {counts:?}");
    }

    #[test]
    fn an_instance_that_fails_quickly_does_not_look_fast_and_is_tried_again_later() {
        let ms = Duration::from_millis;
        let mut loads = loads(&[1, 1]);
        loads[0].record(ms(1), true, ms(0));
        loads[1].record(ms(20), false, ms(0));
        assert!((0..100).all(|random| pick(LoadBalance::PowerOfTwo, &mut loads, random, ms(1)) == Some(1)));
        // The other is heard of all the time, this one not.
        for second in 1..60 {
            loads[1].record(ms(20), false, ms(second * 1_000));
        }
        let now = ms(59_000);
        assert!((0..100).all(|random| pick(LoadBalance::PowerOfTwo, &mut loads, random, now) == Some(0)));
    }
}
