//! The enrollment saga on a host that is aborted at each boundary there is, once each: after each record of a log,
//! around each flush, and around each commit. Whatever the point, the client's repeated request ends in one enrollment,
//! one charge, one seat and one notice.

use serde_json::Value;
use weft_tests::aborts::{self, Work};
use weft_tests::course::{enroll, publish, settle, student_id};
use weft_tests::invariants;
use weft_tests::platform::Platform;
use weft_tests::tokens::Token;
use weft_tests::wait::eventually;

const KEY: &str = "one-enrollment";

/// A host that has a course and was stopped in good order: what each case begins with.
struct Prepared {
    platform: Platform,
    course: String,
    /// What the saga has to come to, and the payment that brings it there.
    payment: &'static str,
    status: u16,
}

impl Prepared {
    fn new(payment: &'static str, status: u16) -> Self {
        let mut platform = Platform::start();
        let course = publish(&platform, 1, 4_900);
        settle(&platform);
        assert!(platform.stop().success());
        Self { platform, course, payment, status }
    }

    fn student(&self) -> String {
        student_id(1)
    }
}

impl Work for Prepared {
    fn prepared(&self) -> &Platform {
        &self.platform
    }

    fn act(&self, platform: &Platform) -> Option<bool> {
        let token = platform.token(&Token::of(&self.student(), "student"));
        let answer = enroll(platform.client(), &self.course, &token, KEY, self.payment).try_send();
        answer.ok().map(|answer| answer.status == self.status)
    }

    /// The saga ran to its end, once.
    fn check(&self, platform: &Platform) {
        let enrollments = invariants::check(platform, &[self.student()]);
        let live = enrollments.iter().filter(|enrollment| enrollment.is_live()).count();
        let wanted = usize::from(self.status == 201);
        assert_eq!(live, wanted, "{enrollments:?}");
        eventually("one notice", || {
            let token = platform.token(&Token::of(&self.student(), "student"));
            let told: Value = platform.get("/api/notifications").token(&token).send().expect(200);
            let told = told["items"].as_array().expect("items");
            if told.len() == wanted { Ok(()) } else { Err(told.clone()) }
        });
    }
}

fn abort_at_each(payment: &'static str, status: u16, names: &[&str]) -> usize {
    aborts::abort_at_each(&Prepared::new(payment, status), names)
}

#[test]
fn abort_after_each_journal_record() {
    let points = abort_at_each("tok_ok", 201, &["journal.record-written"]);
    // Begin, five steps that each begin and end, and the saga's end.
    assert!(points >= 7, "{points} records: does the saga not journal its steps?");
}

#[test]
fn abort_around_each_flush_of_the_journal() {
    let points = abort_at_each("tok_ok", 201, &["journal.before-flush", "journal.after-flush"]);
    assert!(points >= 4, "{points} flushes");
}

#[test]
fn abort_around_each_commit() {
    let points = abort_at_each("tok_ok", 201, &["sql.before-commit", "sql.after-commit"]);
    // Seat, charge, record, and the notice that is published; each before and after.
    assert!(points >= 8, "{points} commits");
}

#[test]
fn abort_around_each_message() {
    let names = ["messages.record-written", "messages.before-flush", "messages.after-flush"];
    let points = abort_at_each("tok_ok", 201, &names);
    assert!(points >= 3, "{points} messages");
}

#[test]
fn abort_after_each_journal_record_of_a_saga_that_is_undone() {
    let points = abort_at_each("tok_declined", 402, &["journal.record-written"]);
    assert!(points >= 6, "{points} records: is the seat not given back by a step?");
}

#[test]
fn abort_around_each_commit_of_a_saga_that_is_undone() {
    let points = abort_at_each("tok_declined", 402, &["sql.before-commit", "sql.after-commit"]);
    // Seat and release.
    assert!(points >= 4, "{points} commits");
}

#[test]
fn abort_after_each_journal_record_of_a_step_that_is_retried() {
    let points = abort_at_each("tok_flaky", 201, &["journal.record-written"]);
    assert!(points >= 7, "{points} records");
}
