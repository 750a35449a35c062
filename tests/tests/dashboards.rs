//! Dashboards while functions behind them fail or are slow on purpose: the part is null and named, the rest is served.

use std::time::Instant;

use serde_json::{Value, json};
use weft_tests::people;
use weft_tests::platform::Platform;
use weft_tests::wait::eventually;

/// A call, the parts that are made of it, and the members of the answer that stay.
const PARTS: [(&str, &[&str], &[&str]); 4] = [
    // Whose results are shown follows from the enrollments.
    ("enrollment-records", &["enrollments", "results"], &["courses", "notifications", "recommendations"]),
    ("assessment-tallies", &["results"], &["courses", "enrollments", "notifications", "recommendations"]),
    ("notifications-inbox", &["notifications"], &["courses", "enrollments", "recommendations", "results"]),
    ("analytics-suggestions", &["recommendations"], &["courses", "enrollments", "notifications", "results"]),
];

fn weft(platform: &Platform, arguments: &[&str]) {
    let (status, _, stderr) = platform.weft(arguments);
    assert!(status.success(), "{arguments:?}: {stderr}");
}

/// A student who is in a course.
fn enrolled(platform: &Platform) -> String {
    let admin = people::admin(platform);
    let ada = people::register(platform, "ada", "student");
    let course = json!({ "code": "CS-101", "title": "Compilers", "capacity": 5 });
    let course = platform.post("/api/courses", &course).token(&admin.token).send().expect(201);
    let id = course["id"].as_str().expect("an id");
    let _ = platform.post(&format!("/api/courses/{id}/publish"), &json!({})).token(&admin.token).send().expect(200);
    let enroll = platform.post(&format!("/api/courses/{id}/enroll"), &json!({})).token(&ada.token);
    let _ = enroll.header("prefer", "wait=10").send().expect(201);
    ada.token
}

fn parts_in_error(dashboard: &Value) -> Vec<&str> {
    let errors = dashboard["errors"].as_array().expect("errors");
    errors.iter().filter_map(|error| error["part"].as_str()).collect()
}

#[test]
fn a_part_that_fails_leaves_the_rest() {
    let platform = Platform::start();
    let token = enrolled(&platform);
    let ask = |client: &str| platform.get(&format!("/api/dashboard/{client}")).token(&token).send().expect(200);
    eventually("all parts are there", || {
        let (web, mobile) = (ask("web"), ask("mobile"));
        let is_whole = web["errors"] == json!([]) && mobile["errors"] == json!([]);
        if is_whole { Ok(()) } else { Err(format!("{web} {mobile}")) }
    });
    for (callee, parts, rest) in PARTS {
        for client in ["web", "mobile"] {
            let caller = format!("dashboards-{client}");
            weft(&platform, &["chaos", "add", "--callee", callee, "--caller", &caller, "--abort", "unavailable"]);
            let dashboard = ask(client);
            assert_eq!(parts_in_error(&dashboard), parts, "{dashboard}");
            let error = &dashboard["errors"][0];
            assert_eq!((&error["type"], &error["retry"]), (&json!("urn:weft:problem:unavailable"), &json!(true)));
            assert!(!error.to_string().contains(callee), "nothing of the inside: {error}");
            assert!(parts.iter().all(|part| dashboard[*part].is_null()), "{dashboard}");
            for member in rest.iter().filter(|member| client == "web" || **member != "courses") {
                assert!(!dashboard[*member].is_null(), "{callee} {client}: {member} of {dashboard}");
            }
            weft(&platform, &["chaos", "clear"]);
        }
    }
    // Three parts lean on the catalogue: of one, the titles alone are missing.
    weft(
        &platform,
        &["chaos", "add", "--callee", "courses-catalog", "--caller", "dashboards-web", "--abort", "unavailable"],
    );
    let web = ask("web");
    assert_eq!(parts_in_error(&web), ["titles", "results", "courses"], "{web}");
    assert_eq!((&web["enrollments"][0]["status"], &web["enrollments"][0]["title"]), (&json!("active"), &Value::Null));
    weft(&platform, &["chaos", "clear"]);
    eventually("what failed is back", || {
        let web = ask("web");
        if web["errors"] == json!([]) { Ok(()) } else { Err(web) }
    });
}

#[test]
fn results_are_those_of_the_courses_that_one_is_in() {
    let platform = Platform::start();
    let token = enrolled(&platform);
    let mut submitted = 0;
    for (course, score) in
        [("CS-101", json!(30)), ("CS-101", json!(80)), ("CS-101", Value::Null), ("CS-999", json!(100))]
    {
        submitted += 1;
        let data = json!({
            "student_id": "1", "assessment_id": submitted.to_string(), "course": course, "submitted_day": 1,
            "banked": false, "score": score,
        });
        let (data, id) = (data.to_string(), format!("submission-{submitted}"));
        let publish = ["events", "publish", "assessment.submitted", &data, "--type", "education.assessment.submitted"];
        weft(&platform, &[&publish[..], &["--id", &id, "--key", course]].concat());
    }
    let ask = |client: &str| platform.get(&format!("/api/dashboard/{client}")).token(&token).send().expect(200);
    eventually("the results are counted", || {
        let (web, mobile) = (ask("web"), ask("mobile"));
        let course = &web["enrollments"][0]["course_id"];
        let whole = json!([{ "course_id": course, "submitted": 3, "scored": 2, "average": 55.0, "passed": 1 }]);
        let short = json!([{ "course_id": course, "average": 55.0 }]);
        if web["results"] == whole && mobile["results"] == short { Ok(()) } else { Err(format!("{web} {mobile}")) }
    });
}

#[test]
fn a_part_that_is_slow_holds_nobody_up() {
    let platform = Platform::start();
    let token = enrolled(&platform);
    // Longer than the route may take: without a time of its own, this part would be the end of the whole.
    weft(
        &platform,
        &["chaos", "add", "--callee", "notifications-inbox", "--caller", "dashboards-mobile", "--delay", "30s"],
    );
    let asked = Instant::now();
    let mobile = platform.get("/api/dashboard/mobile").token(&token).send().expect(200);
    let slow = mobile["errors"].as_array().expect("errors").iter().find(|error| error["part"] == "notifications");
    assert_eq!(slow.map(|error| &error["type"]), Some(&json!("urn:weft:problem:deadline-exceeded")), "{mobile}");
    assert_eq!(mobile["notifications"], Value::Null);
    assert_eq!(mobile["enrollments"][0]["title"], "Compilers", "{mobile}");
    assert!(asked.elapsed().as_secs() < 5, "{:?}", asked.elapsed());
}
