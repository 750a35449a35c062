//! A published course and students for it, made with tokens of the test's own: for tests that are not about accounts.

use serde_json::{Value, json};

use crate::http::{Client, Request};
use crate::platform::Platform;
use crate::tokens::Token;
use crate::wait::eventually;

/// Describes a course and publishes it; answers its id.
///
/// # Panics
/// If that is refused.
#[must_use]
pub fn publish(platform: &Platform, capacity: u32, price: u32) -> String {
    let teacher = platform.token(&Token::of(&student_id(0xfe_ac4e4), "teacher"));
    let course =
        json!({"code": "CS-101", "title": "Compilers", "capacity": capacity, "price": price, "currency": "EUR"});
    let course = platform.post("/api/courses", &course).token(&teacher).send().expect(201);
    let id = course["id"].as_str().expect("an id").to_owned();
    let _ = platform.post(&format!("/api/courses/{id}/publish"), &json!({})).token(&teacher).send().expect(200);
    id
}

/// Waits until nothing of [`publish`] is on its way any more: admins have been told. For hosts that are stopped next.
///
/// # Panics
/// If that does not happen.
pub fn settle(platform: &Platform) {
    let admin = platform.token(&Token::of(&student_id(0xad), "admin"));
    eventually("admins are told of the course", || {
        let told = platform.get("/api/notifications").token(&admin).send().expect(200);
        if told["items"][0].is_object() { Ok(()) } else { Err(told) }
    });
}

/// The id of a student of that number.
#[must_use]
pub fn student_id(number: u32) -> String {
    format!("018f0000-0000-7000-8000-0000{number:08x}")
}

/// A request to enroll that may be repeated under its key, and waits for the outcome.
#[must_use]
pub fn enroll<'a>(client: &'a Client, course: &str, student_token: &str, key: &str, payment: &str) -> Request<'a> {
    let body: Value = json!({"payment": {"provider": "sandbox", "token": payment}});
    client
        .post(&format!("/api/courses/{course}/enroll"), &body)
        .token(student_token)
        .header("prefer", "wait=30")
        .header("idempotency-key", key)
}
