//! Each step of the enrollment saga fails once and is repeated once: what was done before is undone, what was recorded
//! is answered and not done again, and nothing lands after its compensation.

use serde_json::{Value, json};
use weft_tests::course::{enroll, publish, student_id};
use weft_tests::invariants;
use weft_tests::platform::{Options, Platform};
use weft_tests::sagas::{self, manifest_with, steps};
use weft_tests::tokens::Token;

const KEY: &str = "steps";
const PRICE: u32 = 4_900;

struct Run {
    platform: Platform,
    course: String,
    student: String,
    token: String,
}

impl Run {
    fn start() -> Self {
        Self::start_with(&Options::default())
    }

    fn start_with(options: &Options) -> Self {
        let platform = Platform::start_with(options);
        let course = publish(&platform, 1, PRICE);
        let student = student_id(1);
        let token = platform.token(&Token::of(&student, "student"));
        Self { platform, course, student, token }
    }

    fn enroll(&self, key: &str, payment: &str) -> (u16, Value) {
        let answer = enroll(self.platform.client(), &self.course, &self.token, key, payment).send();
        (answer.status, answer.json())
    }

    /// The one saga of an enrollment that the student began.
    fn saga(&self) -> Value {
        sagas::only(&self.platform, sagas::ENROLL, &self.token)
    }

    /// Nothing is left of an enrollment that did not come to its end.
    fn check_nothing_is_left(&self) {
        let enrollments = invariants::check(&self.platform, std::slice::from_ref(&self.student));
        assert!(enrollments.iter().all(|enrollment| !enrollment.is_live()), "{enrollments:?}");
    }

    /// Calls a function by hand, as a step that arrives late would.
    fn invoke(&self, component: &str, function: &str, arguments: &Value) -> Result<String, String> {
        sagas::invoke(&self.platform, component, function, arguments)
    }
}

#[test]
fn the_first_step_fails_and_nothing_was_done() {
    let run = Run::start();
    let teacher = run.platform.token(&Token::of(&student_id(2), "teacher"));
    let needy = json!({"code": "X", "title": "X", "capacity": 1, "prerequisites": [run.course]});
    let needy = run.platform.post("/api/courses", &needy).token(&teacher).send().expect(201);
    let id = needy["id"].as_str().unwrap().to_owned();
    let _ = run.platform.post(&format!("/api/courses/{id}/publish"), &json!({})).token(&teacher).send().expect(200);
    let answer = enroll(run.platform.client(), &id, &run.token, KEY, "tok_ok").send();
    assert_eq!(answer.status, 422, "{}", answer.text());
    let saga = run.saga();
    assert_eq!(saga["status"], "compensated");
    assert_eq!(steps(&saga), ["do check-prerequisites"]);
    run.check_nothing_is_left();
}

#[test]
fn the_seat_is_refused() {
    let run = Run::start();
    let other = run.platform.token(&Token::of(&student_id(2), "student"));
    let answer = enroll(run.platform.client(), &run.course, &other, "other", "tok_ok").send();
    assert_eq!(answer.status, 201, "{}", answer.text());
    let (status, problem) = run.enroll(KEY, "tok_ok");
    assert_eq!((status, &problem["type"]), (409, &json!("urn:weft:problem:course-full")));
    let enrollments = invariants::check(&run.platform, &[run.student, student_id(2)]);
    assert_eq!(enrollments.len(), 1);
}

#[test]
fn the_charge_is_declined_and_the_seat_given_back() {
    let run = Run::start();
    let (status, _) = run.enroll(KEY, "tok_declined");
    assert_eq!(status, 402);
    let saga = run.saga();
    assert_eq!(saga["status"], "compensated");
    let expected = ["do check-prerequisites", "do reserve-seat", "do charge-payment", "undo reserve-seat"];
    assert_eq!(steps(&saga), expected);
    run.check_nothing_is_left();
}

#[test]
fn the_charge_ends_unknown_and_is_recorded_once() {
    let run = Run::start();
    let (status, enrollment) = run.enroll(KEY, "tok_timeout");
    assert_eq!(status, 201, "{enrollment}");
    let saga = run.saga();
    let charge = &saga["steps"].as_array().unwrap()[2];
    assert_eq!((&charge["name"], &charge["attempts"]), (&json!("charge-payment"), &json!(2)));
    assert_eq!(invariants::check(&run.platform, &[run.student]).len(), 1);
}

