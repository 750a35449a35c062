//! The sagas that ship beside the enrollment: their last step fails once and everything is undone, what is repeated is
//! answered out of its record, nothing lands after its compensation, and an event that comes again does nothing again.

use serde_json::{Value, json};
use weft_tests::course::{publish, student_id};
use weft_tests::http::Response;
use weft_tests::people::PASSWORD;
use weft_tests::platform::{Options, Platform};
use weft_tests::sagas::{CREATE_COURSE, PROCESS_CONTENT, REGISTER, invoke, manifest_with, only, steps};
use weft_tests::tokens::Token;
use weft_tests::wait::eventually;

/// A host on which whoever has the line may publish to other topics alone: it starts, and the publish is refused.
fn without_topics(line: &str) -> Platform {
    let manifest = manifest_with(line, "topics = [\"nothing.of.this\"]");
    Platform::start_with(&Options { manifest: manifest.path().to_owned(), ..Options::default() })
}

fn teacher(platform: &Platform) -> String {
    platform.token(&Token::of(&student_id(0xfe_ac4e4), "teacher"))
}

fn admin(platform: &Platform) -> String {
    platform.token(&Token::of(&student_id(0xad), "admin"))
}

fn add_content(platform: &Platform, course: &str, text: &str, form: &str) -> Response {
    let body = json!({"title": "Parsing", "kind": "article", "text": text, "form": form});
    let request = platform.post(&format!("/api/courses/{course}/contents"), &body).token(&teacher(platform));
    request.header("prefer", "wait=30").send()
}

fn contents(platform: &Platform, course: &str) -> Vec<Value> {
    let page = platform.get(&format!("/api/courses/{course}/contents")).token(&teacher(platform)).send().expect(200);
    page["items"].as_array().expect("items").clone()
}

