//! Content-processing in its choreographed form, on a host that is aborted at each boundary that a run passes. Whatever the
//! point, the events that come again end the run: published and told of once, or taken back whole.

use serde_json::{Value, json};
use weft_tests::aborts::{Work, abort_at_each};
use weft_tests::course::{publish, settle, student_id};
use weft_tests::invariants;
use weft_tests::platform::{Options, Platform};
use weft_tests::tokens::Token;
use weft_tests::wait::eventually;

const TEACHER: u32 = 0xfe_ac4e4;
const COMMITS: [&str; 2] = ["sql.before-commit", "sql.after-commit"];
const MESSAGES: [&str; 3] = ["messages.record-written", "messages.before-flush", "messages.after-flush"];

/// An upload to a course that is there already.
struct Upload {
    platform: Platform,
    course: String,
    text: &'static str,
    /// How the run has to end.
    status: &'static str,
}

impl Upload {
    fn new(text: &'static str, status: &'static str) -> Self {
        let mut platform = Platform::start();
        let course = publish(&platform, 1, 0);
        settle(&platform);
        assert!(platform.stop().success());
        Self { platform, course, text, status }
    }

    fn get(&self, platform: &Platform, path: &str) -> Value {
        platform.get(path).token(&platform.token(&Token::of(&student_id(TEACHER), "teacher"))).send().expect(200)
    }
}

impl Work for Upload {
    fn prepared(&self) -> &Platform {
        &self.platform
    }

    fn act(&self, platform: &Platform) -> Option<bool> {
        let body = json!({"title": "Parsing", "kind": "article", "text": self.text, "form": "choreographed"});
        let token = platform.token(&Token::of(&student_id(TEACHER), "teacher"));
        let request = platform.post(&format!("/api/courses/{}/contents", self.course), &body).token(&token);
        let answer = request.header("idempotency-key", "one-upload").try_send().ok()?;
        if answer.status != 202 {
            return Some(false);
        }
        let run = answer.json()["status_url"].as_str().expect("an address").to_owned();
        // The host may end while the run is on its way: then whoever asks gets no answer.
        eventually("the run ends", || {
            let token = platform.token(&Token::of(&student_id(TEACHER), "teacher"));
            match platform.get(&run).token(&token).try_send() {
                Err(_) => Ok(None),
                Ok(answer) if answer.status == 200 && answer.json()["status"] == self.status => Ok(Some(true)),
                Ok(answer) => Err(answer.text()),
            }
        })
    }

    fn check(&self, platform: &Platform) {
        let wanted = usize::from(self.status == "completed");
        let contents = self.get(platform, &format!("/api/courses/{}/contents", self.course));
        let contents = contents["items"].as_array().expect("items");
        assert_eq!(contents.len(), wanted, "{contents:?}");
        assert!(contents.iter().all(|content| content["status"] == "published"), "{contents:?}");
        eventually("as many notices", || {
            let told = self.get(platform, "/api/notifications");
            let told = told["items"].as_array().expect("items");
            if told.len() == wanted { Ok(()) } else { Err(told.clone()) }
        });
    }
}

#[test]
fn abort_around_each_commit_of_a_run() {
    let points = abort_at_each(&Upload::new("A parser reads tokens.", "completed"), &COMMITS);
    // Upload, process, index, notify, and the notification; each before and after.
    assert!(points >= 10, "{points} commits");
}

#[test]
fn abort_around_each_message_of_a_run() {
    let points = abort_at_each(&Upload::new("A parser reads tokens.", "completed"), &MESSAGES);
    // Uploaded, processed, indexed, published.
    assert!(points >= 12, "{points} messages");
}

#[test]
fn abort_around_each_commit_of_a_run_that_fails() {
    let points = abort_at_each(&Upload::new("... !?", "compensated"), &COMMITS);
    // Upload, the refusal, and the deletion; each before and after.
    assert!(points >= 6, "{points} commits");
}

#[test]
fn abort_around_each_message_of_a_run_that_fails() {
    let points = abort_at_each(&Upload::new("... !?", "compensated"), &MESSAGES);
    // Uploaded, failed.
    assert!(points >= 6, "{points} messages");
}

/// In the host's own list a run stands like a saga: by its correlation id, with a step for each function that reacted.
#[test]
fn a_run_is_in_the_list_and_the_timeline_of_sagas() {
    for (text, status, steps) in [
        ("A parser reads tokens.", "completed", ["content-index/", "content-notices/", "content-results/"].as_slice()),
        ("... !?", "compensated", ["content-results/", "content-uploads/"].as_slice()),
    ] {
        let upload = Upload::new(text, status);
        let mut platform = upload.platform.copy();
        platform.run(&Options::default()).expect("the host starts");
        assert_eq!(upload.act(&platform), Some(true));
        assert!(!invariants::settled(&platform).is_empty());
        let listed = json_of(&platform, &["saga", "list", "--name", "content-processing", "--json"]);
        let [run] = &listed["items"].as_array().expect("items")[..] else { panic!("{listed}") };
        assert_eq!((&run["status"], &run["id"]), (&json!(status), &run["correlation_id"]));
        let id = run["id"].as_str().expect("an id");
        let shown = json_of(&platform, &["saga", "show", id, "--json"]);
        let seen: Vec<_> = shown["steps"].as_array().expect("steps").iter().collect();
        for step in steps {
            let found = seen.iter().any(|seen| seen["name"].as_str().is_some_and(|name| name.starts_with(step)));
            assert!(found, "{step}: {shown}");
        }
        assert!(platform.weft(&["saga", "timeline", id]).0.success());
        let (refused, _, why) = platform.weft(&["saga", "cancel", id]);
        assert!(!refused.success() && why.contains("choreographed"), "{why}");
        assert!(platform.stop().success());
    }
}

fn json_of(platform: &Platform, arguments: &[&str]) -> Value {
    let (status, stdout, stderr) = platform.weft(arguments);
    assert!(status.success(), "{stderr}");
    serde_json::from_str(&stdout).expect("JSON")
}
