//! Push through the real host: a function pushes, clients by Server-Sent Events and by WebSocket are told, come back
//! where they were, and are refused what is not theirs.

use std::path::PathBuf;

use serde_json::{Value, json};
use weft_tests::people::register;
use weft_tests::platform::{Options, Platform};
use weft_tests::push::{Events, Socket};
use weft_tests::repository;
use weft_tests::tokens::{Sign, Token};
use weft_tests::wait::eventually;

fn options() -> Options {
    Options { manifest: repository::root().join("tests/applications/push/spin.toml"), ..Options::default() }
}

fn bearer(platform: &Platform, user: &str) -> String {
    format!("Bearer {}", platform.token(&Token::of(user, "student")))
}

fn events(platform: &Platform, user: &str, query: &str) -> Events {
    let events =
        Events::open(platform, &format!("/push/events?{query}"), &[("authorization", &bearer(platform, user))]);
    assert_eq!(events.status, 200, "{}", events.head);
    events
}

fn socket(platform: &Platform, user: &str, query: &str) -> Socket {
    Socket::open(platform, &format!("/push/ws?{query}"), &[("authorization", &bearer(platform, user))]).expect("101")
}

/// Has the function push. What it answers.
fn push(platform: &Platform, to: (&str, &str), data: impl Into<Value>) -> Value {
    let body = json!({ to.0: to.1, "kind": "told", "data": data.into() });
    platform.post("/pushes", &body).send().expect(200)
}

fn status(platform: &Platform) -> Value {
    let (status, stdout, stderr) = platform.weft(&["push", "list", "--json"]);
    assert!(status.success(), "{stderr}");
    serde_json::from_str(&stdout).expect("JSON")
}

fn data(message: &Value) -> &Value {
    &message["data"]["data"]
}

#[test]
fn a_stream_tells_what_is_pushed_and_goes_on_where_it_was() {
    let platform = Platform::start_with(&options());
    let mut ada = events(&platform, "ada", "channels=course:1,cart:ada");
    assert!(ada.head.contains("content-type: text/event-stream"), "{}", ada.head);
    let welcome = ada.expect("welcome");
    assert_eq!((&welcome["unread"], &welcome["user"], &welcome["resumed"]), (&0.into(), &"ada".into(), &false.into()));
    assert_eq!(welcome["channels"][0], json!({ "name": "course:1", "connections": 1, "users": 1 }));
    let others: Vec<Events> = (0..10).map(|_| events(&platform, "bob", "channels=course:1")).collect();
    let presence = platform.get("/presence?channel=course:1").send().expect(200);
    assert_eq!(presence, json!({ "connections": 11, "users": 2 }));

    assert_eq!(push(&platform, ("channel", "course:1"), "to all")["connections"], 11);
    let message = ada.expect("message");
    assert_eq!((data(&message), &message["channel"]), (&"to all".into(), &"course:1".into()));
    let pushed = push(&platform, ("user", "ada"), "to ada");
    let message = ada.expect("message");
    assert_eq!((&message["message"], &message["channel"]), (&pushed["id"], &"user:ada".into()));
    let seen = ada.last_id.clone().expect("an id");
    drop(ada);

    let expected: Vec<Value> = (0..30).map(Value::from).collect();
    for number in &expected {
        let to = if number.as_i64().is_some_and(|n| n % 3 == 0) { ("user", "ada") } else { ("channel", "course:1") };
        push(&platform, to, number.clone());
    }
    let query = format!("channels=course:1&last_event_id={seen}");
    let mut ada = events(&platform, "ada", &query);
    assert_eq!(ada.expect("welcome")["unread"], 11);
    let mut come: Vec<Value> = (0..30).map(|_| data(&ada.expect("message")).clone()).collect();
    come.sort_by_key(Value::as_i64);
    assert_eq!(come, expected, "exactly what was missed");
    let answer = platform
        .post("/push/read", &json!({ "through": pushed["id"] }))
        .header("authorization", &bearer(&platform, "ada"));
    assert_eq!(answer.send().expect(200), json!({ "unread": 10 }));
    assert_eq!(ada.expect("read"), json!({ "type": "read", "through": pushed["id"], "unread": 10 }));
    drop(others);
    eventually("those who have left are gone", || {
        let presence = platform.get("/presence?channel=course:1").send().expect(200);
        if presence["connections"] == 1 { Ok(()) } else { Err(presence) }
    });
}

