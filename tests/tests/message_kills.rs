//! Events under load on a host that is killed again and again: whatever was acknowledged is handled, and takes effect once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;
use serde_json::{Value, json};
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::wait::eventually;

const STUDENTS: usize = 4;
/// Files of events, one published after the other, and events of each.
const FILES: usize = 40;
const EVENTS: usize = 50;
const KILLS: usize = 5;

fn options() -> Options {
    Options { manifest: repository::root().join("tests/applications/events/spin.toml"), ..Options::default() }
}

fn student(number: usize) -> String {
    format!("019b0000-0000-7000-8000-{number:012}")
}

/// Events of ids of their own, in turn for each student; a student's come in order.
fn write(folder: &Path, file: usize) -> String {
    let mut text = String::new();
    for event in 0..EVENTS {
        let (id, student) = (format!("{file}-{event}"), student(event % STUDENTS));
        let data = json!({ "enrollment_id": id, "student_id": student, "course_id": "c", "course_title": id });
        let line = json!({
            "id": id, "type": "enrolled", "topic": "enrollment.enrolled", "subject": id, "partitionkey": student, "data": data
        });
        writeln!(text, "{line}").expect("a string grows");
    }
    let path = folder.join(format!("{file}.ndjson"));
    std::fs::write(&path, text).expect("the file can be written");
    path.to_str().expect("UTF-8").to_owned()
}

/// Publishes every file until it is acknowledged, whatever becomes of the host meanwhile.
fn publish_all(data: &Path, files: &[String], acknowledged: &AtomicUsize) {
    for file in files {
        eventually("the file is acknowledged", || {
            let publish = Command::new(repository::weft())
                .args(["events", "publish", "--lines", file])
                .arg("--data")
                .arg(data)
                .output();
            let output = publish.expect("weft can be started");
            if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
        });
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}

/// What each student was told, oldest first.
fn told(data: &Path) -> BTreeMap<String, Vec<String>> {
    let file = rusqlite::Connection::open(data.join("sql/notifications.db")).expect("the database is there");
    let mut rows = file
        .prepare("SELECT audience, about FROM notifications_notifications ORDER BY rowid")
        .expect("the table is there");
    let rows = rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).expect("rows");
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        let (student, about) = row.expect("a row");
        told.entry(student).or_default().push(about);
    }
    told
}

fn is_settled(platform: &Platform) -> Result<(), String> {
    let (status, stdout, why) = platform.weft(&["subscriptions", "list", "--json"]);
    if !status.success() {
        return Err(why);
    }
    let list: Vec<Value> = serde_json::from_str(&stdout).expect("JSON");
    let is_idle = |one: &Value| one["lag"] == 0 && one["in_flight"] == 0;
    if list.iter().all(is_idle) { Ok(()) } else { Err(stdout) }
}

#[test]
fn what_was_acknowledged_takes_effect_once_however_often_the_host_is_killed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files: Vec<String> = (0..FILES).map(|file| write(folder.path(), file)).collect();
    let mut platform = Platform::start_with(&options());
    let (data, acknowledged) = (platform.data().to_owned(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publish_all(&data, &files, &acknowledged));
        for kill in 1..=KILLS {
            eventually("the publishing goes on", || {
                let done = acknowledged.load(Ordering::SeqCst);
                if done >= kill * FILES / (KILLS + 1) { Ok(()) } else { Err(done) }
            });
            platform.signal(Signal::KILL);
            platform.kill();
            platform.run(&options()).expect("the host starts");
        }
        publishing.join().expect("publishing does not panic");
    });
    eventually("all is handled", || is_settled(&platform));
    let (_, letters, _) = platform.weft(&["dlq", "list", "--json"]);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&letters).expect("JSON"), Vec::<Value>::new());
    assert!(platform.stop().success());
    let told = told(&data);
    for number in 0..STUDENTS {
        let events =
            (0..FILES).flat_map(|file| (number..EVENTS).step_by(STUDENTS).map(move |event| format!("{file}-{event}")));
        let expected: Vec<String> = events.collect();
        assert_eq!(told.get(&student(number)), Some(&expected), "each event of {number} once, in its order");
    }
}
