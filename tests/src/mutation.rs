//! Small fuzzing without a tool: inputs of a seed corpus, changed at random from a seed that a failure names. A short run
//! in every test, a long one with `WEFT_LONG`.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::skip;

/// The most changes of one input.
const MAX_CHANGES: usize = 8;
/// How many times as many inputs a long run tries.
const LONG: u64 = 100;

/// Hands `tries` inputs to `check` (100 times as many in a long run), each a seed with some changes. What an input was
/// is said when `check` panics.
///
/// # Panics
/// When `check` does.
pub fn mutated(seeds: &[Vec<u8>], tries: u64, mut check: impl FnMut(&[u8])) {
    assert!(!seeds.is_empty(), "nothing to begin with");
    for number in 0..if skip::long_wanted() { tries * LONG } else { tries } {
        let mut random = StdRng::seed_from_u64(number);
        let mut input = seeds[random.random_range(0..seeds.len())].clone();
        for _ in 0..random.random_range(1..=MAX_CHANGES) {
            change(&mut input, seeds, &mut random);
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&input))) {
            let shown = String::from_utf8_lossy(&input);
            let shown: String = shown.chars().take(2_000).collect();
            eprintln!("input {number} of {} bytes:\n{shown}", input.len());
            resume_unwind(panic);
        }
    }
}

/// One change: a bit, a byte, a piece taken out, doubled, moved in from elsewhere, or a number at its bounds.
fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut StdRng) {
    if input.is_empty() {
        input.push(random.random());
        return;
    }
    let at = random.random_range(0..input.len());
    let end = (at + random.random_range(1..=64)).min(input.len());
    match random.random_range(0..7) {
        0 => input[at] ^= 1 << random.random_range(0..8),
        1 => input[at] = random.random(),
        2 => drop(input.drain(at..end)),
        3 => {
            let piece = input[at..end].to_vec();
            input.splice(at..at, piece);
        }
        4 => {
            let other = &seeds[random.random_range(0..seeds.len())];
            if !other.is_empty() {
                let from = random.random_range(0..other.len());
                let to = (from + random.random_range(1..=256)).min(other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
        }
        5 => {
            let bounds = ["0", "-1", "4294967296", "9223372036854775807", "1e999", "\u{0}", "ä", "\r\n", "\"", "}"];
            let bound = bounds[random.random_range(0..bounds.len())];
            input.splice(at..end, bound.bytes());
        }
        _ => input.truncate(at),
    }
}