#[test]
fn a_socket_joins_leaves_and_marks() {
    let platform = Platform::start_with(&options());
    let ticket = |user: &str| {
        let request = platform.post("/push/tickets", &json!({})).header("authorization", &bearer(&platform, user));
        request.send().expect(200)["ticket"].as_str().expect("a ticket").to_owned()
    };
    let path = format!("/push/ws?channels=course:1&ticket={}", ticket("ada"));
    let mut ada = Socket::open(&platform, &path, &[]).expect("101");
    assert_eq!(Socket::open(&platform, &path, &[]).unwrap_err(), 401, "a ticket is used once");
    let welcome = ada.expect("welcome");
    assert_eq!(welcome["user"], "ada");
    push(&platform, ("channel", "course:1"), 1);
    assert_eq!(*data(&ada.expect("message")), 1);
    ada.say(&json!({ "type": "subscribe", "channels": ["course:2"] }));
    let done = ada.expect("done");
    assert_eq!(done["channels"], json!([{ "name": "course:2", "connections": 1, "users": 1 }]));
    ada.say(&json!({ "type": "unsubscribe", "channels": ["course:1"] }));
    ada.expect("done");
    push(&platform, ("channel", "course:1"), "left");
    push(&platform, ("channel", "course:2"), "joined");
    assert_eq!(*data(&ada.expect("message")), "joined");
    ada.say(&json!({ "type": "subscribe", "channels": ["staff:1"] }));
    assert_eq!(ada.expect("error")["code"], "forbidden");
    ada.say(&json!({ "type": "presence", "channels": ["course:2"] }));
    assert_eq!(ada.expect("done")["channels"][0]["connections"], 1);
    ada.say(&json!({ "type": "ping" }));
    ada.expect("pong");
    ada.say(&json!("nonsense"));
    assert_eq!(ada.expect("error")["code"], "invalid");

    let first = push(&platform, ("user", "ada"), 1)["id"].clone();
    push(&platform, ("user", "ada"), 2);
    ada.expect("message");
    let seen = ada.expect("message")["id"].as_str().expect("an id").to_owned();
    ada.say(&json!({ "type": "read", "ids": [first] }));
    assert_eq!(ada.expect("done")["unread"], 1);
    assert_eq!(ada.expect("read")["ids"], json!([first]));
    drop(ada);
    push(&platform, ("user", "ada"), 3);
    push(&platform, ("channel", "course:2"), 4);
    let mut ada = socket(&platform, "ada", &format!("channels=course:2&last_event_id={seen}"));
    assert_eq!(ada.expect("welcome")["unread"], 2);
    let mut come = [data(&ada.expect("message")).clone(), data(&ada.expect("message")).clone()];
    come.sort_by_key(Value::as_i64);
    assert_eq!(come, [3, 4].map(Value::from));
    ada.send_binary(10);
    let close = std::iter::repeat_with(|| ada.receive()).find_map(Result::err).expect("a close");
    assert_eq!(close, (1003, "text-only".to_owned()));
}

#[test]
fn who_may_not_is_refused() {
    let platform = Platform::start_with(&options());
    let open = |headers: &[(&str, &str)], query: &str| {
        let stream = Events::open(&platform, &format!("/push/events?{query}"), headers).status;
        let socket = Socket::open(&platform, &format!("/push/ws?{query}"), headers).err().unwrap_or(200);
        assert_eq!(stream, socket, "{query}");
        stream
    };
    assert_eq!(open(&[], ""), 401);
    assert_eq!(open(&[], "ticket=0123"), 401);
    for token in [
        Token { sign: Sign::OtherKey, ..Token::of("ada", "student") },
        Token { sign: Sign::Tampered, ..Token::of("ada", "student") },
        Token { sign: Sign::None, ..Token::of("ada", "student") },
        Token { expires_in_s: -10, issued_in_s: -100, ..Token::of("ada", "student") },
    ] {
        assert_eq!(open(&[("authorization", &format!("Bearer {}", platform.token(&token)))], ""), 401, "{token:?}");
    }
    let ada = bearer(&platform, "ada");
    let as_ada: [(&str, &str); 1] = [("authorization", &ada)];
    for (query, status) in [
        ("channels=course:1", 200),
        ("channels=cart:ada", 200),
        ("channels=cart:bob", 403),
        ("channels=user:bob", 403),
        ("channels=user:ada", 403),
        ("channels=staff:1", 403),
        ("channels=anything", 403),
        ("channels=course:*", 400),
        ("last_event_id=nonsense", 400),
        ("token=x", 400),
    ] {
        assert_eq!(open(&as_ada, query), status, "{query}");
    }
    let teacher = format!("Bearer {}", platform.token(&Token::of("eve", "teacher")));
    assert_eq!(open(&[("authorization", &teacher)], "channels=staff:1"), 200);
    let from = |origin: &str| {
        let headers = [("authorization", &*ada), ("origin", origin)];
        Socket::open(&platform, "/push/ws", &headers).err().unwrap_or(101)
    };
    assert_eq!(from("https://evil.example"), 403);
    assert_eq!(from("null"), 403);
    assert_eq!(from("https://app.example.com"), 101);
    assert_eq!(from("http://localhost"), 101, "our own pages");
    assert_eq!(platform.get("/push/ws").header("authorization", &ada).send().status, 426);
    assert_eq!(platform.get("/push/tickets").header("authorization", &ada).send().status, 405);
    let log = platform.log();
    assert!(!log.contains("ticket="), "no ticket in the log");
}