#[test]
fn the_record_is_refused_and_charge_and_seat_are_undone() {
    let run = Run::start();
    let (status, _) = run.enroll("first", "tok_ok");
    assert_eq!(status, 201);
    // The seat of a live enrollment is freed behind its back, so that the next saga gets as far as the record.
    let free = json!(["by-hand", run.course, run.student]);
    run.invoke("courses-seats", "education:courses/seats@1.0.0#free", &free).expect("the seat is freed");
    let (status, problem) = run.enroll(KEY, "tok_ok");
    assert_eq!((status, &problem["type"]), (409, &json!("urn:weft:problem:already-enrolled")));
    // The seat is taken again, as it was before the test's own interference.
    let reserve = json!(["by-hand-again", run.course, run.student]);
    run.invoke("courses-seats", "education:courses/seats@1.0.0#reserve", &reserve).expect("the seat is free");
    let enrollments = invariants::check(&run.platform, std::slice::from_ref(&run.student));
    assert_eq!(enrollments.len(), 1, "{enrollments:?}");
    let payments = run.platform.get("/api/payments").token(&run.token).send().expect(200);
    let statuses: Vec<&str> =
        payments["items"].as_array().unwrap().iter().map(|payment| payment["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["charged", "refunded"]);
}

#[test]
fn the_notice_is_refused_and_everything_is_undone() {
    // Granted another topic, it may publish, but not this.
    let granted = "topics = [\"enrollment.enrolled\", \"enrollment.cancelled\"]";
    let manifest = manifest_with(granted, "topics = [\"enrollment.elsewhere\"]");
    let options = Options { manifest: manifest.path().to_owned(), ..Options::default() };
    let run = Run::start_with(&options);
    let (status, problem) = run.enroll(KEY, "tok_ok");
    assert!(status >= 500, "{status}: {problem}");
    let saga = run.saga();
    let undone: Vec<String> = steps(&saga).into_iter().filter(|step| step.starts_with("undo")).collect();
    let wanted = ["undo create-enrollment", "undo charge-payment", "undo reserve-seat"];
    assert!(undone.ends_with(&wanted.map(str::to_owned)), "{undone:?}");
    let payments = run.platform.get("/api/payments").token(&run.token).send().expect(200);
    assert_eq!(payments["items"][0]["status"], "refunded");
    let courses = run.platform.get(&format!("/api/courses/{}", run.course)).send().expect(200);
    assert_eq!(courses["seats_taken"], 0);
    assert_eq!(invariants::enrollments(&run.platform), []);
}

#[test]
fn a_repeated_step_answers_what_is_recorded() {
    let run = Run::start();
    let (status, enrollment) = run.enroll(KEY, "tok_ok");
    assert_eq!(status, 201, "{enrollment}");
    let saga = run.saga();
    let id = saga["id"].as_str().unwrap();
    let reserve = json!([format!("{id}/reserve-seat#1"), run.course, run.student]);
    run.invoke("courses-seats", "education:courses/seats@1.0.0#reserve", &reserve).expect("the recorded seat");
    let charge = json!([format!("{id}/charge-payment#1"), {
        "student-id": run.student, "enrollment-id": enrollment["id"], "amount": PRICE, "currency": "EUR",
        "provider": "sandbox", "token": "tok_ok",
    }]);
    let answer = run.invoke("payments-charges", "education:payments/charges@1.0.0#charge", &charge);
    let answer = answer.expect("the recorded charge");
    assert!(answer.contains(enrollment["payment_id"].as_str().unwrap()), "{answer}");
    let create = json!([format!("{id}/create-enrollment#1"), {
        "id": enrollment["id"], "student-id": run.student, "course-id": run.course, "status": "active",
        "payment-id": enrollment["payment_id"],
    }]);
    run.invoke("enrollment-records", "education:enrollment/records@1.0.0#create", &create).expect("the recorded one");
    // Another amount under the same key is no repetition.
    let mut other = charge.clone();
    other[1]["amount"] = json!(1);
    let refused = run.invoke("payments-charges", "education:payments/charges@1.0.0#charge", &other);
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(invariants::check(&run.platform, &[run.student]).len(), 1);
}

#[test]
fn a_step_that_arrives_after_its_compensation_is_refused() {
    let run = Run::start();
    let (status, _) = run.enroll(KEY, "tok_declined");
    assert_eq!(status, 402);
    let saga = run.saga();
    let id = saga["id"].as_str().unwrap();
    let reserve = json!([format!("{id}/reserve-seat#1"), run.course, run.student]);
    let late = run.invoke("courses-seats", "education:courses/seats@1.0.0#reserve", &reserve);
    let refused = late.expect_err("nothing lands after its compensation");
    assert!(refused.contains("revoked"), "{refused}");
    // An undo before any do leaves a tombstone as well.
    let key = format!("{id}/charge-payment#9");
    run.invoke("payments-charges", "education:payments/charges@1.0.0#revoke", &json!([key])).expect("a tombstone");
    let charge = json!([key, {
        "student-id": run.student, "enrollment-id": student_id(9), "amount": PRICE, "currency": "EUR",
        "provider": "sandbox", "token": "tok_ok",
    }]);
    let late = run.invoke("payments-charges", "education:payments/charges@1.0.0#charge", &charge);
    assert!(late.as_ref().is_err_and(|refused| refused.contains("revoked")), "{late:?}");
    run.check_nothing_is_left();
}
