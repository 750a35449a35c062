//! `example:bench/noop` with one keyed commit a call, the least that a step with an effect does.

use example_bindings::exports::noop::{Error, Guest};
use weft_guest::operation::{Effect, operation, revoke};
use weft_guest::params;
use weft_guest::sql::sql;

const RUN: &str = "example:bench/noop@1.0.0#run";

struct Component;

impl Guest for Component {
    async fn run(key: String) -> Result<(), Error> {
        operation(RUN, &key, &(), async || {
            Ok(Effect::answer(()).then(sql("INSERT INTO bench_steps (step) VALUES ($1)", params![&key]).expect_rows(1)))
        })
        .await
    }

    async fn undo(key: String) -> Result<(), Error> {
        let delete = sql("DELETE FROM bench_steps WHERE step = $1", params![&key]);
        revoke(RUN, &key, vec![delete], Vec::new()).await.map(drop)
    }
}

example_bindings::exports::noop::export!(Component);