#[test]
fn what_makes_no_sense_is_refused_at_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = folder.path().join("spin.toml");
    let good = text_of_manifest();
    let with = |key: &str, value: &str| {
        let line = good.lines().find(|line| line.starts_with(key)).expect("the line").to_owned();
        good.replace(&line, value)
    };
    let platform = Platform::stopped();
    for (text, said) in [
        (with("push = ", ""), "add `push = [\"<channel>\"]` under [component.pusher.tool.weft]"),
        (with("push = ", "push = [\"a*b\"]"), "is not a pattern of channels"),
        (with("channels = ", "channels = [\"user:*\"]"), "is of users"),
        (with("channels = ", "channels = [\"{name}:*\"]"), "is no pattern of channels"),
        (with("channels = ", "path = \"/push/\""), "is no path for endpoints"),
        (with("heartbeat_s = ", "heartbeat_s = 0"), "heartbeat_s"),
        (good.replace("/presence", "/push/events"), "/push/events is an endpoint of push"),
    ] {
        std::fs::write(&manifest, text).expect("it is written");
        let (status, printed, error) = platform.weft(&["check", "--manifest", &manifest.to_string_lossy()]);
        let error = printed + &error;
        assert!(!status.success() && error.contains(said), "{said}: {error}");
    }
}

/// The manifest, to stand in another folder.
fn text_of_manifest() -> String {
    let built = repository::root().join("components/target/wasm32-wasip2/release/example_push.wasm");
    let text = std::fs::read_to_string(options().manifest).expect("the manifest");
    text.replace("../../../components/target/wasm32-wasip2/release/example_push.wasm", &built.to_string_lossy())
}

#[test]
fn a_connection_ends_with_its_token() {
    let platform = Platform::start_with(&options());
    let short = Token { expires_in_s: 3, ..Token::of("ada", "student") };
    let token = format!("Bearer {}", platform.token(&short));
    let mut stream = Events::open(&platform, "/push/events", &[("authorization", &token)]);
    let mut socket = Socket::open(&platform, "/push/ws", &[("authorization", &token)]).expect("101");
    stream.expect("welcome");
    let closed = stream.expect("closed");
    assert_eq!((&closed["code"], &closed["reason"]), (&4401.into(), &"unauthorized".into()));
    assert_eq!(stream.next_event(), None);
    let close = std::iter::repeat_with(|| socket.receive()).find_map(Result::err).expect("a close");
    assert_eq!(close, (4401, "unauthorized".to_owned()));

    let created = ["api-keys", "create", "--owner", "crawler", "--role", "robot", "--json"];
    let (_, made, _) = platform.weft(&created);
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let key = [("x-api-key", made["key"].as_str().expect("a key"))];
    let mut stream = Events::open(&platform, "/push/events?channels=course:1", &key);
    assert_eq!(stream.expect("welcome")["user"], "crawler");
    let (status, _, error) = platform.weft(&["api-keys", "revoke", made["id"].as_str().expect("an id")]);
    assert!(status.success(), "{error}");
    assert_eq!(stream.expect("closed")["code"], 4401);
}

#[test]
fn a_slow_client_is_cut_and_comes_back() {
    let platform = Platform::start_with(&options());
    let mut slow = socket(&platform, "slow", "channels=course:1");
    let seen = slow.expect("welcome")["id"].as_str().expect("an id").to_owned();
    let mut fast = events(&platform, "fast", "channels=course:1");
    fast.expect("welcome");
    let body = json!({ "channel": "course:1", "kind": "told", "data": "x".repeat(60_000) });
    let mut rounds = 0;
    let status = loop {
        let _ = platform.post("/pushes", &body).send().expect(200);
        fast.expect("message");
        rounds += 1;
        if rounds % 20 == 0 {
            let status = status(&platform);
            if status["totals"]["cut"] == 1 {
                break status;
            }
            assert!(rounds < 1_000, "the host keeps 60 MB for a client that takes nothing: {status}");
        }
    };
    assert_eq!(status["cut"][0]["user"], "slow", "{status}");
    assert!(status["cut"][0]["pending_bytes"].as_u64() <= Some(256 << 10), "{status}");
    assert_eq!(push(&platform, ("channel", "course:1"), "on")["connections"], 1);
    assert_eq!(*data(&fast.expect("message")), "on", "a fast one gets all");
    // What was on its way comes; then the end, with its reason where it still could be sent.
    let (code, _) = std::iter::repeat_with(|| slow.receive()).find_map(Result::err).expect("a close");
    assert!([4408, 1006].contains(&code), "{code}");
    let mut back = socket(&platform, "slow", &format!("channels=course:1&last_event_id={seen}"));
    back.expect("welcome");
    assert_eq!(back.expect("gap")["channels"], json!(["course:1"]), "not all of it is kept");
    back.expect("message");
}

