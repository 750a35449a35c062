//! Instances that serve several requests, one after another and at once: what belongs to one request stays with it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use serde_json::{Value, json};
use weft_tests::isolation::start;
use weft_tests::platform::Platform;
use weft_tests::tokens::Token;
use weft_tests::wait::eventually;

const AT_ONCE: u32 = 8;

/// One request that a function made: its path, its headers, and the connection that waits for the answer.
struct Asked {
    path: String,
    headers: BTreeMap<String, String>,
    connection: TcpStream,
}

impl Asked {
    fn read(connection: TcpStream) -> Self {
        let mut lines = BufReader::new(connection.try_clone().expect("a second handle")).lines();
        let mut line = || lines.next().expect("a request has a head").expect("it arrives whole");
        let path = line().split(' ').nth(1).expect("a request line").to_owned();
        let head = std::iter::from_fn(|| Some(line()).filter(|line| !line.is_empty()));
        let headers = head.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_lowercase(), value.trim().to_owned()))
        });
        Self { path, headers: headers.collect(), connection }
    }

    fn answer(&mut self) {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        self.connection.write_all(answer.as_bytes()).expect("the function waits for the answer");
    }

    fn trace_id(&self) -> &str {
        self.headers["traceparent"].split('-').nth(1).expect("a trace id")
    }
}

/// A server that hands out what it is asked.
fn server() -> (u16, mpsc::Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            if sender.send(Asked::read(connection)).is_err() {
                return;
            }
        }
    });
    (port, receiver)
}

fn trace_id(number: u32) -> String {
    format!("{:032x}", 0xabc0_0000 + number)
}

fn user_id(number: u32) -> String {
    format!("018f0000-0000-7000-8000-{number:012}")
}

#[test]
fn requests_in_one_instance_keep_their_contexts() {
    let platform = start();
    let (port, asked) = server();
    let send = |number: u32| -> Value {
        let url = |when: &str| json!({ "get": { "url": format!("http://127.0.0.1:{port}/{when}/{number}") } });
        let script = json!({ "in_turn": [url("first"), url("second")] });
        let request = platform.post("/reused", &script).token(&platform.token(&Token::of(&user_id(number), "student")));
        request.header("traceparent", &format!("00-{}-00f067aa0ba902b7-01", trace_id(number))).send().expect(200)
    };
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let mut requests = Vec::new();
        let mut waiting = Vec::new();
        for number in 0..AT_ONCE {
            requests.push(scope.spawn(move || send(number)));
            // The next one comes when this one waits in its instance, which then takes another.
            let first = asked.recv().expect("the function asks");
            assert_eq!(first.path, format!("/first/{number}"));
            assert_eq!(first.trace_id(), trace_id(number));
            waiting.push(first);
        }
        // All are in flight. The one that came last goes on first.
        for first in waiting.iter_mut().rev() {
            first.answer();
            let mut second = asked.recv().expect("the function asks again");
            assert_eq!(second.path, first.path.replace("first", "second"));
            assert_eq!(second.trace_id(), first.trace_id(), "{}: the trace of another request", second.path);
            second.answer();
        }
        requests.into_iter().map(|request| request.join().expect("an answer")).collect()
    });
    for (number, answer) in (0..AT_ONCE).zip(&answers) {
        assert_eq!(answer["answer"], json!([{ "Ok": 200 }, { "Ok": 200 }]));
        assert_eq!(answer["user"], user_id(number));
    }
    // An instance takes another request as soon as it waits; whether that is before the next one comes is a matter of
    // luck, but most find themselves in company. If none did, this test would show nothing.
    let in_company = answers.iter().filter(|answer| answer["served"].as_u64() > Some(1)).count();
    assert!(in_company >= 2, "{answers:?}");
}

