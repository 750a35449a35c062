//! Functions that have the host hold, write or follow more than they may: each passes a limit of its own, the host's
//! memory stays within what its limits add up to, and its neighbours answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;
use weft_tests::http::Response;
use weft_tests::isolation::{assert_problem, peak_memory_kib, probe, start};
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::wait::eventually;

/// What an instance may cost: its own memory (32 MiB), and header fields behind all its handles (1,000 of 64 KiB).
const INSTANCE_KIB: u64 = (32 + 64) * 1024;
/// What the host itself may need to run and end instances, beyond what they hold.
const SLACK_KIB: u64 = 64 * 1024;

fn hostile(platform: &Platform, route: &str, what: &str) -> Response {
    platform.get(&format!("{route}?do={what}")).send()
}

fn assert_neighbour(platform: &Platform) {
    let answer = platform.get("/hello").send();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn what_an_instance_may_open_and_begin_is_bounded() {
    let platform = start();
    assert_neighbour(&platform);
    let before = peak_memory_kib(&platform);
    for (route, what) in [
        ("/hostile", "fields"),
        ("/hostile", "full-fields"),
        ("/hostile", "streams"),
        ("/hostile", "tasks"),
        ("/hostile-p2", "bodies"),
    ] {
        println!("{route} {what}");
        assert_problem(&hostile(&platform, route, what), 502, "resource-limit-exceeded");
        assert_neighbour(&platform);
        let grown = peak_memory_kib(&platform) - before;
        assert!(grown < INSTANCE_KIB + SLACK_KIB, "after {what} the host has grown by {grown} KiB");
    }
    // It gets fewer than it asked for.
    assert_eq!(hostile(&platform, "/hostile", "random").status, 204);
    assert_eq!(hostile(&platform, "/hostile", "nothing").status, 204);
    let log = platform.log();
    assert!(log.contains("opened more handles than it may"), "{log}");
}

#[test]
fn fuel_ends_a_call_at_the_same_place_each_time() {
    let platform = start();
    for _ in 0..2 {
        assert_problem(&hostile(&platform, "/hostile-fuel", "loop"), 502, "cpu-limit-exceeded");
    }
    assert!(platform.log().contains("used up its fuel") || platform.log().contains("all fuel consumed"));
    // Each call has its fuel anew.
    for _ in 0..20 {
        assert_eq!(hostile(&platform, "/hostile-fuel", "nothing").status, 204);
    }
    assert_neighbour(&platform);
}

/// Sends a request and reads the answer to the end of the connection.
fn read_all(platform: &Platform, request: &[u8]) -> Vec<u8> {
    let address = platform.url().strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).expect("the host listens");
    // The host may have answered and closed before all of it is sent.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    // A connection that is reset is at its end as well.
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn get(what: &str) -> Vec<u8> {
    format!("GET /hostile-patient?do={what} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").into_bytes()
}

/// The head and the body of an answer as it came.
fn parts(answer: &[u8]) -> (String, &[u8]) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
    (String::from_utf8_lossy(&answer[..end]).into_owned(), &answer[end + 4..])
}

#[test]
fn an_answer_is_as_long_as_its_head_says_or_breaks_off() {
    let platform = start();
    // Whoever reads sees a connection that ends too early, with or without the head; never a whole answer.
    for (what, declared) in [("too-long", 5), ("too-short", 100)] {
        let answer = read_all(&platform, &get(what));
        if answer.is_empty() {
            continue;
        }
        let (head, body) = parts(&answer);
        assert!(head.to_lowercase().contains(&format!("content-length: {declared}")), "{what}: {head}");
        assert!(body.len() < declared, "{what}: {} bytes", body.len());
    }
    assert!(platform.log().contains("an answer broke off"), "the operator learns of it");
    // Neither closed nor written: the deadline of the route ends it, and it is not taken for a whole one.
    let never_closed = read_all(&platform, &get("never-closed"));
    assert!(never_closed.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&never_closed));
    assert!(!never_closed.ends_with(b"0\r\n\r\n"), "it ends as if it were whole");
    assert_neighbour(&platform);
}

#[test]
fn header_fields_are_bounded_in_number_and_size() {
    let platform = start();
    let answer = read_all(&platform, &get("many-headers"));
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..200]));
    let (head, _) = parts(&answer);
    let fields = head.lines().filter(|line| line.starts_with("x-header-")).count();
    // 64 KiB, of which each takes its name, 32 bytes for it, and 40 for its value.
    assert!((600..900).contains(&fields), "{fields} header fields");
    assert_neighbour(&platform);
}

