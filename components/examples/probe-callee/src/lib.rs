//! `example:probe/behaviour`: a callee that answers, or traps, or waits for ever, as its caller asks. Two of them can
//! meet, which only calls that run at the same time can; one can ask its caller by HTTP.

mod asking;

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use example_bindings::exports::behaviour::{Error, Guest};
use weft_guest::bindings::spin::key_value::key_value::{self, Store};
use weft_guest::bindings::wasi::clocks::monotonic_clock;
use weft_guest::{Failure, clock};

struct Component;

/// How often one looks whether the other is there.
const LOOK_EVERY_MS: u64 = 5;

/// How long `work` computes.
const WORK_NS: u64 = 40_000_000;

/// Calls that this instance has begun and ended; only where instances are reused there is more than one.
static BEGUN: AtomicU32 = AtomicU32::new(0);
static ENDED: AtomicU32 = AtomicU32::new(0);

impl Guest for Component {
    async fn act(key: String, what: String) -> Result<String, Error> {
        BEGUN.fetch_add(1, Ordering::Relaxed);
        let answer = Self::answer(key, what).await;
        ENDED.fetch_add(1, Ordering::Relaxed);
        answer
    }
}

impl Component {
    async fn answer(key: String, what: String) -> Result<String, Error> {
        match what.split(' ').collect::<Vec<_>>().as_slice() {
            ["echo"] => Ok(key),
            ["refuse"] => Err(Error::Refused(key)),
            ["served"] => Ok(BEGUN.load(Ordering::Relaxed).to_string()),
            ["company"] => Ok((BEGUN.load(Ordering::Relaxed) - ENDED.load(Ordering::Relaxed) - 1).to_string()),
            ["work"] => {
                let until = monotonic_clock::now() + WORK_NS;
                while monotonic_clock::now() < until {}
                Ok(key)
            }
            ["trap"] => std::process::abort(),
            ["loop"] => {
                while black_box(true) {}
                Ok(key)
            }
            ["grow"] => {
                let mut kept = Vec::new();
                while black_box(true) {
                    kept.push(vec![black_box(1_u8); 64 * 1024]);
                }
                Ok(key)
            }
            ["sleep"] => {
                clock::sleep_ms(3_600_000).await;
                Ok(key)
            }
            ["answer", bytes] => Ok("x".repeat(bytes.parse().unwrap_or_default())),
            ["ask"] => asking::ask(&key).await.map_err(|error| Error::Refused(format!("{error:?}"))),
            ["meet", own, other] => meet(&key, own, other).await,
            _ => Err(Error::Refused(format!("{what:?} is nothing that this callee does"))),
        }
    }
}

/// Says that it is there, and answers once the other has said so too.
async fn meet(place: &str, own: &str, other: &str) -> Result<String, Error> {
    let store = Store::open("default".to_string()).await.map_err(failed)?;
    store.set(format!("{place}/{own}"), Vec::new()).await.map_err(failed)?;
    while !store.exists(format!("{place}/{other}")).await.map_err(failed)? {
        clock::sleep_ms(LOOK_EVERY_MS).await;
    }
    Ok(format!("{own} met {other}"))
}

fn failed(error: key_value::Error) -> Error {
    Error::Unavailable(Failure::not_attempted(format!("the meeting place: {error:?}")))
}

example_bindings::exports::behaviour::export!(Component);
