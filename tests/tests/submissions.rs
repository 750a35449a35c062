//! The submissions of the Open University's data, published as events and projected per course, on a host that is killed
//! twice in the middle: in the end the figures are those counted from the file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;
use weft_tests::oulad::{self, Results};
use weft_tests::platform::{Options, Platform};
use weft_tests::tokens::Token;
use weft_tests::wait::eventually;

const PROJECTION: &str = "assessment-results/results@1";
/// Events of one file. Within so many, what is published again is known by its id.
const CHUNK: usize = 10_000;
/// The files in whose middle the host is killed.
const KILLED_AT: [usize; 2] = [5, 12];

/// All submissions, one JSON object on each line.
fn files(folder: &Path) -> Vec<PathBuf> {
    let write = |(number, events): (usize, &[oulad::SubmittedEvent])| {
        let mut text = String::new();
        for event in events {
            writeln!(text, "{}", serde_json::to_string(event).expect("an event is JSON")).expect("a string grows");
        }
        let path = folder.join(format!("{number}.ndjson"));
        std::fs::write(&path, text).expect("the file can be written");
        path
    };
    oulad::submissions().chunks(CHUNK).enumerate().map(write).collect()
}

fn projection(platform: &Platform) -> Option<Value> {
    let (status, stdout, _) = platform.weft(&["projections", "list", "--json"]);
    let all: Vec<Value> = status.success().then(|| serde_json::from_str(&stdout).expect("JSON"))?;
    all.into_iter().find(|entry| entry["id"] == PROJECTION)
}

fn publish(platform: &Platform, file: &Path) -> bool {
    let file = file.to_str().expect("UTF-8");
    platform.weft(&["events", "publish", "--lines", file]).0.success()
}

/// Publishes a file while the host is killed, and whatever of it was not acknowledged again.
fn publish_through_a_kill(platform: &mut Platform, file: &Path) {
    let before = projection(platform).expect("the projection")["position"].as_u64().expect("a position");
    std::thread::scope(|scope| {
        let shared = &*platform;
        let publishing = scope.spawn(|| publish(shared, file));
        eventually("the projection goes on", || match projection(shared) {
            Some(entry) if entry["position"].as_u64() > Some(before) => Ok(()),
            // It was faster than the look at it.
            _ if publishing.is_finished() => Ok(()),
            other => Err(other),
        });
        shared.signal(Signal::KILL);
        // Whether or not all was acknowledged, all of it is published again.
        let _ = publishing.join().expect("publishing does not panic");
    });
    platform.kill();
    platform.run(&Options::default()).expect("the host starts");
    assert!(publish(platform, file), "{}", platform.log());
}

#[test]
fn the_figures_of_each_course_are_those_of_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = files(folder.path());
    let mut platform = Platform::start();
    for (number, file) in files.iter().enumerate() {
        if KILLED_AT.contains(&number) {
            publish_through_a_kill(&mut platform, file);
        } else {
            assert!(publish(&platform, file), "{}", platform.log());
        }
    }
    eventually("all is projected", || match projection(&platform) {
        Some(entry) if entry["lag"] == 0 => Ok(()),
        other => Err(other),
    });
    let token = platform.token(&Token::of("0192f0c1-0000-7000-8000-000000000001", "teacher"));
    let mut expected = oulad::results();
    assert_eq!(expected.len(), 22);
    let found: BTreeMap<String, Value> = expected
        .keys()
        .map(|course| {
            let answer = platform.get(&format!("/api/courses/{course}/results")).token(&token).send();
            (course.clone(), answer.expect(200))
        })
        .collect();
    for (course, figures) in found {
        let results: Results = expected.remove(&course).expect("asked for");
        assert_eq!(figures["submitted"], results.submitted, "{course}");
        assert_eq!(figures["scored"], results.scored, "{course}");
        assert_eq!(figures["passed"], results.passed, "{course}");
        let average = figures["average"].as_f64().expect("an average");
        assert!((average - results.average()).abs() < 1e-9, "{course}: {average}");
    }
    assert!(platform.stop().success());
}