#[test]
fn a_body_that_nobody_reads_is_not_kept() {
    const BODY: usize = 8 << 20;
    let platform = start();
    assert_neighbour(&platform);
    let before = peak_memory_kib(&platform);
    let head = format!(
        "POST /hostile?do=leave-unread HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {BODY}\r\n\r\n"
    );
    for _ in 0..4 {
        let mut request = head.clone().into_bytes();
        request.resize(request.len() + BODY, b'x');
        let answer = read_all(&platform, &request);
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    let grown = peak_memory_kib(&platform) - before;
    assert!(grown < SLACK_KIB, "the host has grown by {grown} KiB");
}

#[test]
fn large_values_are_refused_and_not_kept() {
    let platform = start();
    assert_neighbour(&platform);
    let large = |bytes: usize, times: usize, what: &str| {
        let action = json!({ "call_large": { "bytes": bytes, "times": times, "what": what } });
        platform.post("/probe", &action).send()
    };
    // 8 MiB go; of eight that go together, those that would take more than 32 MiB do not.
    let one = large(8 << 20, 1, "answer 5").expect(200);
    assert_eq!(one["answer"], json!([{ "Ok": 5 }]));
    let before = peak_memory_kib(&platform);
    let eight = large(8 << 20, 8, "answer 5").expect(200);
    let answers = eight["answer"].as_array().expect("eight answers");
    let refused = |answer: &&serde_json::Value| answer["Err"]["Unavailable"]["outcome"] == "NotAttempted";
    assert!(answers.iter().filter(refused).count() >= 4, "{answers:?}");
    assert!(answers.iter().any(|answer| answer["Ok"] == 5), "{answers:?}");
    let grown = peak_memory_kib(&platform) - before;
    assert!(grown < (128 + 4 * 32) * 1024 + SLACK_KIB, "the host has grown by {grown} KiB");
    // One that is larger than all together may be ends its function; and an answer that is larger than the callee may
    // hand over ends the callee, which its caller is told.
    assert_problem(&large(40 << 20, 1, "echo"), 502, "resource-limit-exceeded");
    let answer = probe(&platform, &json!({ "call": { "key": "k", "what": "answer 2000000" } }));
    let message = "function callee handed over more at once than it may";
    assert_eq!(answer["Err"]["Unavailable"]["message"], message, "{answer}");
    assert_neighbour(&platform);
}

/// By the host's address, by `self.alt`, and inside of the host, where nothing but the depth is known of the first one.
#[test]
fn requests_to_oneself_end_whatever_way_they_take() {
    for (way, logged) in [("ask-yourself", Some(33)), ("ask-self", Some(33)), ("ask-chained", None)] {
        let platform = start();
        let chain = hostile(&platform, "/hostile", way).expect(200).to_string();
        assert!(chain.contains("LoopDetected"), "{way}: {chain}");
        // Each answer stands in the one above it.
        assert_eq!(chain.matches("200 ").count(), 32, "{way}: {chain}");
        let Some(logged) = logged else { continue };
        // Lines of the log are gathered for a moment before they are written.
        eventually("the first request and 32 below it are logged", || {
            let asked = platform.log().lines().filter(|line| line.contains("path=\"/hostile\"")).count();
            if asked == logged { Ok(()) } else { Err(asked) }
        });
        assert_neighbour(&platform);
    }
}

/// A typed call, a request from the callee to its caller inside of the host, a typed call: they count together.
#[test]
fn calls_and_requests_in_turn_end() {
    let platform = start();
    let answer = probe(&platform, &json!({ "call": { "key": "probe.spin.internal", "what": "ask" } })).to_string();
    assert!(answer.contains("nested more than 32 deep"), "{answer}");
    // 16 answers of the callee to its caller, one in the other, and the last call is not made.
    assert_eq!(answer.matches("Ok").count(), 16, "{answer}");
    assert_neighbour(&platform);
}

#[test]
fn requests_to_oneself_are_bounded_in_breadth() {
    let platform = start();
    // Two for each would be 2^32: the bound on calls at once ends that, and others are served meanwhile.
    std::thread::scope(|scope| {
        let tree = scope.spawn(|| hostile(&platform, "/hostile", "ask-yourself-twice").status);
        for _ in 0..20 {
            assert_neighbour(&platform);
        }
        let status = tree.join().expect("it ends");
        assert!(matches!(status, 200 | 502 | 503 | 504), "{status}");
    });
    eventually("its places are free", || match hostile(&platform, "/hostile", "nothing").status {
        204 => Ok(()),
        other => Err(other),
    });
    assert_neighbour(&platform);
}

/// Each holds 24 MiB until its deadline, and all instances together may have 64.
#[test]
fn the_memory_of_all_functions_together_is_bounded() {
    let manifest = repository::root().join("tests/applications/memory/spin.toml");
    let platform = Platform::start_with(&Options { manifest, ..Options::default() });
    let hold = || hostile(&platform, "/hostile", "hold");
    let answers: Vec<Response> = std::thread::scope(|scope| {
        let holding: Vec<_> = (0..8).map(|_| scope.spawn(hold)).collect();
        holding.into_iter().map(|one| one.join().expect("it is answered")).collect()
    });
    let (refused, held): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 503);
    for answer in &refused {
        assert_problem(answer, 503, "overloaded");
        assert!(answer.header("retry-after").is_some());
    }
    held.iter().for_each(|answer| assert_problem(answer, 504, "deadline-exceeded"));
    assert!(!refused.is_empty(), "two have room at once, and all of them were let in");
    eventually("the log names the limit", || {
        let log = platform.log();
        if log.contains("64 MiB (max_memory_mb of [application.tool.weft.engine])") { Ok(()) } else { Err(log) }
    });
    // What they had is there again, and while one holds it, others answer.
    std::thread::scope(|scope| {
        let holding = scope.spawn(hold);
        while !holding.is_finished() {
            assert_neighbour(&platform);
        }
        assert_problem(&holding.join().expect("it is answered"), 504, "deadline-exceeded");
    });
}

#[test]
fn output_is_bounded_by_the_second_for_all_instances_together() {
    let platform = start();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_problem(&hostile(&platform, "/hostile-loud", "print"), 504, "deadline-exceeded"));
        }
    });
    let (status, kept, stderr) = platform.weft(&["logs", "hostile-loud", "--json"]);
    assert!(status.success(), "{stderr}");
    assert!(kept.contains("the output limit of 65536 bytes a second is reached"), "it is said");
    // At most two seconds begin within one; JSON adds its own to each line.
    assert!(kept.len() < 64 * 1024 * 3 * 2, "{} bytes are kept", kept.len());
    assert_neighbour(&platform);
}