/// Kinds of what somebody has been told.
fn told(platform: &Platform, token: &str) -> Vec<String> {
    let page = platform.get("/api/notifications").token(token).send().expect(200);
    let items = page["items"].as_array().expect("items").iter();
    items.map(|item| item["kind"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Hands an event to a subscription, as the host does.
fn deliver(platform: &Platform, component: &str, subscription: &str, event: &Value) -> Result<String, String> {
    let data: Vec<u8> = event["data"].to_string().into_bytes();
    let mut whole = json!({
        "source": "test", "time": "2026-11-20T08:15:00Z", "traceparent": null, "correlation-id": null,
        "type": "education.test", "data": data,
    });
    for key in ["id", "topic", "subject", "correlation-id"] {
        whole[key] = event[key].clone();
    }
    let delivery = json!([{"event": whole, "attempt": 1, "subscription": subscription}]);
    invoke(platform, component, "weft:messaging/handler@0.1.0#handle", &delivery)
}

#[test]
fn a_course_that_admins_cannot_be_told_of_is_not_made() {
    let platform = without_topics("topics = [\"courses.course-created\", \"courses.creation-undone\"]");
    let course = json!({"code": "CS-101", "title": "Compilers", "capacity": 1});
    let answer = platform.post("/api/courses", &course).token(&teacher(&platform)).send();
    assert!(answer.status >= 500, "{}", answer.text());
    let saga = only(&platform, CREATE_COURSE, &teacher(&platform));
    assert_eq!(saga["status"], "compensated", "{saga}");
    let steps = steps(&saga);
    assert_eq!(steps[..4], ["do create", "do process-media", "do index", "do notify-admins"]);
    assert!(steps.ends_with(&["undo index", "undo process-media", "undo create"].map(str::to_owned)), "{steps:?}");
    // Nothing lands after its compensation.
    let key = format!("{}/create#1", saga["id"].as_str().expect("an id"));
    let draft = json!({
        "code": "CS-101", "title": "Compilers", "description": "", "capacity": 1, "price": 0, "currency": null,
        "prerequisites": [],
    });
    let create = json!([key, student_id(7), student_id(0xfe_ac4e4), draft]);
    let late = invoke(&platform, "courses-records", "education:courses/records@1.0.0#create", &create);
    assert!(late.as_ref().is_err_and(|refused| refused.contains("revoked")), "{late:?}");
}

#[test]
fn an_account_that_cannot_be_welcomed_is_not_made() {
    let platform = without_topics("topics = [\"identity.user-registered\", \"identity.registration-undone\"]");
    let account = json!({"email": "ada@example.com", "password": PASSWORD, "name": "Ada"});
    let answer = platform.post("/api/auth/register", &account).send();
    assert!(answer.status >= 500, "{}", answer.text());
    let saga = only(&platform, REGISTER, &admin(&platform));
    assert_eq!(saga["status"], "compensated", "{saga}");
    let steps = steps(&saga);
    assert_eq!(steps[..2], ["do create-account", "do welcome-mail"]);
    assert_eq!(steps.last().map(String::as_str), Some("undo create-account"));
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    assert_eq!(platform.post("/api/auth/login", &login).send().status, 401);
}

#[test]
fn a_registration_is_welcomed_and_counted() {
    let platform = Platform::start();
    let account = json!({"email": "ada@example.com", "password": PASSWORD, "name": "Ada"});
    let account = platform.post("/api/auth/register", &account).send().expect(201);
    let saga = only(&platform, REGISTER, &admin(&platform));
    assert_eq!(steps(&saga), ["do create-account", "do welcome-mail", "do track"]);
    // The sign-up of that account is there: another one is refused, but what its step repeats is answered.
    let key = format!("{}/track#1", saga["id"].as_str().expect("an id"));
    let track = "education:identity/sign-ups@1.0.0#track";
    invoke(&platform, "identity-sign-ups", track, &json!([key, account["id"]])).expect("the recorded one");
    let again = invoke(&platform, "identity-sign-ups", track, &json!(["another", account["id"]]));
    assert!(again.is_err(), "{again:?}");
    invoke(&platform, "identity-sign-ups", "education:identity/sign-ups@1.0.0#untrack", &json!([key])).expect("undone");
    invoke(&platform, "identity-sign-ups", track, &json!(["another", account["id"]])).expect("there is room again");
}

#[test]
fn content_that_cannot_be_announced_leaves_nothing_behind() {
    let granted = r#"topics = ["content.published", "content.withdrawn", "content.failed", "education.content.*"]"#;
    let platform = without_topics(granted);
    let course = publish(&platform, 1, 0);
    let answer = add_content(&platform, &course, "A parser reads tokens.", "orchestrated");
    assert!(answer.status >= 500, "{}", answer.text());
    let saga = only(&platform, PROCESS_CONTENT, &teacher(&platform));
    assert_eq!(saga["status"], "compensated", "{saga}");
    let steps = steps(&saga);
    assert_eq!(steps[..4], ["do upload", "do process", "do index", "do notify"]);
    assert!(steps.ends_with(&["undo index", "undo process", "undo upload"].map(str::to_owned)), "{steps:?}");
    assert_eq!(contents(&platform, &course), Vec::<Value>::new());
    let key = format!("{}/process#1", saga["id"].as_str().expect("an id"));
    let late = invoke(&platform, "content-results", "education:content/results@1.0.0#process", &json!([key, "x"]));
    assert!(late.as_ref().is_err_and(|refused| refused.contains("revoked")), "{late:?}");
}

#[test]
fn a_repeated_step_of_content_answers_what_is_recorded() {
    let platform = Platform::start();
    let course = publish(&platform, 1, 0);
    let summary = add_content(&platform, &course, "A parser reads tokens.", "orchestrated").expect(201);
    let saga = only(&platform, PROCESS_CONTENT, &teacher(&platform));
    let (id, content) = (saga["id"].as_str().expect("an id"), &summary["content_id"]);
    let step = |name: &str| format!("{id}/{name}#1");
    let results = "education:content/results@1.0.0#process";
    let again = invoke(&platform, "content-results", results, &json!([step("process"), content])).expect("the record");
    assert!(again.contains("A parser reads tokens."), "{again}");
    let index = "education:content/index@1.0.0#index";
    invoke(&platform, "content-index", index, &json!([step("index"), content])).expect("the record");
    let notify = "education:content/notices@1.0.0#notify";
    invoke(&platform, "content-notices", notify, &json!([step("notify"), content, id])).expect("the record");
    // Another input under the same key is no repetition.
    let other = invoke(&platform, "content-results", results, &json!([step("process"), student_id(1)]));
    assert!(other.is_err(), "{other:?}");

    // Published: told once, and taken back with the compensation of the step that told it.
    eventually("its author is told", || match told(&platform, &teacher(&platform)) {
        told if told == ["content.published"] => Ok(()),
        other => Err(other),
    });
    let withdraw = "education:content/notices@1.0.0#withdraw";
    invoke(&platform, "content-notices", withdraw, &json!([step("notify"), content, id])).expect("it is undone");
    assert_eq!(contents(&platform, &course)[0]["status"], "uploaded");
    eventually("it is taken back", || match told(&platform, &teacher(&platform)) {
        told if told.is_empty() => Ok(()),
        other => Err(other),
    });
}

#[test]
fn an_event_that_comes_again_does_nothing_again() {
    let platform = Platform::start();
    let course = publish(&platform, 1, 0);
    let run = add_content(&platform, &course, "A parser reads tokens.", "choreographed").expect(202);
    let run = run["saga_id"].as_str().expect("an id");
    let show = || platform.get(&format!("/api/sagas/{run}")).token(&teacher(&platform)).send().expect(200);
    let completed = eventually("the run completes", || match show() {
        saga if saga["status"] == "completed" => Ok(saga),
        other => Err(other),
    });
    let content = &completed["result"]["content_id"];
    let data = json!({
        "content_id": content, "course_id": course, "author_id": student_id(0xfe_ac4e4), "content_title": "Parsing",
    });
    let failed = json!({
        "id": "by-hand", "topic": "content.failed", "subject": content, "correlation-id": run, "data": data,
    });
    deliver(&platform, "content-uploads", "delete-upload", &failed).expect("it is taken back");
    assert_eq!(contents(&platform, &course), Vec::<Value>::new());
    let after = show();
    assert_eq!(after["status"], "compensated");
    deliver(&platform, "content-uploads", "delete-upload", &failed).expect("a redelivery is taken");
    assert_eq!(show(), after);
    // An event without a correlation id is of no run, and never will be.
    let stray = json!({
        "id": "stray", "topic": "content.processed", "subject": content, "correlation-id": null, "data": data,
    });
    let refused = deliver(&platform, "content-index", "index", &stray);
    assert!(refused.as_ref().is_err_and(|why| why.contains("reject")), "{refused:?}");
}

#[test]
fn what_is_told_twice_is_written_once_and_taken_back() {
    let platform = Platform::start();
    let admin = admin(&platform);
    let subject = student_id(3);
    let data = json!({"course_id": subject, "course_title": "Compilers", "teacher_id": student_id(1)});
    let event = |id: &str, topic: &str| json!({"id": id, "topic": topic, "subject": subject, "data": data});
    let created = event("created", "courses.course-created");
    for _ in 0..2 {
        deliver(&platform, "notifications-deliver", "tell-of-courses", &created).expect("it is taken");
        assert_eq!(told(&platform, &admin), ["courses.course-created"]);
    }
    assert_eq!(told(&platform, &teacher(&platform)), Vec::<String>::new());
    let undone = event("undone", "courses.creation-undone");
    for _ in 0..2 {
        deliver(&platform, "notifications-deliver", "tell-of-courses", &undone).expect("it is taken");
        assert_eq!(told(&platform, &admin), Vec::<String>::new());
    }
}

#[test]
fn the_largest_text_is_processed_and_a_word_more_is_refused() {
    // 400,000 bytes and 50,000 words, with as many escapes in JSON as there may be.
    let largest = "\"aaaaaa\n".repeat(50_000);
    let too_long = "a ".repeat(50_001);
    let platform = Platform::start();
    let course = publish(&platform, 1, 0);
    let summary = add_content(&platform, &course, &largest, "orchestrated").expect(201);
    assert_eq!((&summary["words"], &summary["minutes"]), (&json!(50_000), &json!(250)));
    assert_eq!(add_content(&platform, &course, &format!("{largest}\n"), "orchestrated").status, 422);
    let refused = add_content(&platform, &course, &too_long, "orchestrated").expect(422);
    assert_eq!(refused["type"], "urn:weft:problem:unusable-content", "{refused}");

    for (text, status) in [(&largest, "completed"), (&too_long, "compensated")] {
        let run = add_content(&platform, &course, text, "choreographed").expect(202);
        let status_url = run["status_url"].as_str().expect("an address");
        eventually("the run ends", || {
            let run = platform.get(status_url).token(&teacher(&platform)).send().expect(200);
            if run["status"] == status { Ok(()) } else { Err(run) }
        });
    }
    let words: Vec<Value> = contents(&platform, &course).iter().map(|content| content["words"].clone()).collect();
    assert_eq!(words, [50_000, 50_000]);
}
