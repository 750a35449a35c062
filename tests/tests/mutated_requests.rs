//! Requests that are nearly HTTP: each is answered or its connection closed, no answer is a fault of the host's, and the
//! host goes on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use weft_tests::isolation::start;
use weft_tests::mutation::mutated;

const TRIES: u64 = 400;
/// Longer than the host takes for any of them, so that a hang is seen.
const PATIENCE: Duration = Duration::from_secs(60);

const SEEDS: [&str; 6] = [
    "GET /visits/here HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    "POST /probe HTTP/1.1\r\nhost: a\r\ncontent-length: 29\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n\
     {\"call\":{\"key\":\"k\",\"x\":\"no\"}}",
    "POST /probe HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "GET /visits/%2e%2e/x?a=b&c=%zz HTTP/1.1\r\nhost: a:80\r\ncookie: a=b; c=d\r\nauthorization: Bearer x.y.z\r\nconnection: close\r\n\r\n",
    "OPTIONS * HTTP/1.0\r\nhost: a\r\nexpect: 100-continue\r\ntraceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
];

#[test]
fn whatever_comes_in_is_answered_or_cut_off() {
    let platform = start();
    let address = platform.url().strip_prefix("http://").expect("an address").to_owned();
    let seeds: Vec<Vec<u8>> = SEEDS.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    let mut answered = 0;
    mutated(&seeds, TRIES, |bytes| {
        let mut connection = TcpStream::connect(&address).expect("the host listens");
        connection.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        // The host may have cut it off in the middle, here and below.
        let _ = connection.write_all(bytes);
        let _ = connection.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        match connection.read_to_end(&mut answer) {
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                panic!("no end within {PATIENCE:?}")
            }
            _ => {}
        }
        let text = String::from_utf8_lossy(&answer);
        if let Some(status) = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)) {
            answered += 1;
            assert!(!matches!(status, "500" | "502"), "{text}");
        }
    });
    assert!(answered > 0);
    let visits = platform.get("/visits/after").send();
    assert_eq!((visits.status, visits.text()), (200, "/visits/after was asked for 1 times\n".to_owned()));
}
