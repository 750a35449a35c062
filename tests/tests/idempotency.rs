//! Requests that are repeated under an `Idempotency-Key`, on a running host: how often the function runs, what stays
//! after `kill -9`, and what a repetition of an enrollment comes to wherever the host dies.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;

use serde_json::{Value, json};
use weft_tests::aborts::{self, Work};
use weft_tests::course::{enroll, publish, student_id};
use weft_tests::http::{Client, Response};
use weft_tests::invariants;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::tokens::Token;
use weft_tests::wait::eventually;

const KEY: &str = "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"";

fn manifest() -> PathBuf {
    repository::root().join("tests/applications/idempotency/spin.toml")
}

fn start() -> Platform {
    Platform::start_with(&Options { manifest: manifest(), ..Options::default() })
}

fn sql(statement: &str) -> Value {
    json!({ "sqlite": { "database": "default", "sql": statement } })
}

/// Writes a line each time it runs, and then takes some time.
fn work(ms: u64) -> Value {
    let table = sql("CREATE TABLE IF NOT EXISTS runs (n INTEGER)");
    json!({ "in_turn": [table, sql("INSERT INTO runs VALUES (1)"), { "sleep": { "ms": ms } }] })
}

fn token(platform: &Platform, user: &str) -> String {
    platform.token(&Token { sub: user.to_owned(), ..Token::default() })
}

fn ask(client: &Client, path: &str, token: &str, key: &str, body: &Value) -> Option<Response> {
    client.post(path, body).token(token).header("idempotency-key", key).try_send().ok()
}

/// How often the work was done.
fn runs(platform: &Platform) -> i64 {
    let counted = platform.post("/free", &sql("SELECT count(*) FROM runs")).token(&token(platform, "counter")).send();
    let counted = counted.expect(200);
    let digits: String = counted["answer"].to_string().chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
}

fn is_replayed(answer: &Response) -> bool {
    answer.header("idempotent-replayed") == Some("true")
}

