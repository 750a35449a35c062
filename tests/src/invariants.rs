//! What holds at any load and after any crash, asked over the API once nothing is running any more: seats, enrollments
//! and payments agree, and every saga has ended.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::platform::Platform;
use crate::tokens::Token;
use crate::wait::eventually;

/// An enrollment, as the admin route shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrollment {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub student: String,
    /// Of which course.
    pub course: String,
    /// `active`, `completed` or `cancelled`.
    pub status: String,
    /// What was paid for it.
    pub payment: Option<String>,
}

impl Enrollment {
    /// Whether it holds a seat and a payment.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.status != "cancelled"
    }
}

/// Waits until every saga has ended, and checks all invariants for these students and whoever else is enrolled.
///
/// # Panics
/// If one does not hold, or a saga does not end.
pub fn check(platform: &Platform, students: &[String]) -> Vec<Enrollment> {
    let sagas = settled(platform);
    let stuck: Vec<_> = sagas.iter().filter(|(_, status)| *status == "needs-attention").collect();
    assert!(stuck.is_empty(), "sagas that need attention: {stuck:?}");
    let enrollments = enrollments(platform);
    let live: Vec<&Enrollment> = enrollments.iter().filter(|enrollment| enrollment.is_live()).collect();
    seats(platform, &live);
    payments(platform, students, &live);
    enrollments
}

/// All sagas with their status, once none is on its way.
///
/// # Panics
/// If that does not happen.
#[must_use]
pub fn settled(platform: &Platform) -> BTreeMap<String, String> {
    eventually("all sagas end", || {
        let sagas = sagas(platform);
        let open = |status: &str| matches!(status, "running" | "compensating");
        let running: Vec<_> = sagas.iter().filter(|(_, status)| open(status)).map(|(id, _)| id.clone()).collect();
        if running.is_empty() { Ok(sagas) } else { Err(running) }
    })
}

/// All sagas: id and status.
///
/// # Panics
/// If the host does not list them.
#[must_use]
pub fn sagas(platform: &Platform) -> BTreeMap<String, String> {
    let mut sagas = BTreeMap::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut arguments = vec!["saga", "list", "--json", "--limit", "1000"];
        if let Some(cursor) = &cursor {
            arguments.extend(["--cursor", cursor]);
        }
        let (status, stdout, stderr) = platform.weft(&arguments);
        assert!(status.success(), "weft saga list: {stderr}");
        let page: Value = serde_json::from_str(&stdout).expect("a list in JSON");
        for saga in page["items"].as_array().expect("items") {
            sagas.insert(text(saga, "id"), text(saga, "status"));
        }
        match &page["next_cursor"] {
            Value::Null => return sagas,
            next => cursor = Some(next.to_string()),
        }
    }
}

/// All enrollments there are.
///
/// # Panics
/// If the admin route does not list them.
#[must_use]
pub fn enrollments(platform: &Platform) -> Vec<Enrollment> {
    let admin = platform.token(&Token::of("018f0000-0000-7000-8000-00000000ad01", "admin"));
    let mut found = Vec::new();
    let mut path = "/api/admin/enrollments?limit=500".to_owned();
    loop {
        let page = platform.get(&path).token(&admin).send().expect(200);
        found.extend(page["items"].as_array().expect("items").iter().map(enrollment));
        match page["next_cursor"].as_str() {
            None => {
                assert_eq!(page["total"], found.len(), "the total is not what the pages have");
                return found;
            }
            Some(cursor) => path = format!("/api/admin/enrollments?limit=500&cursor={cursor}"),
        }
    }
}

fn enrollment(item: &Value) -> Enrollment {
    Enrollment {
        id: text(item, "id"),
        student: text(item, "student_id"),
        course: text(item, "course_id"),
        status: text(item, "status"),
        payment: item["payment_id"].as_str().map(str::to_owned),
    }
}

/// Live enrollments never exceed capacity, the taken seats are theirs, and nobody holds two.
fn seats(platform: &Platform, live: &[&Enrollment]) {
    let mut by_course: BTreeMap<&str, usize> = BTreeMap::new();
    let mut holders = BTreeSet::new();
    for enrollment in live {
        *by_course.entry(&enrollment.course).or_default() += 1;
        assert!(holders.insert((&enrollment.course, &enrollment.student)), "enrolled twice: {enrollment:?}");
    }
    let courses = platform.get("/api/courses?limit=100").send().expect(200);
    for course in courses["items"].as_array().expect("items") {
        let taken = by_course.get(text(course, "id").as_str()).copied().unwrap_or(0);
        assert_eq!(course["seats_taken"], taken, "seats taken and live enrollments differ: {course}");
        assert!(course["capacity"].as_u64().expect("a number") >= taken as u64, "overbooked: {course}");
    }
}

/// Each live enrollment has exactly one charged payment, and no other payment is charged.
fn payments(platform: &Platform, students: &[String], live: &[&Enrollment]) {
    let everybody: BTreeSet<&str> =
        students.iter().map(String::as_str).chain(live.iter().map(|enrollment| enrollment.student.as_str())).collect();
    for student in everybody {
        let token = platform.token(&Token::of(student, "student"));
        let payments = platform.get("/api/payments").token(&token).send().expect(200);
        let items = payments["items"].as_array().expect("items");
        let mut charged: Vec<(String, String)> = items
            .iter()
            .filter(|payment| payment["status"] == "charged")
            .map(|payment| (text(payment, "enrollment_id"), text(payment, "id")))
            .collect();
        charged.sort();
        let own = live.iter().filter(|enrollment| enrollment.student == student);
        let mut owed: Vec<(String, String)> =
            own.map(|enrollment| (enrollment.id.clone(), enrollment.payment.clone().unwrap_or_default())).collect();
        owed.sort();
        assert_eq!(charged, owed, "charged payments and live enrollments of {student} differ: {payments}");
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key}: {value}")).to_owned()
}
