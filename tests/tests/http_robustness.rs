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

/// Longer than the host takes for any of them, so that a hang is seen.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much the host may grow in any flood: some buffers for each of its connections, and no more with time.
const FLOOD_KIB: u64 = 96 * 1024;

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
            panic!("no end within {PATIENCE:?}: {}", String::from_utf8_lossy(&bytes))
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
    let after = answers.split("HTTP/1.1 ").skip(1);
    after.map(|answer| answer.get(..3).and_then(|status| status.parse().ok()).expect("a status")).collect()
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
        ("two equal lengths", post("content-length: 0\r\ncontent-length: 0\r\n", HIDDEN), &[400]),
        ("a list of lengths", post("content-length: 0, 0\r\n", HIDDEN), &[400]),
        ("an empty length", post("content-length: \r\n", HIDDEN), &[400]),
        ("a length in hex", post("content-length: 0x0\r\n", HIDDEN), &[400]),
        ("a length over 64 bits", post("content-length: 18446744073709551616\r\n", HIDDEN), &[400]),
        ("a negative length", post("content-length: -1\r\n", HIDDEN), &[400]),
        ("a length over the limit", post("content-length: 18446744073709551615\r\nconnection: close\r\n", ""), &[413]),
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
        ("a chunk of 2^64 - 1", chunked("ffffffffffffffff\r\n{}\r\n0\r\n\r\n"), &[413]),
        ("a chunk over 64 bits", chunked("10000000000000000\r\n{}\r\n0\r\n\r\n"), &[400]),
        ("a chunk size with a space before it", chunked(" 2\r\n{}\r\n0\r\n\r\n"), &[400]),
        ("a chunk size in front of its own", chunked("0x2\r\n{}\r\n0\r\n\r\n"), &[400]),
        ("an empty chunk size", chunked("\r\n{}\r\n0\r\n\r\n"), &[400]),
        ("huge trailers", chunked(&format!("0\r\nx-a: {}\r\n\r\n", "t".repeat(100_000))), &[400]),
    ];
    for (why, request, expected) in cases {
        let answers = exchange(&platform, &request);
        assert_eq!(statuses(&answers), expected, "{why}: {answers}");
    }
    assert_eq!(platform.get("/hello").send().status, 200);
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
        ("CONNECT", line("CONNECT a:80 HTTP/1.1", closing), &[405]),
        ("TRACE", line("TRACE /hello HTTP/1.1", closing), &[405]),
        ("an unknown method", line("BREW /hello HTTP/1.1", closing), &[405]),
        ("a method in small letters", line("get /hello HTTP/1.1", closing), &[405]),
        ("OPTIONS *", line("OPTIONS * HTTP/1.1", closing), &[404]),
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
        ("encoded bytes that are no UTF-8", line("GET /files/%ff%fe HTTP/1.1", closing), &[200]),
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
    for (why, request, expected) in cases {
        let answers = exchange(&platform, &request);
        assert_eq!(statuses(&answers), expected, "{why}: {answers}");
        assert!(!answers.contains("x-user-"), "{why}: nothing of the request comes back: {answers}");
    }
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
    assert_eq!(platform.get("/hello").send().status, 200, "others are served");
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

/// One offence on a fresh connection.
fn offence(platform: &Platform, frames: &[Frame]) -> End {
    let mut connection = Connection::open(address(platform));
    for frame in frames {
        if connection.send(frame).is_err() {
            break;
        }
    }
    connection.end()
}

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

fn headers(block: &[u8]) -> Frame {
    Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, block)
}

