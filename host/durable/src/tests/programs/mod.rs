//! Any saga program, crashed anywhere and disturbed from outside, comes to what the model says. `WEFT_PROGRAMS` says how
//! many are tried, `WEFT_SEED` tries one.

mod check;
mod guest;
mod machine;
mod model;
mod program;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

pub(super) use guest::at_most;
use machine::Machine;
use world::World;

const USUAL: u64 = 500;
const LONG: u64 = 20_000;
/// Programs that once came to something else: a mark of an attempt cut short that was lost over a wait, a rate that was
/// passed by one that came late, a signal that was slept through.
const REGRESSIONS: [u64; 9] = [1085, 1246, 2147, 3479, 3905, 4017, 9472, 10337, 14649];
/// After so many failures no more programs are tried.
const MAX_FAILURES: usize = 10;

/// Answers whether the program of this seed came to what the model says; tells all about it if not.
fn succeeds(seed: u64, tell: bool) -> bool {
    let scenario = program::scenario(seed);
    let shown = scenario.clone();
    let world = Arc::new(World::new(scenario, number("WEFT_SEED").is_some()));
    let mut machine = Machine::new(Arc::clone(&world), seed);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let sagas = machine.run();
        check::check(&machine, &sagas);
    }));
    if ran.is_err() {
        if let Some(story) = &world.story {
            let story = story.lock().unwrap();
            story.iter().skip(story.len().saturating_sub(300)).for_each(|line| eprintln!("{line}"));
        }
        eprintln!("seed {seed} failed; WEFT_SEED={seed} runs it again");
        if tell {
            eprintln!("{shown:#?}");
        }
    }
    ran.is_ok()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn every_program_comes_to_what_the_model_says() {
    if let Some(seed) = number("WEFT_SEED") {
        assert!(succeeds(seed, true));
        return;
    }
    let usual = if std::env::var_os("WEFT_LONG").is_some() { LONG } else { USUAL };
    let seeds = (0..number("WEFT_PROGRAMS").unwrap_or(usual)).chain(REGRESSIONS);
    let mut told = false;
    let failures = seeds.filter(|seed| {
        let failed = !succeeds(*seed, !told);
        told |= failed;
        failed
    });
    let failures: Vec<_> = failures.take(MAX_FAILURES).collect();
    assert!(failures.is_empty(), "seeds {failures:?}");
}
