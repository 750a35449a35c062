//! `GET /hostile?do=`: everything that a function must not get away with and that needs no grant. Each of these ends
//! or is ended by the host; the tests of isolation say how.

use std::hint::black_box;

mod bodies;
mod handles;

use weft_guest::bindings::exports::http::exports::wasi::http::handler::Guest;
use weft_guest::bindings::wasi::http::types::{ErrorCode, Request as WasiRequest, Response as WasiResponse};
use weft_guest::clock;
use weft_guest::http::{Problem, Request, Response, serve};

struct Hostile;

weft_guest::bindings::exports::http::export_http!(Hostile with_types_in weft_guest::bindings::exports::http);

/// Turns of [`compute`].
const COMPUTED: u64 = 2_000_000;

/// What [`misbehave`] holds until its deadline.
const HELD: usize = 24 << 20;

/// What one write of an endless body or output holds.
pub const CHUNK: usize = 64 * 1024;

impl Guest for Hostile {
    async fn handle(request: WasiRequest) -> Result<WasiResponse, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        match target.split_once("do=").map_or("", |(_, what)| what) {
            "stream" => bodies::streamed(u64::MAX),
            "break-off" => bodies::streamed(3),
            "too-long" => bodies::declared(5, 100),
            "too-short" => bodies::declared(100, 5),
            "never-closed" => bodies::never_closed(),
            "many-headers" => bodies::many_headers(),
            // Answers at once, and looks at nothing of the request.
            "leave-unread" => bodies::declared(0, 0),
            _ => serve(request, misbehave).await,
        }
    }
}

async fn misbehave(request: Request) -> Result<Response, Problem> {
    match request.query("do").unwrap_or_default() {
        "loop" => spin(),
        "grow" => grow(),
        "hold" => {
            let kept = vec![black_box(1_u8); HELD];
            clock::sleep_ms(3_600_000).await;
            drop(black_box(kept));
        }
        "trap" => std::process::abort(),
        "recurse" => drop(black_box(recurse(1))),
        "recurse-wide" => drop(black_box(recurse_wide(1))),
        "print" => print(),
        "sleep" => clock::sleep_ms(3_600_000).await,
        "wait-for-nothing" => std::future::pending().await,
        // Runs on after its answer, as long as it is let.
        "linger" => weft_guest::wit_bindgen::spawn_local(async { spin() }),
        "work" => work(),
        "compute" => compute(),
        "fields" => handles::fields(),
        "full-fields" => handles::full_fields(),
        "streams" => handles::streams(),
        "tasks" => handles::tasks().await,
        "random" => handles::random(),
        "ask-yourself" => return handles::ask_yourself(&request, handles::by_name(&request), 1).await,
        "ask-yourself-twice" => return handles::ask_yourself(&request, handles::by_name(&request), 2).await,
        "ask-chained" => return handles::ask_yourself(&request, "hostile.spin.internal", 1).await,
        "ask-self" => return handles::ask_yourself(&request, "self.alt", 1).await,
        "nothing" => {}
        other => return Err(Problem::invalid("do", format!("{other:?} is nothing that this function does"))),
    }
    Ok(Response::no_content())
}

fn spin() {
    let mut turns = 0_u64;
    // For ever, as far as this function is concerned; the compiler must not see that it has no effect.
    while black_box(true) {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Keeps all it gets, and touches it, so that it is the machine's memory and not a promise.
fn grow() {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    while black_box(true) {
        kept.push(vec![black_box(1); CHUNK]);
    }
}

/// Fills the stack that the machine code runs on.
fn recurse(depth: u64) -> u64 {
    // Never true; the compiler does not know that.
    if black_box(depth) == 0 {
        return 0;
    }
    recurse(depth + 1) ^ depth
}

/// Fills the stack that the function keeps in its own memory, and runs over its end.
fn recurse_wide(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if black_box(depth) == 0 {
        return 0;
    }
    recurse_wide(depth + 1) + frame.iter().sum::<u64>()
}

/// What an honest request may take: less than the limit of one, and soon more than it if requests are added up.
fn work() {
    let until = clock::now_ms() + 40;
    while clock::now_ms() < until {
        black_box((0..10_000_u64).fold(0, |sum, turn| black_box(sum ^ turn)));
    }
}

/// The same work each time, however busy the machine is: some milliseconds of a core.
fn compute() {
    black_box((0..COMPUTED).fold(0_u64, |sum, turn| black_box(sum.rotate_left(5) ^ turn)));
}

fn print() {
    let line = "the same again ".repeat(64);
    while black_box(true) {
        println!("{line}");
    }
}
