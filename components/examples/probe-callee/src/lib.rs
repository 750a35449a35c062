//! `example:probe/behaviour`: a callee that answers, or traps, or waits for ever, as its caller asks. Two of them can
//! meet, which only calls that run at the same time can.

use std::hint::black_box;

use example_bindings::exports::behaviour::{Error, Guest};
use weft_guest::bindings::spin::key_value::key_value::{self, Store};
use weft_guest::{Failure, clock};

struct Component;

/// How often one looks whether the other is there.
const LOOK_EVERY_MS: u64 = 5;

impl Guest for Component {
    async fn act(key: String, what: String) -> Result<String, Error> {
        match what.split(' ').collect::<Vec<_>>().as_slice() {
            ["echo"] => Ok(key),
            ["refuse"] => Err(Error::Refused(key)),
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
