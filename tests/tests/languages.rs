//! Functions of the education application that are written in other languages: text messages in JavaScript, the ranking
//! of recommendations in Python. What they answer, and that the application does without them.

use serde_json::{Value, json};
use weft_tests::course::{enroll, publish, student_id};
use weft_tests::platform::{Options, Platform};
use weft_tests::sagas::manifest_with;
use weft_tests::skip;
use weft_tests::text_gateway::TextGateway;
use weft_tests::tokens::Token;
use weft_tests::wait::eventually;

const SMS: &str = "notifications_sms";
const RANKING: &str = "analytics_recommendations";

fn student(platform: &Platform, number: u32) -> String {
    platform.token(&Token::of(&student_id(number), "student"))
}

/// Enrolls in a course of its own, and answers what the student is told of it in the end.
fn told_of_enrolling(platform: &Platform, number: u32) -> Value {
    let token = student(platform, number);
    let course = publish(platform, 5, 0);
    let _ = enroll(platform.client(), &course, &token, &format!("enroll-{number}"), "tok_ok").send().expect(201);
    eventually("the student is told", || {
        let told = platform.get("/api/notifications").token(&token).send().expect(200);
        if told["items"][0].is_object() { Ok(told["items"][0].clone()) } else { Err(told) }
    })
}

fn wants_texts(platform: &Platform, number: u32, telephone: &str) {
    let body = json!({ "sms": { "number": telephone } });
    let set = platform.request("PUT", "/api/notifications/preferences").token(&student(platform, number)).json(&body);
    let _ = set.send().expect(200);
}

#[test]
fn a_channel_in_javascript_sends_to_who_wants_it() {
    if skip::without(SMS) {
        return;
    }
    let gateway = TextGateway::start();
    let platform = Platform::start_with(&Options::default().env("SPIN_VARIABLE_SMS_GATEWAY", gateway.url()));
    for number in 1..=4 {
        wants_texts(&platform, number, &format!("+43 664 123456{number}"));
    }
    let sent = told_of_enrolling(&platform, 1);
    assert_eq!(sent["sms"], json!({ "status": "sent", "detail": "text-1", "parts": 1 }), "{sent}");
    let taken = gateway.taken();
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_eq!(taken[0].request, "POST /messages HTTP/1.1");
    let text = "You are enrolled in Compilers. See you there!";
    assert_eq!(taken[0].message, json!({ "to": "+436641234561", "text": text, "parts": 1 }));
    assert!(!taken[0].key.is_empty(), "the gateway can know what comes twice");

    gateway.refuse(422, json!({ "reason": "the number is barred" }));
    let refused = told_of_enrolling(&platform, 2);
    assert_eq!(refused["sms"], json!({ "status": "refused", "detail": "the number is barred", "parts": 0 }));

    gateway.refuse(503, json!({}));
    let unavailable = told_of_enrolling(&platform, 3);
    assert_eq!(unavailable["sms"]["status"], "unavailable", "{unavailable}");

    // The deadline of the function passes: its caller knows no more than that.
    gateway.fall_silent();
    let late = told_of_enrolling(&platform, 4);
    assert_eq!(late["sms"]["status"], "unavailable", "{late}");
    let detail = late["sms"]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("notifications-sms did not answer in time"), "{late}");

    // Who has not asked for it is told in the application alone.
    let quiet = told_of_enrolling(&platform, 5);
    assert_eq!(quiet["sms"], Value::Null);
    assert_eq!(gateway.taken().len(), 4);
    assert!(platform.log().lines().all(|line| !line.contains("ERROR")), "{}", platform.log());
}

#[test]
fn a_gateway_that_is_not_reached_or_not_granted_is_unavailable() {
    if skip::without(SMS) {
        return;
    }
    let line = "allowed_outbound_hosts = [\"{{ sms_gateway }}\"]\nvariables = { sms_gateway = \"{{ sms_gateway }}\" }\ndeadline_ms";
    let instead = "allowed_outbound_hosts = []\nvariables = { sms_gateway = \"{{ sms_gateway }}\" }\ndeadline_ms";
    let gateway = TextGateway::start();
    let manifest = manifest_with(line, instead);
    let options = Options { manifest: manifest.path().to_owned(), ..Options::default() };
    let platform = Platform::start_with(&options.env("SPIN_VARIABLE_SMS_GATEWAY", gateway.url()));
    wants_texts(&platform, 1, "+436641234561");
    assert_eq!(told_of_enrolling(&platform, 1)["sms"]["status"], "unavailable");
    assert!(gateway.taken().is_empty());
}

#[test]
fn without_the_components_of_other_languages_the_rest_goes_on() {
    let built = |component: &str| format!("components/target/wasm32-wasip2/release/{component}.wasm");
    let absent = |component: &str| (built(component), built(&format!("not_{component}")));
    let (line, instead) = absent(SMS);
    let without_sms = manifest_with(&line, &instead);
    let text = std::fs::read_to_string(without_sms.path()).expect("the manifest was written");
    let (line, instead) = absent(RANKING);
    std::fs::write(without_sms.path(), text.replacen(&line, &instead, 1)).expect("the manifest can be written");
    let platform = Platform::start_with(&Options { manifest: without_sms.path().to_owned(), ..Options::default() });
    for component in ["notifications-sms", "analytics-recommendations"] {
        let said = |line: &str| line.contains("WARN") && line.contains("not built") && line.contains(component);
        assert!(platform.log().lines().any(said), "{}", platform.log());
    }

    let told = told_of_enrolling(&platform, 1);
    assert_eq!((&told["kind"], &told["sms"]), (&json!("enrollment.enrolled"), &Value::Null));
    let body = json!({ "sms": { "number": "+436641234567" } });
    let token = student(&platform, 2);
    let set = platform.request("PUT", "/api/notifications/preferences").token(&token).json(&body).send();
    assert_eq!(set.status, 503, "{}", set.text());

    let recommended = platform.get("/api/recommendations").token(&token).send().expect(200);
    assert_eq!(recommended["ranked"], false, "{recommended}");
    assert_eq!(recommended["items"][0]["title"], "Compilers");
    assert_eq!(recommended["items"][0].get("score"), None);
}
