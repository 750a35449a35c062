//! Functions that misbehave: each gets its own problem, and nobody else notices.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use weft_tests::isolation::{assert_problem, peak_memory_kib, probe, start};
use weft_tests::platform::Platform;
use weft_tests::wait::eventually;

/// What each misbehaviour is answered with. The route `/hostile` has little processor time and a long deadline,
/// `/hostile-busy` the reverse, and `/hostile-patient` little of both.
const MISBEHAVIOURS: [(&str, &str, u16, &str); 9] = [
    ("/hostile", "loop", 502, "cpu-limit-exceeded"),
    ("/hostile", "linger", 502, "cpu-limit-exceeded"),
    ("/hostile", "grow", 502, "resource-limit-exceeded"),
    ("/hostile", "recurse", 502, "resource-limit-exceeded"),
    ("/hostile", "recurse-wide", 502, "function-trapped"),
    ("/hostile", "trap", 502, "function-trapped"),
    ("/hostile", "wait-for-nothing", 502, "function-trapped"),
    ("/hostile-patient", "sleep", 504, "deadline-exceeded"),
    ("/hostile-busy", "loop", 504, "deadline-exceeded"),
];
/// Memory that one hostile instance may have.
const INSTANCE_KIB: u64 = 32 * 1024;
/// What the host itself may need to run and end instances, beyond their memory.
const SLACK_KIB: u64 = 64 * 1024;

fn misbehave(platform: &Platform, route: &str, what: &str) -> weft_tests::http::Response {
    platform.get(&format!("{route}?do={what}")).send()
}

#[test]
fn each_misbehaviour_has_its_problem_and_the_neighbour_in_flight_answers() {
    let platform = start();
    for (route, what, status, problem) in MISBEHAVIOURS {
        println!("{route} {what}");
        // The neighbour waits for a partner, who comes once the hostile one is done with.
        let place = format!("{route}-{what}");
        let meet = |own: &str, other: &str| json!({ "call": { "key": place, "what": format!("meet {own} {other}") } });
        let (first, second) = (meet("a", "b"), meet("b", "a"));
        std::thread::scope(|scope| {
            let neighbour = scope.spawn(|| probe(&platform, &first));
            assert_problem(&misbehave(&platform, route, what), status, problem);
            assert_eq!(probe(&platform, &second), json!({ "Ok": "b met a" }));
            assert_eq!(neighbour.join().expect("the neighbour answers"), json!({ "Ok": "a met b" }), "{what}");
        });
        assert_eq!(misbehave(&platform, route, "nothing").status, 204, "after {what}");
    }
    let log = platform.log();
    for reason in ["cpu-limit-exceeded", "resource-limit-exceeded", "function-trapped"] {
        assert!(log.contains(reason), "the operator learns of {reason}");
    }
}

#[test]
fn busy_loops_on_all_cores_leave_time_for_others() {
    const LOOPS: usize = 4;
    let platform = start();
    let ended = AtomicUsize::new(0);
    let answered_meanwhile = std::thread::scope(|scope| {
        for _ in 0..LOOPS {
            scope.spawn(|| {
                let answer = misbehave(&platform, "/hostile-busy", "loop");
                ended.fetch_add(1, Ordering::SeqCst);
                assert_problem(&answer, 504, "deadline-exceeded");
            });
        }
        let mut answered = 0;
        while ended.load(Ordering::SeqCst) < LOOPS {
            assert_eq!(platform.get("/hello").send().status, 200);
            answered += usize::from(ended.load(Ordering::SeqCst) == 0);
        }
        answered
    });
    // The loops run for two seconds; each gives way every few milliseconds.
    assert!(answered_meanwhile > 0, "nobody else was served while the loops ran");
}

