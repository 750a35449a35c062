//! What no well-behaved client sends, byte for byte, against the real host: each case gets its answer or has its
//! connection closed, nothing hides behind it, the host's memory stays within bounds, and others are served meanwhile.
//! The table is in docs/gateway.md. Cases that need a function of their own are in the gateway's tests (`limits`,
//! `requests`), and damaged requests in `mutated_requests`.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use weft_tests::http2::{
    CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, End, Frame, GET_HELLO, HEADERS, PING, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use weft_tests::isolation::peak_memory_kib;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::wait::eventually;

/// Longer than the host takes for any of them, so that a hang is seen.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much the host may grow in any flood: some buffers for each of its connections, and no more with time.
const FLOOD_KIB: u64 = 64 * 1024;

fn start() -> Platform {
    let manifest = repository::root().join("tests/applications/edge/spin.toml");
    let platform = Platform::start_with(&Options { manifest, ..Options::default() });
    // What is made with the first request counts for nobody's memory.
    assert_eq!(platform.get("/hello").send().status, 200);
    platform
}

fn address(platform: &Platform) -> &str {
    platform.url().strip_prefix("http://").expect("an address")
}

fn connect(platform: &Platform) -> TcpStream {
    let socket = TcpStream::connect(address(platform)).expect("the host listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

/// All that the host answers until it closes. Nothing more is sent, but the connection stays open for writing.
fn answer(mut socket: &TcpStream) -> String {
    let mut bytes = Vec::new();
    match socket.read_to_end(&mut bytes) {
        Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
            format!("no end within {PATIENCE:?}: {}", String::from_utf8_lossy(&bytes))
        }
        // A reset is an end as well.
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

fn exchange(platform: &Platform, bytes: &[u8]) -> String {
    let mut socket = connect(platform);
    // The host may have answered and closed before all of it is sent.
    let _ = socket.write_all(bytes);
    answer(&socket)
}

/// The statuses of all answers on a connection; none if it was closed without one.
fn statuses(answers: &str) -> Vec<u16> {
    let after = answers.split("HTTP/1.").skip(1);
    after.map(|answer| answer.get(2..5).and_then(|status| status.parse().ok()).expect("a status")).collect()
}

/// Each of these is answered with exactly these statuses.
fn assert_answered(platform: &Platform, cases: Vec<(&str, Vec<u8>, &[u16])>) {
    let mut wrong = Vec::new();
    for (why, request, expected) in cases {
        let answers = exchange(platform, &request);
        if statuses(&answers) != expected {
            wrong.push(format!("{why}: {:?}, not {expected:?}: {answers}", statuses(&answers)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(platform.get("/hello").send().status, 200, "others are served");
}

fn get(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: a\r\n{headers}connection: close\r\n\r\n").into_bytes()
}

fn post(headers: &str, body: &str) -> Vec<u8> {
    format!("POST /hello HTTP/1.1\r\nhost: a\r\n{headers}\r\n{body}").into_bytes()
}

const HIDDEN: &str = "GET /hello HTTP/1.1\r\nhost: hidden\r\n\r\n";

#[test]
fn a_request_is_read_in_one_way_or_not_at_all() {
    let platform = start();
    let chunked = |body: &str| post("transfer-encoding: chunked\r\nconnection: close\r\n", body);
    let cases: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("two equal lengths", post("content-length: 0\r\ncontent-length: 0\r\nconnection: close\r\n", ""), &[200]),
        ("a list of lengths", post("content-length: 0, 0\r\n", HIDDEN), &[400]),
        ("an empty length", post("content-length: \r\n", HIDDEN), &[400]),
        ("a length in hex", post("content-length: 0x0\r\n", HIDDEN), &[400]),
        ("a length over 64 bits", post("content-length: 18446744073709551616\r\n", HIDDEN), &[400]),
        ("a negative length", post("content-length: -1\r\n", HIDDEN), &[400]),
        ("a length over the limit", post("content-length: 18446744073709551615\r\nconnection: close\r\n", ""), &[431]),
        (
            "a length and chunks",
            post("content-length: 5\r\ntransfer-encoding: chunked\r\n", &format!("0\r\n\r\n{HIDDEN}")),
            &[200],
        ),
        (
            "chunked twice",
            post("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", &format!("0\r\n\r\n{HIDDEN}")),
            &[200],
        ),
        ("identity", post("transfer-encoding: identity\r\n", HIDDEN), &[400]),
        ("chunked in another case", post("transfer-encoding: CHUNKED\r\n", &format!("0\r\n\r\n{HIDDEN}")), &[200]),
        ("chunked with a tab", post("transfer-encoding:\tchunked\r\n", &format!("0\r\n\r\n{HIDDEN}")), &[200]),
        (
            "chunked with a vertical tab",
            post("transfer-encoding: \x0bchunked\r\n", &format!("0\r\n\r\n{HIDDEN}")),
            &[400],
        ),
        ("chunked in quotes", post("transfer-encoding: \"chunked\"\r\n", &format!("0\r\n\r\n{HIDDEN}")), &[400]),
        ("a parameter of chunked", post("transfer-encoding: chunked;q=1\r\n", &format!("0\r\n\r\n{HIDDEN}")), &[400]),
        ("a space before the colon", post("transfer-encoding : chunked\r\n", &format!("0\r\n\r\n{HIDDEN}")), &[400]),
        ("a folded coding", post("transfer-encoding:\r\n chunked\r\n", &format!("0\r\n\r\n{HIDDEN}")), &[400]),
        ("a header without a colon", get("/hello", "x-a\r\n"), &[400]),
        ("a header without a name", get("/hello", ": a\r\n"), &[400]),
        ("a chunk with an extension", chunked("2;a=b;c=\"d\"\r\n{}\r\n0;e\r\n\r\n"), &[200]),
        ("a chunk with a huge extension", chunked(&format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "e".repeat(100_000))), &[400]),
        (
            "many chunks with extensions",
            chunked(&format!("{}0\r\n\r\n", format!("1;{}\r\nx\r\n", "e".repeat(1000)).repeat(100))),
            &[400],
        ),
        ("a chunk of 2^64 - 1", chunked("ffffffffffffffff\r\n{}\r\n0\r\n\r\n"), &[408]),
        ("a chunk over 64 bits", chunked("10000000000000000\r\n{}\r\n0\r\n\r\n"), &[400]),
        ("a chunk size with a space before it", chunked(" 2\r\n{}\r\n0\r\n\r\n"), &[400]),
        ("a chunk size in front of its own", chunked("0x2\r\n{}\r\n0\r\n\r\n"), &[400]),
        ("an empty chunk size", chunked("\r\n{}\r\n0\r\n\r\n"), &[400]),
        ("huge trailers", chunked(&format!("0\r\nx-a: {}\r\n\r\n", "t".repeat(100_000))), &[400]),
    ];
    assert_answered(&platform, cases);
}

#[test]
fn targets_versions_and_methods_are_taken_literally_or_refused() {
    let platform = start();
    let line = |line: &str, headers: &str| format!("{line}\r\n{headers}\r\n").into_bytes();
    let closing = "host: a\r\nconnection: close\r\n";
    let mut raw_path = b"GET /files/\xff\xfe HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec();
    let cases: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("absolute form", line("GET http://a/hello HTTP/1.1", closing), &[200]),
        ("absolute form with a user", line("GET http://u:p@a/hello HTTP/1.1", closing), &[400]),
        ("absolute form of another scheme", line("GET ftp://a/hello HTTP/1.1", closing), &[400]),
        ("authority form", line("GET a:80 HTTP/1.1", closing), &[400]),
        ("CONNECT", line("CONNECT a:80 HTTP/1.1", closing), &[400]),
        ("TRACE", line("TRACE /hello HTTP/1.1", closing), &[405]),
        ("an unknown method", line("BREW /hello HTTP/1.1", closing), &[405]),
        ("a method in small letters", line("get /hello HTTP/1.1", closing), &[405]),
        ("OPTIONS *", line("OPTIONS * HTTP/1.1", closing), &[400]),
        ("no path", line("GET HTTP/1.1", closing), &[400]),
        ("a path without a slash", line("GET hello HTTP/1.1", closing), &[400]),
        ("two slashes", line("GET //hello HTTP/1.1", closing), &[404]),
        ("dots", line("GET /files/../hello HTTP/1.1", closing), &[400]),
        ("encoded dots", line("GET /files/%2e%2e/hello HTTP/1.1", closing), &[400]),
        ("half encoded dots", line("GET /files/.%2E/hello HTTP/1.1", closing), &[400]),
        ("dots encoded twice", line("GET /files/%252e%252e/hello HTTP/1.1", closing), &[200]),
        ("an encoded slash", line("GET /files/a%2fb HTTP/1.1", closing), &[400]),
        ("an encoded backslash", line("GET /files/a%5c..%5cb HTTP/1.1", closing), &[400]),
        ("an encoded NUL", line("GET /files/a%00b HTTP/1.1", closing), &[400]),
        ("broken encoding", line("GET /files/%zz HTTP/1.1", closing), &[400]),
        ("encoded bytes that are no UTF-8", line("GET /files/%ff%fe HTTP/1.1", closing), &[400]),
        ("raw bytes that are no UTF-8", std::mem::take(&mut raw_path), &[400]),
        ("a fragment", line("GET /hello#x HTTP/1.1", closing), &[200]),
        ("HTTP/0.9", b"GET /hello\r\n\r\n".to_vec(), &[400]),
        ("HTTP/1.0 without a host", line("GET /hello HTTP/1.0", ""), &[200]),
        ("HTTP/1.2", line("GET /hello HTTP/1.2", closing), &[400]),
        ("HTTP/2.0 in words", line("GET /hello HTTP/2.0", closing), &[400]),
        ("HTTP/3", line("GET /hello HTTP/3", closing), &[400]),
        ("a lower case version", line("GET /hello http/1.1", closing), &[400]),
        (
            "an upgrade to a WebSocket",
            get(
                "/hello",
                "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            ),
            &[200],
        ),
        ("an upgrade to HTTP/2", get("/hello", "upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"), &[200]),
        (
            "a header that is no UTF-8",
            [b"GET /hello HTTP/1.1\r\nhost: a\r\nx-a: \xff\xfe\r\nconnection: close\r\n\r\n".as_slice()].concat(),
            &[200],
        ),
        ("a host that is none", line("GET /hello HTTP/1.1", "host: a b\r\nconnection: close\r\n"), &[400]),
        ("a host with a path", line("GET /hello HTTP/1.1", "host: a/b\r\nconnection: close\r\n"), &[400]),
        ("a bare CR between lines", b"GET /hello HTTP/1.1\rhost: a\r\r".to_vec(), &[400]),
        ("a TLS handshake", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(), &[400]),
    ];
    assert_answered(&platform, cases);
    // HTTP/1.0 goes on if both say so.
    let kept = "GET /hello HTTP/1.0\r\nconnection: keep-alive\r\n\r\nGET /hello HTTP/1.0\r\n\r\n";
    assert_eq!(statuses(&exchange(&platform, kept.as_bytes())), [200, 200]);
}

#[test]
fn heads_and_cookies_are_bounded() {
    let platform = start();
    let before = peak_memory_kib(&platform);
    let lines = |count: usize, length: usize| {
        (0..count).map(|n| format!("x-{n}: {}\r\n", "v".repeat(length))).collect::<String>()
    };
    for (why, headers, expected) in [
        ("as many as there may be", lines(70, 10), 200),
        ("too many", lines(90, 10), 431),
        ("far too many", lines(5_000, 1), 431),
        ("too large together", lines(40, 1_000), 431),
        ("one that is huge", lines(1, 200_000), 431),
        ("beyond what is parsed", lines(1, 1_000_000), 431),
        ("a cookie that is huge", format!("cookie: {}\r\n", "c=d; ".repeat(10_000)), 431),
        ("a cookie that is not", format!("cookie: {}\r\n", "c=d; ".repeat(1_000)), 200),
    ] {
        let answers = exchange(&platform, &get("/hello", &headers));
        assert_eq!(statuses(&answers), [expected], "{why}: {answers}");
    }
    let target = format!("/hello?{}", "q".repeat(9_000));
    assert_eq!(statuses(&exchange(&platform, &get(&target, ""))), [414]);
    assert_grown_less(&platform, before, FLOOD_KIB);
}

#[track_caller]
fn assert_grown_less(platform: &Platform, before_kib: u64, bound_kib: u64) {
    let grown = peak_memory_kib(platform).saturating_sub(before_kib);
    println!("the host has grown by {grown} KiB");
    assert!(grown < bound_kib, "the host has grown by {grown} KiB");
    // A flood of requests to one function is refused at first, and so may be the others that ask it.
    eventually("others are served", || match platform.get("/hello").send().status {
        200 => Ok(()),
        status => Err(status),
    });
}

#[test]
fn a_thousand_slow_clients_are_cut_off_and_hold_up_nobody() {
    let platform = start();
    let before = peak_memory_kib(&platform);
    let heads: Vec<TcpStream> = (0..500)
        .map(|number| {
            let mut socket = connect(&platform);
            write!(socket, "GET /hello HTTP/1.1\r\nhost: a\r\nx-{number}: ").expect("the host reads");
            socket
        })
        .collect();
    let bodies: Vec<TcpStream> = (0..500)
        .map(|_| {
            let mut socket = connect(&platform);
            socket.write_all(&post("content-length: 100\r\n", "slow")).expect("the host reads");
            socket
        })
        .collect();
    assert_eq!(platform.get("/hello").send().status, 200, "while they are at it");
    for socket in heads.iter().chain(&bodies) {
        let answers = answer(socket);
        assert_eq!(statuses(&answers), [408], "{answers}");
    }
    assert_grown_less(&platform, before, FLOOD_KIB);
}

#[test]
fn a_client_that_drips_its_head_gains_no_time() {
    let platform = start();
    let mut socket = connect(&platform);
    let mut reader = socket.try_clone().expect("another handle");
    reader.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    let _ = socket.write_all(b"GET /hello HTTP/1.1\r\nhost: a\r\n");
    let mut answered = Vec::new();
    // Each byte would be a sign of life, if that counted.
    while answered.is_empty() {
        let _ = socket.write_all(b"x");
        let mut part = [0; 512];
        match reader.read(&mut part) {
            Ok(0) => break,
            Ok(length) => answered.extend_from_slice(&part[..length]),
            Err(error) => assert!(matches!(error.kind(), std::io::ErrorKind::WouldBlock), "{error}"),
        }
    }
    assert!(answered.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answered));
    let _ = socket.shutdown(Shutdown::Both);
}

/// What ends a connection or a stream (RFC 9113 section 7). hyper's library says PROTOCOL_ERROR also where there is a
/// more exact code.
const PROTOCOL: End = End::Connection(1);
const FLOW: End = End::Connection(3);
const SIZE: End = End::Connection(6);
const CALM: End = End::Connection(11);
const STREAM: End = End::Stream(1);

/// What was wrong about how these ended, each on a connection of its own.
fn assert_ends(platform: &Platform, cases: Vec<(&str, Vec<Frame>, End)>, end: impl Fn(&mut Connection) -> End) {
    let mut wrong = Vec::new();
    for (why, frames, expected) in cases {
        let mut connection = Connection::open(address(platform));
        // The host may have closed before all of it is sent.
        let _ = frames.iter().try_for_each(|frame| connection.send(frame));
        let end = end(&mut connection);
        if end != expected {
            wrong.push(format!("{why}: {end:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(Connection::open(address(platform)).answers(1), "a request is still answered");
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Frame {
    Frame::new(kind, flags, stream, payload)
}

fn setting(id: u16, value: u32) -> Frame {
    Frame::new(SETTINGS, 0, 0, [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

#[test]
fn frames_against_the_rules_of_http2_end_the_connection() {
    let platform = start();
    let cases = vec![
        ("data without a stream", vec![frame(DATA, 0, 0, b"x")], PROTOCOL),
        ("headers without a stream", vec![frame(HEADERS, 5, 0, GET_HELLO)], PROTOCOL),
        ("an even stream", vec![Frame::get_hello(2)], PROTOCOL),
        ("a stream that went before", vec![Frame::get_hello(5), Frame::get_hello(3)], PROTOCOL),
        ("data on an idle stream", vec![frame(DATA, 0, 1, b"x")], PROTOCOL),
        ("a reset of an idle stream", vec![frame(RST_STREAM, 0, 1, &[0; 4])], PROTOCOL),
        ("a window for an idle stream", vec![frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])], PROTOCOL),
        ("a frame over the limit", vec![frame(HEADERS, 5, 1, &[0; 16_385])], SIZE),
        ("a reset of three bytes", vec![Frame::get_hello(1), frame(RST_STREAM, 0, 1, &[0; 3])], PROTOCOL),
        ("a window of no size", vec![frame(WINDOW_UPDATE, 0, 0, &[0; 4])], PROTOCOL),
        ("a window that overflows", vec![frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])], FLOW),
        ("a settings answer with settings", vec![frame(SETTINGS, 1, 0, &[0; 6])], PROTOCOL),
        ("settings of five bytes", vec![frame(SETTINGS, 0, 0, &[0; 5])], PROTOCOL),
        ("settings of a stream", vec![frame(SETTINGS, 0, 1, &[])], PROTOCOL),
        ("push that is neither on nor off", vec![setting(2, 2)], PROTOCOL),
        ("a first window over 2^31", vec![setting(4, 0x8000_0000)], PROTOCOL),
        ("frames that are too small", vec![setting(5, 16_383)], PROTOCOL),
        ("a ping of seven bytes", vec![frame(PING, 0, 0, &[0; 7])], PROTOCOL),
        ("a ping of a stream", vec![frame(PING, 0, 1, &[0; 8])], PROTOCOL),
        ("a push from a client", vec![frame(PUSH_PROMISE, 4, 1, &[0, 0, 0, 2, 0x82])], PROTOCOL),
        ("a continuation of nothing", vec![frame(CONTINUATION, 4, 1, GET_HELLO)], PROTOCOL),
        ("a ping between headers", vec![frame(HEADERS, 1, 1, GET_HELLO), frame(PING, 0, 0, &[0; 8])], PROTOCOL),
        ("a stream between headers", vec![frame(HEADERS, 1, 1, GET_HELLO), Frame::get_hello(3)], PROTOCOL),
        ("padding longer than the frame", vec![frame(HEADERS, 0x0d, 1, &[&[255], GET_HELLO].concat())], PROTOCOL),
        ("a stream that depends on itself", vec![frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 0])], End::Ignored),
    ];
    assert_ends(&platform, cases, Connection::end);
    let mut connection = Connection::bare(address(&platform));
    connection.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX").expect("the host reads");
    assert!(matches!(connection.end(), End::Closed | PROTOCOL), "a broken preface");
}

#[test]
fn header_blocks_against_the_rules_of_http2_end_the_stream() {
    let platform = start();
    let block = |block: &[u8]| vec![frame(HEADERS, END_STREAM | END_HEADERS, 1, block)];
    let with = |more: &[u8]| block(&[GET_HELLO, more].concat());
    let post = |length: &[u8]| {
        let head = [b"\x83\x86\x44\x06/hello\x41\x01a\x0f\x0d", length].concat();
        vec![frame(HEADERS, END_HEADERS, 1, &head), frame(DATA, END_STREAM, 1, b"xx")]
    };
    let cases = vec![
        ("a block that cannot be unpacked", block(b"\xff\xff\xff\xff\xff\xff"), PROTOCOL),
        ("an index that is not there", block(b"\x82\x86\x84\xff\x00"), PROTOCOL),
        ("a name in capitals", with(b"\x00\x03X-A\x01b"), PROTOCOL),
        ("a header of the connection", with(b"\x00\x0aconnection\x05close"), STREAM),
        ("chunks", with(b"\x00\x11transfer-encoding\x07chunked"), STREAM),
        ("te that is not trailers", with(b"\x00\x02te\x04gzip"), STREAM),
        ("no method", block(b"\x86\x84\x41\x01a"), STREAM),
        ("no path", block(b"\x82\x86\x41\x01a"), STREAM),
        ("an empty path", block(b"\x82\x86\x44\x00\x41\x01a"), STREAM),
        ("two methods", block(&[b"\x83", GET_HELLO].concat()), STREAM),
        ("a pseudo header at the end", block(b"\x82\x86\x84\x00\x03x-a\x01b\x41\x01a"), STREAM),
        ("an unknown pseudo header", with(b"\x00\x05:evil\x01b"), PROTOCOL),
        ("a status from a client", block(&[b"\x88", GET_HELLO].concat()), STREAM),
        ("a line's end in a value", with(b"\x00\x03x-a\x04a\r\nb"), PROTOCOL),
        ("more data than announced", post(b"\x011"), STREAM),
        ("less data than announced", post(b"\x013"), STREAM),
    ];
    assert_ends(&platform, cases, |connection| connection.end_of(1));
}

/// Sends what `batch` makes again and again until the host ends it, or so many times; says how it ended.
fn flood(platform: &Platform, batches: u32, mut batch: impl FnMut(u32) -> Vec<u8>) -> End {
    let mut connection = Connection::open(address(platform));
    for number in 0..batches {
        // The host closes, or takes nothing more, which the client sees here.
        if connection.write(&batch(number)).is_err() {
            break;
        }
    }
    connection.end()
}

#[test]
fn floods_of_http2_frames_are_ended_and_take_no_memory() {
    let platform = start();
    let before = peak_memory_kib(&platform);
    // CVE-2023-44487: streams that are reset as soon as they are opened cost the client nothing.
    let rapid = flood(&platform, 1_000, |number| {
        let streams = (0..100).map(|stream| 2 * (number * 100 + stream) + 1);
        streams
            .flat_map(|id| [Frame::get_hello(id).bytes(), Frame::new(RST_STREAM, 0, id, [0, 0, 0, 8]).bytes()].concat())
            .collect()
    });
    assert_eq!(rapid, CALM, "rapid reset");
    assert_grown_less(&platform, before, FLOOD_KIB);
    // CVE-2024-27316: a header block without an end.
    let mut begun = false;
    let endless = flood(&platform, 2_000, |number| {
        let mut bytes = if begun { Vec::new() } else { Frame::new(HEADERS, 1, 1, GET_HELLO).bytes() };
        begun = true;
        let name = format!("x-{number:06}");
        let field = [b"\x00\x08", name.as_bytes(), b"\x7f\x81\x7d", &[b'v'; 16_000]].concat();
        bytes.extend(Frame::new(CONTINUATION, 0, 1, field).bytes());
        bytes
    });
    println!("continuation flood: {endless:?}");
    assert!(matches!(endless, End::Connection(_) | End::Closed), "{endless:?}");
    let empty = flood(&platform, 2_000, |number| {
        let first = if number == 0 { Frame::new(HEADERS, 1, 1, GET_HELLO).bytes() } else { Vec::new() };
        [first, Frame::new(CONTINUATION, 0, 1, []).bytes().repeat(100)].concat()
    });
    println!("empty continuation flood: {empty:?}");
    assert!(matches!(empty, End::Connection(_) | End::Closed), "{empty:?}");
    assert_grown_less(&platform, before, FLOOD_KIB);
}

/// Frames that each ask for an answer, while the client reads none: the host stops reading before it keeps them.
#[test]
fn answers_that_nobody_reads_are_not_kept() {
    let platform = start();
    let before = peak_memory_kib(&platform);
    for (why, bytes) in [
        ("pings", Frame::new(PING, 0, 0, *b"12345678").bytes()),
        ("settings", setting(3, 100).bytes()),
        ("windows", Frame::new(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1]).bytes()),
        ("empty settings", Frame::new(SETTINGS, 0, 0, []).bytes()),
        ("priorities", Frame::new(PRIORITY, 0, 1, [0, 0, 0, 3, 1]).bytes()),
        ("unknown frames", Frame::new(0xee, 0, 1, [0; 64]).bytes()),
    ] {
        let mut connection = Connection::open(address(&platform));
        connection.patience(Duration::from_secs(2));
        let batch = bytes.repeat(1_000);
        let mut sent = 0_usize;
        // 64 MiB, unless the host takes no more.
        while sent < 64 * 1024 * 1024 && connection.write(&batch).is_ok() {
            sent += batch.len();
        }
        println!("{why}: {} KiB sent", sent / 1024);
        assert_grown_less(&platform, before, FLOOD_KIB);
    }
}

/// Requests whose answers nobody reads: the host keeps what fits into its buffers.
#[test]
fn a_thousand_connections_that_read_nothing_are_bounded() {
    let platform = start();
    let before = peak_memory_kib(&platform);
    let request = b"GET /hello HTTP/1.1\r\nhost: a\r\n\r\n".repeat(50);
    let sockets: Vec<TcpStream> = (0..1_000)
        .map(|_| {
            let mut socket = connect(&platform);
            socket.set_nonblocking(true).expect("a socket");
            // As much as it takes.
            let _ = socket.write(&request);
            socket
        })
        .collect();
    assert_grown_less(&platform, before, FLOOD_KIB);
    drop(sockets);
}