#[test]
fn connections_outlive_a_deployment_and_are_told_of_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest: PathBuf = folder.path().join("spin.toml");
    let text = text_of_manifest();
    let write = |route: &str| std::fs::write(&manifest, text.replace("/pushes", route)).expect("it is written");
    write("/pushes");
    let options = Options { manifest: manifest.clone(), options: vec!["--watch".to_owned()], ..options() };
    let mut platform = Platform::start_with(&options);
    let mut stream = events(&platform, "ada", "channels=course:1");
    let mut socket = socket(&platform, "ada", "channels=course:1");
    stream.expect("welcome");
    socket.expect("welcome");
    write("/other");
    let body = json!({ "channel": "course:1", "kind": "told", "data": "after" });
    let pushed = eventually("the new manifest is served", || {
        let answer = platform.post("/other", &body).send();
        if answer.status == 200 { Ok(answer.json()) } else { Err(answer.status) }
    });
    assert_eq!(pushed["connections"], 2, "both are still there");
    assert_eq!(*data(&stream.expect("message")), "after");
    assert_eq!(*data(&socket.expect("message")), "after");
    let ending = std::thread::spawn(move || (platform.stop(), platform));
    assert_eq!(stream.expect("closed")["code"], 1001);
    assert_eq!(stream.next_event(), None);
    let close = std::iter::repeat_with(|| socket.receive()).find_map(Result::err).expect("a close");
    assert_eq!(close, (1001, "going-away".to_owned()));
    let (status, platform) = ending.join().expect("the host ends");
    assert!(status.success(), "{}", platform.log());
}

#[test]
fn what_is_unread_outlives_a_kill() {
    let mut platform = Platform::start_with(&options());
    let mut ada = events(&platform, "ada", "channels=course:1");
    ada.expect("welcome");
    push(&platform, ("user", "ada"), "seen");
    ada.expect("message");
    let seen = ada.last_id.clone().expect("an id");
    push(&platform, ("user", "ada"), "on its way");
    platform.kill();
    platform.run(&options()).expect("it starts again");
    let mut ada = events(&platform, "ada", &format!("channels=course:1&last_event_id={seen}"));
    assert_eq!(ada.expect("welcome")["unread"], 2);
    assert_eq!(ada.expect("gap")["channels"], json!(["course:1"]), "channels are not kept over a restart");
    assert_eq!(*data(&ada.expect("message")), "on its way");
    let body = json!({ "user": "ada", "kind": "told", "key": "once", "data": 1 });
    let first = platform.post("/pushes", &body).send().expect(200);
    let again = platform.post("/pushes", &body).send().expect(200);
    assert_eq!((&first["id"], &again["connections"]), (&again["id"], &0.into()));
    ada.expect("message");
    let refused = platform.post("/pushes", &json!({ "channel": "other:1", "kind": "told", "data": 1 })).send();
    assert!(refused.text().contains("add it to `push` in [component.pusher.tool.weft]"), "{}", refused.text());
}

#[test]
fn a_user_of_the_education_platform_is_told_of_a_notification() {
    let platform = Platform::start();
    let ada = register(&platform, "ada", "student");
    let token = format!("Bearer {}", ada.token);
    let mut stream = Events::open(&platform, "/push/events?last_event_id=0-0", &[("authorization", &token)]);
    let welcome = stream.expect("welcome");
    assert_eq!(welcome["user"], *ada.id);
    let message = stream.expect("message");
    assert_eq!((&message["kind"], &message["data"]["title"]), (&"notification".into(), &"Welcome".into()));
    let listed = platform.get("/api/notifications").token(&ada.token).send().expect(200);
    assert_eq!(listed["items"][0]["id"], message["data"]["id"], "the same as in the list");
    let read = platform.post("/push/read", &json!({ "id": message["message"] })).token(&ada.token).send().expect(200);
    assert_eq!(read["unread"], 0);
}