#[test]
fn of_many_requests_at_once_one_is_done() {
    let mut platform = start();
    let ada = token(&platform, "ada");
    let answers: Vec<Response> = std::thread::scope(|scope| {
        let (client, token) = (platform.client(), &ada);
        let asked: Vec<_> = (0..30)
            .map(|_| scope.spawn(move || ask(client, "/probe", token, KEY, &work(300)).expect("an answer")))
            .collect();
        asked.into_iter().map(|asked| asked.join().expect("an answer")).collect()
    });
    let firsts: Vec<_> = answers.iter().filter(|answer| answer.status == 200 && !is_replayed(answer)).collect();
    assert_eq!(firsts.len(), 1, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(answer.expect(409)["type"], "urn:weft:problem:idempotency-in-flight");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(runs(&platform), 1);
    let again = ask(platform.client(), "/probe", &ada, KEY, &work(300)).expect("an answer");
    assert_eq!((is_replayed(&again), &again.body), (true, &firsts[0].body));
    let other = ask(platform.client(), "/probe", &ada, KEY, &work(301)).expect("an answer");
    assert_eq!(other.expect(422)["type"], "urn:weft:problem:idempotency-key-reused");
    // Another caller's key is another key.
    let bob = ask(platform.client(), "/probe", &token(&platform, "bob"), KEY, &work(300)).expect("an answer");
    assert_eq!((bob.status, is_replayed(&bob), runs(&platform)), (200, false, 2));

    // What was answered is there after a power cut.
    platform.kill();
    platform.run(&Options { manifest: manifest(), ..Options::default() }).expect("the host starts on what it left");
    let again = ask(platform.client(), "/probe", &ada, KEY, &work(300)).expect("an answer");
    assert_eq!((is_replayed(&again), &again.body, runs(&platform)), (true, &firsts[0].body, 2));
}

#[test]
fn a_key_is_free_after_its_request_was_killed() {
    let mut platform = start();
    let ada = token(&platform, "ada");
    let (client, token) = (platform.client().clone(), ada.clone());
    let killed = std::thread::spawn(move || ask(&client, "/probe", &token, KEY, &work(15_000)).is_none());
    eventually("the function runs", || if runs(&platform) == 1 { Ok(()) } else { Err("not yet") });
    let busy = ask(platform.client(), "/probe", &ada, KEY, &work(15_000)).expect("an answer");
    assert_eq!(busy.status, 409);
    platform.kill();
    assert!(killed.join().expect("no panic"), "nobody was answered");
    platform.run(&Options { manifest: manifest(), ..Options::default() }).expect("the host starts on what it left");
    // It is done once more: a function that shall not has to commit under the key.
    let again = ask(platform.client(), "/probe", &ada, KEY, &work(0)).expect("an answer");
    assert_eq!((again.status, is_replayed(&again), runs(&platform)), (200, false, 2));
}

#[test]
fn an_answer_is_there_for_a_client_that_went_away() {
    let platform = start();
    let ada = token(&platform, "ada");
    let body = work(500).to_string();
    let address = platform.url().strip_prefix("http://").expect("plain HTTP");
    let mut gone = TcpStream::connect(address).expect("the host listens");
    let head = format!(
        "POST /probe HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {ada}\r\nidempotency-key: {KEY}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    gone.write_all(head.as_bytes()).expect("the host reads");
    eventually("the function runs", || if runs(&platform) == 1 { Ok(()) } else { Err("not yet") });
    drop(gone);
    let answer = eventually("its answer is kept", || {
        let answer = ask(platform.client(), "/probe", &ada, KEY, &work(500)).expect("an answer");
        if answer.status == 409 { Err("in work") } else { Ok(answer) }
    });
    assert_eq!((answer.status, is_replayed(&answer), runs(&platform)), (200, true, 1));
}

#[test]
fn routes_say_what_a_key_means() {
    let platform = start();
    let ada = token(&platform, "ada");
    let none = platform.post("/needed", &work(0)).token(&ada).send();
    assert_eq!(none.expect(400)["type"], "urn:weft:problem:idempotency-key-missing");
    let bad = ask(platform.client(), "/needed", &ada, "a b", &work(0)).expect("an answer");
    assert_eq!(bad.expect(400)["type"], "urn:weft:problem:idempotency-key-invalid");
    for (path, wanted) in [("/needed", 1), ("/free", 3)] {
        for _ in 0..2 {
            let _ = ask(platform.client(), path, &ada, KEY, &work(0)).expect("an answer").expect(200);
        }
        assert_eq!(runs(&platform), wanted, "{path}");
    }
    for replayed in [false, true] {
        let answer = platform.post("/open", &work(0)).header("idempotency-key", KEY).send();
        assert_eq!((answer.status, is_replayed(&answer)), (200, replayed));
    }
    assert_eq!(runs(&platform), 4);
}

#[test]
fn an_answer_is_kept_as_long_as_the_manifest_says() {
    let text = std::fs::read_to_string(manifest()).expect("the manifest is there");
    let mut brief = tempfile::NamedTempFile::with_suffix_in(".toml", manifest().parent().expect("its folder"))
        .expect("a file beside it");
    brief.write_all(text.replace("ttl_s = 3600", "ttl_s = 1").as_bytes()).expect("the manifest is written");
    let platform = Platform::start_with(&Options { manifest: brief.path().to_owned(), ..Options::default() });
    let ada = token(&platform, "ada");
    let first = ask(platform.client(), "/probe", &ada, KEY, &work(0)).expect("an answer");
    assert_eq!((first.status, is_replayed(&first)), (200, false));
    eventually("it is done anew", || {
        let again = ask(platform.client(), "/probe", &ada, KEY, &work(0)).expect("an answer");
        if is_replayed(&again) { Err("replayed") } else { Ok(()) }
    });
    assert_eq!(runs(&platform), 2);
}

/// An enrollment, repeated under its key until it is answered.
struct Enrollment {
    platform: Platform,
    course: String,
}

impl Work for Enrollment {
    fn prepared(&self) -> &Platform {
        &self.platform
    }

    fn act(&self, platform: &Platform) -> Option<bool> {
        let token = platform.token(&Token::of(&student_id(1), "student"));
        let ask = || enroll(platform.client(), &self.course, &token, "enroll", "tok_ok").try_send();
        let first = ask().ok()?;
        let again = ask().ok()?;
        Some(first.status == 201 && again.status == 201 && is_replayed(&again) && first.body == again.body)
    }

    fn check(&self, platform: &Platform) {
        let enrollments = invariants::check(platform, &[student_id(1)]);
        assert_eq!(enrollments.len(), 1, "{enrollments:?}");
    }
}

#[test]
fn abort_around_the_keeping_of_an_answer() {
    let mut platform = Platform::start();
    let course = publish(&platform, 1, 4_900);
    assert!(platform.stop().success());
    let points =
        aborts::abort_at_each(&Enrollment { platform, course }, &["answers.before-keep", "answers.after-keep"]);
    assert_eq!(points, 2, "one answer is kept: before and after");
}