fn setting(id: u16, value: u32) -> Frame {
    Frame::new(SETTINGS, 0, 0, [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

#[test]
fn offences_against_http2_end_the_stream_or_the_connection() {
    let platform = start();
    let connection = |code| End::Connection(code);
    let cases: Vec<(&str, Vec<Frame>, &[End])> = vec![
        ("data without a stream", vec![Frame::new(DATA, 0, 0, *b"x")], &[connection(PROTOCOL_ERROR)]),
        ("headers without a stream", vec![Frame::new(HEADERS, 5, 0, GET_HELLO)], &[connection(PROTOCOL_ERROR)]),
        ("an even stream", vec![Frame::get_hello(2)], &[connection(PROTOCOL_ERROR)]),
        (
            "a stream that went before",
            vec![Frame::get_hello(5), Frame::get_hello(3)],
            &[connection(PROTOCOL_ERROR), connection(STREAM_CLOSED), End::Stream(STREAM_CLOSED)],
        ),
        ("data on an idle stream", vec![Frame::new(DATA, 0, 1, *b"x")], &[connection(PROTOCOL_ERROR)]),
        ("a reset of an idle stream", vec![Frame::new(RST_STREAM, 0, 1, [0; 4])], &[connection(PROTOCOL_ERROR)]),
        (
            "a window for an idle stream",
            vec![Frame::new(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1])],
            &[connection(PROTOCOL_ERROR)],
        ),
        ("a frame over the limit", vec![Frame::new(HEADERS, 5, 1, vec![0; 16_385])], &[connection(FRAME_SIZE_ERROR)]),
        (
            "a reset of three bytes",
            vec![Frame::get_hello(1), Frame::new(RST_STREAM, 0, 1, [0; 3])],
            &[connection(FRAME_SIZE_ERROR)],
        ),
        ("a window of no size", vec![Frame::new(WINDOW_UPDATE, 0, 0, [0; 4])], &[connection(PROTOCOL_ERROR)]),
        (
            "a window that overflows",
            vec![Frame::new(WINDOW_UPDATE, 0, 0, [0x7f, 0xff, 0xff, 0xff])],
            &[connection(FLOW_CONTROL_ERROR)],
        ),
        ("a settings answer with settings", vec![Frame::new(SETTINGS, 1, 0, [0; 6])], &[connection(FRAME_SIZE_ERROR)]),
        ("settings of five bytes", vec![Frame::new(SETTINGS, 0, 0, [0; 5])], &[connection(FRAME_SIZE_ERROR)]),
        ("settings of a stream", vec![Frame::new(SETTINGS, 0, 1, [])], &[connection(PROTOCOL_ERROR)]),
        ("push that is neither on nor off", vec![setting(2, 2)], &[connection(PROTOCOL_ERROR)]),
        ("a first window over 2^31", vec![setting(4, 0x8000_0000)], &[connection(FLOW_CONTROL_ERROR)]),
        ("frames that are too small", vec![setting(5, 16_383)], &[connection(PROTOCOL_ERROR)]),
        ("a ping of seven bytes", vec![Frame::new(PING, 0, 0, [0; 7])], &[connection(FRAME_SIZE_ERROR)]),
        ("a ping of a stream", vec![Frame::new(PING, 0, 1, [0; 8])], &[connection(PROTOCOL_ERROR)]),
        (
            "a push from a client",
            vec![Frame::new(PUSH_PROMISE, 4, 1, [0, 0, 0, 2, 0x82])],
            &[connection(PROTOCOL_ERROR)],
        ),
        ("a continuation of nothing", vec![Frame::new(CONTINUATION, 4, 1, GET_HELLO)], &[connection(PROTOCOL_ERROR)]),
        (
            "something between headers",
            vec![Frame::new(HEADERS, 1, 1, GET_HELLO), Frame::new(PING, 0, 0, [0; 8])],
            &[connection(PROTOCOL_ERROR)],
        ),
        (
            "headers of another stream between",
            vec![Frame::new(HEADERS, 1, 1, GET_HELLO), Frame::get_hello(3)],
            &[connection(PROTOCOL_ERROR)],
        ),
        (
            "headers that cannot be unpacked",
            vec![headers(b"\xff\xff\xff\xff\xff\xff")],
            &[connection(COMPRESSION_ERROR)],
        ),
        ("an index that is not there", vec![headers(b"\x82\x86\x84\xff\x00")], &[connection(COMPRESSION_ERROR)]),
        (
            "padding longer than the frame",
            vec![Frame::new(HEADERS, 0x0d, 1, [&[255][..], GET_HELLO].concat())],
            &[connection(PROTOCOL_ERROR)],
        ),
        (
            "a stream that depends on itself",
            vec![Frame::new(PRIORITY, 0, 1, [0, 0, 0, 1, 0])],
            &[End::Stream(PROTOCOL_ERROR), connection(PROTOCOL_ERROR), End::Ignored],
        ),
        (
            "a name in capitals",
            vec![headers(&[GET_HELLO, b"\x00\x03X-A\x01b"].concat())],
            &[End::Stream(PROTOCOL_ERROR), connection(PROTOCOL_ERROR)],
        ),
        (
            "a header of the connection",
            vec![headers(&[GET_HELLO, b"\x00\x0aconnection\x05close"].concat())],
            &[End::Stream(PROTOCOL_ERROR)],
        ),
        (
            "chunks",
            vec![headers(&[GET_HELLO, b"\x00\x11transfer-encoding\x07chunked"].concat())],
            &[End::Stream(PROTOCOL_ERROR)],
        ),
        (
            "te that is not trailers",
            vec![headers(&[GET_HELLO, b"\x00\x02te\x04gzip"].concat())],
            &[End::Stream(PROTOCOL_ERROR)],
        ),
        ("no method", vec![headers(b"\x86\x84\x41\x01a")], &[End::Stream(PROTOCOL_ERROR)]),
        ("no path", vec![headers(b"\x82\x86\x41\x01a")], &[End::Stream(PROTOCOL_ERROR)]),
        ("an empty path", vec![headers(b"\x82\x86\x44\x00\x41\x01a")], &[End::Stream(PROTOCOL_ERROR)]),
        (
            "two methods",
            vec![headers(&[b"\x83", GET_HELLO].concat())],
            &[End::Stream(PROTOCOL_ERROR), connection(PROTOCOL_ERROR)],
        ),
        (
            "a pseudo header at the end",
            vec![headers(b"\x82\x86\x84\x00\x03x-a\x01b\x41\x01a")],
            &[End::Stream(PROTOCOL_ERROR), connection(PROTOCOL_ERROR)],
        ),
        (
            "an unknown pseudo header",
            vec![headers(&[GET_HELLO, b"\x00\x05:evil\x01b"].concat())],
            &[End::Stream(PROTOCOL_ERROR), connection(PROTOCOL_ERROR)],
        ),
        (
            "a status from a client",
            vec![headers(&[b"\x88", GET_HELLO].concat())],
            &[End::Stream(PROTOCOL_ERROR), connection(PROTOCOL_ERROR)],
        ),
        (
            "more data than announced",
            vec![
                Frame::new(HEADERS, 4, 1, [b"\x83\x86\x44\x06/hello\x41\x01a".as_slice(), b"\x0f\x0d\x011"].concat()),
                Frame::new(DATA, 1, 1, *b"xx"),
            ],
            &[End::Stream(PROTOCOL_ERROR)],
        ),
        (
            "less data than announced",
            vec![
                Frame::new(HEADERS, 4, 1, [b"\x83\x86\x44\x06/hello\x41\x01a".as_slice(), b"\x0f\x0d\x013"].concat()),
                Frame::new(DATA, 1, 1, *b"xx"),
            ],
            &[End::Stream(PROTOCOL_ERROR)],
        ),
    ];
    for (why, frames, expected) in cases {
        let end = offence(&platform, &frames);
        println!("{why}: {end:?}");
        assert!(expected.contains(&end), "{why}: {end:?}, not {expected:?}");
    }
    let mut connection = Connection::bare(address(&platform));
    connection.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX").expect("the host reads");
    assert!(matches!(connection.end(), End::Closed | End::Connection(PROTOCOL_ERROR)), "a broken preface");
    assert!(Connection::open(address(&platform)).answers(1), "a request is still answered");
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
    assert_eq!(rapid, End::Connection(ENHANCE_YOUR_CALM), "rapid reset");
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
    assert_grown_less(&platform, before, 2 * FLOOD_KIB);
    drop(sockets);
}