#[test]
fn memory_stays_bounded() {
    const AT_ONCE: u64 = 4;
    let platform = start();
    for (route, what, status, _) in MISBEHAVIOURS {
        assert_eq!(misbehave(&platform, route, what).status, status, "{what}");
    }
    let before = peak_memory_kib(&platform);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                for what in ["grow", "recurse", "trap", "grow", "print", "grow", "wait-for-nothing", "grow"] {
                    let status = misbehave(&platform, "/hostile", what).status;
                    // What prints for ever may reach its deadline first: printing is the host's time.
                    assert!(status == 502 || status == 504, "{what}: {status}");
                }
            });
        }
    });
    let grown = peak_memory_kib(&platform) - before;
    assert!(grown < AT_ONCE * INSTANCE_KIB + SLACK_KIB, "the host grew by {grown} KiB");
    assert_eq!(platform.get("/hello").send().status, 200);
}

#[test]
fn endless_output_is_cut_and_said_to_be() {
    let platform = start();
    assert_problem(&misbehave(&platform, "/hostile-busy", "print"), 504, "deadline-exceeded");
    let (status, kept, stderr) = platform.weft(&["logs", "hostile-busy", "--json"]);
    assert!(status.success(), "{stderr}");
    assert!(kept.contains("the same again"), "what it wrote is there");
    // A function may write 1 MiB; JSON adds its own to each line.
    assert!(kept.len() < 4 << 20, "{} bytes are kept", kept.len());
    assert!(platform.log().len() < 4 << 20, "the host's own log is not filled by a function");
}

/// Sends a GET and reads as much of the answer as asked for.
fn read_some(platform: &Platform, target: &str, most: usize) -> (TcpStream, Vec<u8>) {
    let address = platform.url().strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).expect("the host listens");
    write!(stream, "GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("a request is sent");
    let (mut read, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
    while read.len() < most {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => break,
            Ok(length) => read.extend_from_slice(&chunk[..length]),
        }
    }
    (stream, read)
}

/// How a chunked body ends that is whole.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[test]
fn an_answer_that_breaks_off_is_not_taken_for_a_whole_one() {
    let platform = start();
    for what in ["break-off", "stream"] {
        let (_, answer) = read_some(&platform, &format!("/hostile-patient?do={what}"), usize::MAX);
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{what}");
        assert!(answer.len() > 64 * 1024, "{what}: {} bytes", answer.len());
        assert!(!answer.ends_with(LAST_CHUNK), "{what}: ends as if it were whole");
    }
    assert_eq!(platform.get("/hello").send().status, 200);
}

#[test]
fn an_endless_answer_costs_no_memory_and_ends_with_its_reader() {
    let platform = start();
    let before = peak_memory_kib(&platform);
    let (reader, answer) = read_some(&platform, "/hostile-single?do=stream", 64 << 20);
    assert!(answer.len() >= 64 << 20, "{} bytes", answer.len());
    drop(reader);
    // Its one place is free again.
    eventually("the place is free", || match misbehave(&platform, "/hostile-single", "nothing").status {
        204 => Ok(()),
        other => Err(other),
    });
    let grown = peak_memory_kib(&platform) - before;
    assert!(grown < SLACK_KIB, "the host grew by {grown} KiB for an answer of {} MiB", answer.len() >> 20);
}

#[test]
fn who_leaves_early_does_not_get_past_the_bound() {
    let platform = start();
    let (client, _) = read_some(&platform, "/hostile-single?do=sleep", 0);
    let turned_away = || {
        let answer = misbehave(&platform, "/hostile-single", "nothing");
        if answer.status == 503 { Ok(answer) } else { Err(answer.status) }
    };
    let overloaded = eventually("the one place is taken", turned_away);
    assert_problem(&overloaded, 503, "overloaded");
    assert!(overloaded.header("retry-after").is_some());
    // The client leaves, which the gateway notes; the function still sleeps, and holds its place while it does.
    drop(client);
    eventually("the gateway notes it", || {
        let log = platform.log();
        let given_up = log.lines().any(|line| {
            line.contains("path=\"/hostile-single\"") && !line.contains("status=503") && !line.contains("status=204")
        });
        if given_up { Ok(()) } else { Err(log.lines().count()) }
    });
    assert_eq!(turned_away().map(|answer| answer.status), Ok(503));
}
