//! The import of the Open University's data: exact counts, by the real files in `tests/data/oulad` and by a part of them
//! that is quick; with the host killed in the middle; and again, which changes nothing.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use weft_tests::oulad::unzipped;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::tokens::Token;
use weft_tests::wait::eventually;

/// All, cancelled, completed.
type Counts = (usize, usize, usize);

/// What the whole data set comes to.
const WHOLE: Counts = (32_593, 10_156, 15_385);

/// Every `nth` registration of all courses, as a folder to import, and what it has to come to.
fn part(nth: usize) -> (TempDir, Counts) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("courses.csv"), unzipped("courses")).expect("room for a file");
    let some = |text: &str| {
        let kept = text.lines().enumerate().filter(|(number, _)| *number == 0 || number % nth == 0);
        kept.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    let students = some(&unzipped("studentInfo"));
    // Both files list the same registrations in the same order.
    let registrations = some(&unzipped("studentRegistration"));
    let result = |results: &[&str]| {
        let results: Vec<String> = results.iter().map(|result| format!(",{result}")).collect();
        students.lines().filter(|line| results.iter().any(|result| line.ends_with(result))).count()
    };
    let counts = (students.lines().count() - 1, result(&["Withdrawn"]), result(&["Pass", "Distinction"]));
    std::fs::write(folder.path().join("studentInfo.csv"), students).expect("room for a file");
    std::fs::write(folder.path().join("studentRegistration.csv"), registrations).expect("room for a file");
    (folder, counts)
}

fn total(platform: &Platform, query: &str) -> Option<usize> {
    let admin = platform.token(&Token::of("018f0000-0000-7000-8000-00000000ad01", "admin"));
    let page = platform.get(&format!("/api/admin/enrollments?limit=1{query}")).token(&admin).try_send().ok()?;
    page.expect(200)["total"].as_u64().and_then(|total| usize::try_from(total).ok())
}

fn counts(platform: &Platform) -> Option<Counts> {
    Some((total(platform, "")?, total(platform, "&status=cancelled")?, total(platform, "&status=completed")?))
}

/// Imports to the end and answers the summary.
fn import(platform: &Platform, folder: &Path) -> Value {
    let (status, stdout, stderr) = platform.weft(&["import", "oulad", &folder.to_string_lossy(), "--json"]);
    assert!(status.success(), "{stdout}{stderr}");
    serde_json::from_str(stdout.trim()).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

fn start_import(platform: &Platform, folder: &Path) -> Child {
    Command::new(repository::weft())
        .args(["import", "oulad"])
        .arg(folder)
        .arg("--data")
        .arg(platform.data())
        .current_dir(repository::root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("weft can be started")
}

fn check(platform: &Platform, summary: &Value, wanted: Counts) {
    assert_eq!(summary["enrollments"], wanted.0, "{summary}");
    assert_eq!(summary["cancelled"], wanted.1, "{summary}");
    assert_eq!(summary["completed"], wanted.2, "{summary}");
    assert_eq!(counts(platform), Some(wanted));
}

#[test]
fn a_part_comes_to_its_counts_and_again_to_the_same() {
    let (folder, wanted) = part(80);
    let platform = Platform::start();
    let summary = import(&platform, folder.path());
    check(&platform, &summary, wanted);
    let again = import(&platform, folder.path());
    check(&platform, &again, wanted);
    let courses = platform.get("/api/courses?limit=100").send().expect(200);
    assert_eq!(courses["items"].as_array().map(Vec::len), Some(22));
}

#[test]
fn killed_in_the_middle_it_goes_on() {
    let (folder, wanted) = part(40);
    let mut platform = Platform::start();
    let mut importing = start_import(&platform, folder.path());
    for share in [4, 2] {
        eventually("enrollments arrive", || {
            let seen = total(&platform, "");
            if seen.is_some_and(|seen| seen >= wanted.0 / share) { Ok(()) } else { Err(seen) }
        });
        platform.kill();
        platform.run(&Options::default()).expect("the host starts on what it left");
    }
    // Whether it noticed the host's death or not, its work goes on without it.
    let _ = importing.kill();
    let _ = importing.wait();
    let summary = import(&platform, folder.path());
    check(&platform, &summary, wanted);
}

#[test]
fn the_whole_data_set_comes_to_its_counts() {
    let platform = Platform::start();
    let summary = import(&platform, &repository::root().join("tests/data/oulad"));
    check(&platform, &summary, WHOLE);
}

#[test]
fn a_broken_file_is_refused_before_anything_is_stored() {
    let (folder, _) = part(1_000);
    let file = folder.path().join("studentInfo.csv");
    let text = std::fs::read_to_string(&file).expect("just written");
    std::fs::write(&file, text.replacen(",Pass", ",Passed", 1)).expect("room for a file");
    let platform = Platform::start();
    let (status, _, stderr) = platform.weft(&["import", "oulad", &folder.path().to_string_lossy()]);
    assert!(!status.success());
    assert!(stderr.contains("studentInfo.csv") && stderr.contains("Passed"), "{stderr}");
    assert_eq!(total(&platform, ""), Some(0));
}
