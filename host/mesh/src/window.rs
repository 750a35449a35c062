//! Counts over the last while, in ten slices: what is older than the window falls out a slice at a time. Pure: whoever
//! counts says what time it is.

use std::time::Duration;

/// Slices of a window.
const SLICES: usize = 10;

/// `N` counts that belong together, such as calls and failures, over a window of time.
#[derive(Clone, Debug)]
pub(crate) struct Window<const N: usize> {
    slice: Duration,
    /// The number of the slice that was counted in last, since the clock's start.
    last: u64,
    /// By the slice's number modulo their count.
    slices: [[u32; N]; SLICES],
}

impl<const N: usize> Window<N> {
    /// A window of `length`, which is at least ten nanoseconds.
    pub fn new(length: Duration) -> Self {
        let slice = (length / 10).max(Duration::from_nanos(1));
        Self { slice, last: 0, slices: [[0; N]; SLICES] }
    }

    /// Counts one of `which`; a number that is none of them counts nothing.
    pub fn count(&mut self, now: Duration, which: usize) {
        self.move_to(now);
        if let Some(count) = self.current().and_then(|slice| slice.get_mut(which)) {
            *count = count.saturating_add(1);
        }
    }

    /// The sums over the window that ends now: of the current slice and the nine before it.
    pub fn sums(&mut self, now: Duration) -> [u64; N] {
        self.joined(now, |sum, count| sum + count)
    }

    /// Of each count what the slice has that has most of it, in the same window.
    pub fn most(&mut self, now: Duration) -> [u64; N] {
        self.joined(now, u64::max)
    }

    fn joined(&mut self, now: Duration, join: impl Fn(u64, u64) -> u64) -> [u64; N] {
        self.move_to(now);
        let mut all = [0; N];
        for slice in &self.slices {
            for (all, count) in all.iter_mut().zip(slice) {
                *all = join(*all, (*count).into());
            }
        }
        all
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.slices = [[0; N]; SLICES];
    }

    fn current(&mut self) -> Option<&mut [u32; N]> {
        let place = usize::try_from(self.last % SLICES as u64).unwrap_or_default();
        self.slices.get_mut(place)
    }

    /// Empties the slices that have begun since. Time that goes back, as far as threads disagree on it, changes nothing.
    fn move_to(&mut self, now: Duration) {
        let number = u64::try_from(now.as_nanos() / self.slice.as_nanos()).unwrap_or(u64::MAX);
        if number.saturating_sub(self.last) >= SLICES as u64 {
            self.clear();
            self.last = number;
        }
        while self.last < number {
            self.last += 1;
            if let Some(slice) = self.current() {
                *slice = [0; N];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a list of everything that was counted.
        #[test]
        fn sums_are_those_of_the_last_ten_slices(events in prop::collection::vec((0u64..5_000, 0usize..2), 0..200)) {
            let mut window = Window::<2>::new(Duration::from_secs(10));
            let (mut now_ms, mut all) = (0, Vec::new());
            for (pause_ms, which) in events {
                now_ms += pause_ms;
                let now = Duration::from_millis(now_ms);
                window.count(now, which);
                all.push((now_ms / 1000, which));
                let of = |wanted| all.iter().filter(|(slice, which)| *which == wanted && slice + 10 > now_ms / 1000).count();
                prop_assert_eq!(window.sums(now), [of(0) as u64, of(1) as u64]);
            }
        }
    }
}
