//! Events as an operator has them in hand on the real host: published, followed, looked up; dead letters shown, changed,
//! delivered again; subscriptions paused and moved; schemas that refuse what does not fit, from the command line, from a
//! function and at a deploy. Every action is in the audit log.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::wait::eventually;

const STUDENT: &str = "019b0000-0000-7000-8000-000000000001";

fn options() -> Options {
    Options { manifest: repository::root().join("tests/applications/events/spin.toml"), ..Options::default() }
}

/// Runs a command that has to succeed; what it prints.
fn weft(platform: &Platform, arguments: &[&str]) -> String {
    let (status, stdout, stderr) = platform.weft(arguments);
    assert!(status.success(), "{arguments:?}: {stdout}{stderr}");
    stdout
}

/// Runs a command that has to fail with this code; what it says.
fn refused(platform: &Platform, code: i32, arguments: &[&str]) -> String {
    let (status, stdout, stderr) = platform.weft(arguments);
    assert_eq!(status.code(), Some(code), "{arguments:?}: {stdout}{stderr}");
    format!("{stdout}{stderr}")
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn publish(platform: &Platform, topic: &str, kind: &str, data: &Value, id: &str) {
    let data = data.to_string();
    let printed = weft(platform, &["events", "publish", topic, &data, "--type", kind, "--id", id]);
    assert_eq!(printed.trim_end(), id);
}

fn subscription(platform: &Platform) -> Value {
    let list = parsed(&weft(platform, &["subscriptions", "list", "--json"]));
    list.as_array().unwrap().iter().find(|one| one["id"] == "deliver/tell").expect("it is served").clone()
}

/// At least so many: after a kill, what was handled just before it comes again.
fn wait_for_delivered(platform: &Platform, count: u64) {
    eventually("the events are handled", || {
        let one = subscription(platform);
        if one["delivered"].as_u64() >= Some(count) && one["lag"] == 0 { Ok(()) } else { Err(one) }
    });
}

fn history(platform: &Platform, asked: &[&str]) -> Vec<Value> {
    let printed = weft(platform, &[&["events", "history", "--json"], asked].concat());
    printed.lines().map(parsed).collect()
}

fn audit(platform: &Platform) -> Vec<(String, String, bool)> {
    let entries = weft(platform, &["audit", "--json"]);
    let word = |entry: &Value, name: &str| entry[name].as_str().expect("text").to_owned();
    let entries = entries.lines().map(parsed);
    entries.map(|entry| (word(&entry, "action"), word(&entry, "detail"), entry["outcome"] == "done")).collect()
}

#[test]
fn a_poison_message_is_found_mended_and_handled() {
    let mut platform = Platform::start_with(&options());
    let enrolled = |student: &str| json!({ "enrollment_id": "e", "student_id": student, "course_title": "Rust" });
    publish(&platform, "enrollment.enrolled", "enrolled", &enrolled("nobody"), "poison");
    publish(&platform, "enrollment.enrolled", "enrolled", &enrolled(STUDENT), "good");
    wait_for_delivered(&platform, 1);
    let letters = parsed(&weft(&platform, &["dlq", "list", "--subscription", "deliver/tell", "--json"]));
    assert_eq!(letters.as_array().map(Vec::len), Some(1), "{letters}");
    let letter = &letters[0];
    assert_eq!((&letter["event"]["id"], &letter["event"]["data"]), (&json!("poison"), &Value::Null));
    assert!(letter["error"].as_str().unwrap().contains("is not a UUID"), "{letter}");
    let id = letter["id"].to_string();
    let shown = weft(&platform, &["dlq", "show", &id]);
    assert!(shown.contains("deliver/tell") && shown.contains("\"student_id\": \"nobody\""), "{shown}");
    assert_eq!(weft(&platform, &["dlq", "list"]).lines().count(), 2);

    assert!(refused(&platform, 2, &["dlq", "edit", &id, "{"]).contains("not JSON"));
    assert!(refused(&platform, 1, &["dlq", "edit", "99", "1"]).contains("no dead letter 99"));
    let editor = platform.data().join("editor.sh");
    fs::write(&editor, format!("sed -i s/nobody/{STUDENT}/ \"$1\"")).unwrap();
    let edited = weft_with(&platform, &["dlq", "edit", &id, "--reason", "a typo"], &editor);
    assert!(edited.contains(&format!("weft dlq replay --id {id}")), "{edited}");
    // What was changed is durable when it is answered.
    platform.kill();
    platform.run(&options()).expect("the host starts again");
    assert_eq!(parsed(&weft(&platform, &["dlq", "show", &id, "--json"]))["event"]["data"]["student_id"], STUDENT);
    assert!(weft(&platform, &["dlq", "replay", "--id", &id]).contains("1 dead letter delivered again"));
    wait_for_delivered(&platform, 1);
    eventually("the dead letter is gone", || {
        let letters = parsed(&weft(&platform, &["dlq", "list", "--json"]));
        if letters == json!([]) { Ok(()) } else { Err(letters) }
    });
    assert!(refused(&platform, 1, &["dlq", "replay", "--id", &id]).contains("no dead letter"));
    assert!(weft(&platform, &["dlq", "purge", "--all"]).contains("0 dead letters forgotten"));
    let actions: Vec<_> =
        audit(&platform).into_iter().map(|(action, detail, done)| format!("{action} {detail} {done}")).collect();
    let letter = format!("dead letter {id}");
    let expected = [
        "publish 1 event to enrollment.enrolled true".to_owned(),
        "publish 1 event to enrollment.enrolled true".to_owned(),
        "dlq edit dead letter 99 false".to_owned(),
        format!("dlq edit {letter} true"),
        format!("dlq replay {letter} true"),
        format!("dlq replay {letter} false"),
        "dlq purge all dead letters true".to_owned(),
    ];
    assert_eq!(actions, expected);
}

/// A command with an editor.
fn weft_with(platform: &Platform, arguments: &[&str], editor: &Path) -> String {
    let output = command(platform, arguments)
        .env_remove("VISUAL")
        .env("EDITOR", format!("sh {}", editor.display()))
        .output()
        .expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn command(platform: &Platform, arguments: &[&str]) -> Command {
    let mut command = Command::new(repository::weft());
    command.args(arguments).arg("--data").arg(platform.data());
    command
}

#[test]
fn events_are_followed_and_found_again() {
    let platform = Platform::start_with(&options());
    let placed = |number: u32| json!({ "order_id": number.to_string(), "cents": number });
    publish(&platform, "order.placed", "order.placed", &placed(1), "1");
    let mut tail = command(&platform, &["events", "tail", "order.#", "--from", "earliest", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command runs");
    let mut lines = BufReader::new(tail.stdout.take().expect("its output")).lines();
    let mut next = || parsed(&lines.next().expect("a line").expect("text"))["event"]["id"].clone();
    assert_eq!(next(), "1");
    publish(&platform, "other.topic", "other", &json!(null), "not shown");
    let file = platform.data().join("events.jsonl");
    let line = |number: u32| json!({ "topic": "order.placed", "type": "order.placed", "id": number.to_string(), "data": placed(number) });
    fs::write(&file, (2..=5).map(|number| format!("{}\n", line(number))).collect::<String>()).unwrap();
    let file = file.to_str().expect("UTF-8");
    assert!(weft(&platform, &["events", "publish", "--lines", file]).contains("4 events published"));
    // The same ids again are the same events.
    weft(&platform, &["events", "publish", "--lines", file, "--from-line", "3"]);
    for id in ["2", "3", "4", "5"] {
        assert_eq!(next(), id);
    }
    publish(&platform, "order.placed", "order.placed", &placed(6), "6");
    assert_eq!(next(), "6");
    tail.kill().expect("it runs");
    tail.wait().expect("it ends");

    let ids = |asked: &[&str]| -> Vec<String> {
        let events = history(&platform, asked);
        events.iter().map(|entry| entry["event"]["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&["--topic", "order.*"]), ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(ids(&["--topic", "order.*", "-n", "2"]), ["5", "6"]);
    assert_eq!(ids(&["--type", "other"]), ["not shown"]);
    assert_eq!(ids(&["--since", "1h", "--until", "1h"]), Vec::<String>::new());
    let fifth = history(&platform, &["-n", "2"])[0]["position"].to_string();
    assert_eq!(ids(&["--before", &fifth, "-n", "1"]), ["4"]);
    let shown = weft(&platform, &["events", "history", "-n", "1"]);
    assert!(shown.contains("order.placed order.placed id=6") && shown.contains("\"cents\":6"), "{shown}");
}

#[test]
fn a_subscription_is_held_and_moved() {
    let mut platform = Platform::start_with(&options());
    let enrolled = json!({ "student_id": STUDENT, "course_title": "Rust" });
    publish(&platform, "enrollment.enrolled", "enrolled", &enrolled, "1");
    wait_for_delivered(&platform, 1);
    weft(&platform, &["subscriptions", "pause", "deliver/tell", "--reason", "lunch"]);
    publish(&platform, "enrollment.enrolled", "enrolled", &enrolled, "2");
    platform.kill();
    platform.run(&options()).expect("the host starts again");
    let held = subscription(&platform);
    assert_eq!((&held["status"], &held["delivered"]), (&json!("paused"), &json!(0)), "{held}");
    weft(&platform, &["subscriptions", "resume", "deliver/tell"]);
    wait_for_delivered(&platform, 1);
    weft(&platform, &["subscriptions", "seek", "deliver/tell", "earliest"]);
    wait_for_delivered(&platform, 3);
    assert!(weft(&platform, &["subscriptions", "list"]).contains("deliver/tell"));
    assert!(refused(&platform, 1, &["subscriptions", "pause", "deliver/no"]).contains("there are: deliver/tell"));
    let actions: Vec<_> = audit(&platform).into_iter().filter(|(action, ..)| action != "publish").collect();
    let all = [
        ("pause", "deliver/tell", true),
        ("resume", "deliver/tell", true),
        ("seek", "deliver/tell to earliest", true),
        ("pause", "deliver/no", false),
    ];
    assert_eq!(actions, all.map(|(action, detail, done)| (format!("subscription {action}"), detail.to_owned(), done)));
}

#[test]
fn what_does_not_fit_its_schema_does_not_leave() {
    let mut platform = Platform::start_with(&options());
    let publish = ["events", "publish", "order.placed", "{\"order_id\": \"1\"}", "--type", "order.placed"];
    let told = refused(&platform, 2, &publish);
    assert!(told.contains("version 1") && told.contains("\"cents\" is a required property"), "{told}");
    let response = platform.post("/events?from=1&count=1", &json!(null)).send();
    assert_eq!(response.status, 500, "{response:?}");
    let events = history(&platform, &[]);
    assert_eq!(events, Vec::<Value>::new());

    let listed = parsed(&weft(&platform, &["schema", "list", "--json"]));
    let types: Vec<_> = listed.as_array().unwrap().iter().map(|entry| entry["type"].clone()).collect();
    assert_eq!(types, ["benched", "order.placed"]);
    let folder = tempfile::tempdir().unwrap();
    let second = folder.path().join("2.json");
    let write = |cents: &str| {
        let text = format!(
            r#"{{"type": "object", "required": ["order_id", "cents"], "properties": {{"order_id": {{"type": "string"}}, "cents": {{"type": {cents}}}}}}}"#
        );
        fs::write(&second, text).unwrap();
    };
    let file = second.to_str().unwrap().to_owned();
    write("\"string\"");
    let told = refused(&platform, 1, &["schema", "register", "order.placed", &file]);
    assert!(told.contains("the type changes from integer to string") && told.contains("/properties/cents"), "{told}");
    write("[\"integer\", \"null\"]");
    weft(&platform, &["schema", "register", "order.placed", &file, "--reason", "gifts"]);
    weft(&platform, &["schema", "mode", "order.placed", "FULL"]);
    weft(&platform, &["schema", "deprecate", "order.placed", "/properties/cents"]);
    let gift = json!({ "order_id": "1", "cents": null }).to_string();
    let publish = |version: &str| -> Vec<String> {
        let named = format!("/schemas/order.placed/{version}");
        ["events", "publish", "order.placed", &gift, "--type", "order.placed", "--dataschema", &named]
            .map(ToOwned::to_owned)
            .to_vec()
    };
    let words = |words: &'static str| publish(words);
    let second: Vec<String> = words("2");
    weft(&platform, &second.iter().map(String::as_str).collect::<Vec<_>>());
    let first: Vec<String> = words("1");
    assert!(refused(&platform, 2, &first.iter().map(String::as_str).collect::<Vec<_>>()).contains("version 1"));

    // A registered version stays, also against what is deployed: the folder still has the first alone, which is no harm.
    platform.kill();
    platform.run(&options()).expect("the host starts again");
    assert!(weft(&platform, &["schema", "show", "order.placed"]).contains("\"null\""));
    let actions: Vec<_> = audit(&platform).into_iter().filter(|(action, ..)| action.starts_with("schema")).collect();
    let done: Vec<_> = actions.iter().map(|(action, _, done)| (action.as_str(), *done)).collect();
    assert_eq!(
        done,
        [("schema register", false), ("schema register", true), ("schema mode", true), ("schema deprecate", true)]
    );
}

#[test]
fn a_deploy_that_breaks_readers_is_refused_and_explained() {
    let mut platform = Platform::start_with(&options());
    platform.stop();
    // The same application with one schema narrower.
    let folder = tempfile::tempdir().unwrap();
    let application = repository::root().join("tests/applications/events");
    let schema = folder.path().join("schemas/order.placed");
    fs::create_dir_all(&schema).unwrap();
    fs::copy(application.join("schemas/order.placed/1.json"), schema.join("1.json")).unwrap();
    let narrow = r#"{"type": "object", "properties": {"order_id": {"type": "string"}, "price": {"type": "integer", "minimum": 0}}}"#;
    fs::write(schema.join("2.json"), narrow).unwrap();
    let root = repository::root();
    let text = fs::read_to_string(application.join("spin.toml")).unwrap();
    let text = text.replace("../../../", &format!("{}/", root.display()));
    let manifest = folder.path().join("spin.toml");
    fs::write(&manifest, text).unwrap();
    let broken = Options { manifest: manifest.clone(), ..Options::default() };
    platform.run(&broken).expect_err("it is refused");
    assert!(!platform.wait().success());
    let told = platform.log();
    assert!(told.contains("the field `cents` is renamed to `price`"), "{told}");
    let manifest = manifest.to_str().unwrap();
    let told = refused(&platform, 1, &["schema", "check", "--manifest", manifest]);
    assert!(
        told.contains("order.placed/2.json") && told.contains("breaks: ") && told.contains("do: add `price`"),
        "{told}"
    );
    let told = refused(&platform, 1, &["schema", "check", "--ci", "--manifest", manifest]);
    assert!(told.contains("/schemas/order.placed/2.json:/properties/price: the field `cents` is renamed"), "{told}");
    let data = platform.data().to_str().unwrap().to_owned();
    refused(&platform, 1, &["schema", "check", "--against", &data, "--manifest", manifest]);
    platform.run(&options()).expect("the host starts as before");
    let check = ["schema", "check", "--manifest", options().manifest.to_str().unwrap()].map(ToOwned::to_owned);
    assert!(weft(&platform, &check.iter().map(String::as_str).collect::<Vec<_>>()).contains("no problems"));
    let asyncapi = ["schema", "asyncapi", "--manifest", options().manifest.to_str().unwrap()].map(ToOwned::to_owned);
    let document = parsed(&weft(&platform, &asyncapi.iter().map(String::as_str).collect::<Vec<_>>()));
    assert!(document["channels"]["bench.events"]["messages"].get("benched").is_some(), "{document}");
}
