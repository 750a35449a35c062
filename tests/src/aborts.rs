//! A host that is aborted at each boundary that some work passes, once each: after each record of a log, around each
//! flush, around each commit. What the work is and what has to hold in the end is the test's.

use std::collections::BTreeMap;
use std::path::Path;

use crate::platform::{Options, Platform};
use crate::wait::eventually;

/// What is done on a host, again after each abort.
pub trait Work {
    /// A host stopped in good order: what each case begins with.
    fn prepared(&self) -> &Platform;

    /// Does it; whether the answer was what it has to be, or `None` if the host does not answer. Repeatable.
    fn act(&self, platform: &Platform) -> Option<bool>;

    /// It came to its end, once.
    ///
    /// # Panics
    /// If it did not.
    fn check(&self, platform: &Platform);
}

/// How often each point was hit.
type Counts = BTreeMap<String, u64>;

/// The host writes the file anew at each hit: what is read has to be whole, and stay so.
fn counts(file: &Path) -> Counts {
    let mut before = String::new();
    let text = eventually("the counts stand still", || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let still = text == before && text.ends_with('\n');
        before.clone_from(&text);
        if still { Ok(text) } else { Err(()) }
    });
    let count = |line: &str| {
        let (name, count) = line.split_once(' ').expect("a name and a count");
        (name.to_owned(), count.parse().expect("a count"))
    };
    text.lines().map(count).collect()
}

/// Points of those names that the work passes, once for each hit. How many records share a flush is a matter of luck, so
/// those of a flush are told by the record before it.
fn points(work: &impl Work, names: &[&str]) -> Vec<String> {
    let mut platform = work.prepared().copy();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("counts");
    platform.run(&Options::default().failpoint(&format!("count:{}", file.display()))).expect("the host starts");
    let before = counts(&file);
    assert_eq!(work.act(&platform), Some(true));
    work.check(&platform);
    let after = counts(&file);
    let of = |counts: &Counts, name: &str| counts.get(name).copied().unwrap_or(0);
    let hits = |name: &&str| {
        let record = name.split_once('.').filter(|(_, what)| what.ends_with("-flush"));
        let record = record.map(|(log, _)| format!("{log}.record-written"));
        let point = record.as_ref().map_or_else(|| (*name).to_owned(), |record| format!("{name}@{record}"));
        let counted = record.as_deref().unwrap_or(name);
        let range = of(&before, counted) + 1..=of(&after, counted);
        range.map(move |hit| format!("{point}:{hit}"))
    };
    names.iter().flat_map(hits).collect()
}

/// Aborts at each of these points, starts again, and does the work again. Answers how many points there were.
///
/// # Panics
/// If a point is not reached, or the work does not come to its end after it.
pub fn abort_at_each(work: &impl Work, names: &[&str]) -> usize {
    let points = points(work, names);
    println!("{} points: {points:?}", points.len());
    for point in &points {
        let mut platform = work.prepared().copy();
        platform.run(&Options::default().failpoint(point)).expect("the host starts");
        if work.act(&platform) == Some(true) {
            // The point lies behind the answer: in what follows it, such as the notice.
            eventually(&format!("{point} is reached"), || if platform.has_ended() { Ok(()) } else { Err("runs") });
        }
        let ended = platform.wait();
        assert!(!ended.success(), "{point} did not abort the host");
        platform.run(&Options::default()).unwrap_or_else(|why| panic!("after {point}: {why}\n{}", platform.log()));
        assert_eq!(work.act(&platform), Some(true), "after {point}\n{}", platform.log());
        work.check(&platform);
    }
    points.len()
}