#[test]
fn each_request_has_processor_time_of_its_own() {
    let platform = start();
    // Each works for 40 ms and may for 200; one instance serves all.
    for _ in 0..20 {
        assert_eq!(platform.get("/hostile-reused?do=work").send().status, 204);
    }
    // Which ends an instance ends no other request.
    assert_eq!(platform.get("/hostile-reused?do=loop").send().status, 502);
    assert_eq!(platform.get("/hostile-reused?do=work").send().status, 204);
}

/// Actions of one request, whose callee has reused instances: started one after the other, and run together.
fn calls(platform: &Platform, whats: &[&str]) -> Vec<Value> {
    let calls: Vec<Value> = whats.iter().map(|what| json!({ "call": { "key": "k", "what": what } })).collect();
    let answer = platform.post("/calls-reused", &json!({ "together": calls })).send().expect(200)["answer"].take();
    answer.as_array().expect("an answer to each").clone()
}

fn call(platform: &Platform, what: &str) -> Value {
    calls(platform, &[what]).remove(0)
}

fn unavailable(message: &str) -> Value {
    let message = format!("function callee-reused {message}");
    json!({ "Err": { "Unavailable": { "outcome": "Unknown", "retry_after_ms": null, "message": message } } })
}

#[test]
fn an_instance_serves_calls_one_after_another_until_one_goes_wrong() {
    let platform = start();
    for number in 1..=20 {
        assert_eq!(call(&platform, "served"), json!({ "Ok": number.to_string() }));
    }
    // Each works for 40 ms and may for 200.
    for _ in 0..10 {
        assert_eq!(call(&platform, "work"), json!({ "Ok": "k" }));
    }
    assert_eq!(call(&platform, "refuse"), json!({ "Err": { "Refused": "k" } }));
    assert_eq!(call(&platform, "served"), json!({ "Ok": "32" }), "an error of its own ends no instance");
    for (what, message) in [
        ("loop", "used up its processor time"),
        ("trap", "stopped without an answer"),
        ("grow", "passed its memory limit"),
        ("sleep", "did not answer in time"),
    ] {
        assert_eq!(call(&platform, what), unavailable(message));
        assert_eq!(call(&platform, "served"), json!({ "Ok": "1" }), "after {what}");
    }
}

#[test]
fn a_trap_ends_the_calls_beside_it_and_no_others() {
    let platform = start();
    std::thread::scope(|scope| {
        // It looks every few milliseconds for somebody who does not come, and has room for others in between.
        let waiting = scope.spawn(|| call(&platform, "meet a nobody"));
        eventually("a call beside the one that waits", || {
            let answers = calls(&platform, &["company", "company"]);
            if answers.contains(&json!({ "Ok": "1" })) { Ok(()) } else { Err(answers) }
        });
        // Each takes an instance with room and ends it, so they come to the one with company before long. The call that waits
        // is tried again, and ended again. Those that go well keep the breaker closed.
        let trapped = unavailable("stopped without an answer");
        eventually("all attempts of the call are ended", || {
            assert_eq!(call(&platform, "trap"), trapped);
            calls(&platform, &["echo", "echo", "echo"]);
            if waiting.is_finished() { Ok(()) } else { Err("it waits") }
        });
        assert_eq!(waiting.join().expect("an answer"), trapped);
    });
    // Those that compute have instances of their own.
    let answers = calls(&platform, &["work", "work", "trap"]);
    assert_eq!(answers[2], unavailable("stopped without an answer"));
    assert_eq!(answers[..2], [json!({ "Ok": "k" }), json!({ "Ok": "k" })]);
}

#[test]
fn a_call_waits_for_none_that_computes() {
    let platform = start();
    // Each computes for 40 ms and may for 200: ten in one instance would be far beyond that.
    let answers = calls(&platform, &["work"; 10]);
    assert_eq!(answers, vec![json!({ "Ok": "k" }); 10]);
    assert_eq!(call(&platform, "served"), json!({ "Ok": "2" }), "each was in an instance of its own");
}
