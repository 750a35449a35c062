//! `example:planted/effects`: keyed commits, which may be repeated, and one transaction without a key, which may not.

use example_bindings::exports::effects::{Error, Guest};
use weft_guest::bindings::weft::sql::database;
use weft_guest::operation::{Effect, operation, revoke};
use weft_guest::sql::{Statement, sql};
use weft_guest::{clock, params};

const NOTE: &str = "example:planted/effects@1.0.0#note";
const COUNT: &str = "example:planted/effects@1.0.0#count";
const ADD: &str = "UPDATE planted_counters SET n = n + $1 WHERE name = 'orders'";

struct Component;

impl Guest for Component {
    async fn note(key: String, what: String) -> Result<(), Error> {
        operation(NOTE, &key, &what, async || {
            let insert = "INSERT INTO planted_notes (key, what, noted_at) VALUES ($1, $2, $3)";
            Ok(Effect::answer(()).then(sql(insert, params![&key, &what, clock::now_rfc3339()])))
        })
        .await
    }

    async fn erase(key: String) -> Result<(), Error> {
        let delete = sql("DELETE FROM planted_notes WHERE key = $1", params![&key]);
        revoke(NOTE, &key, vec![delete], Vec::new()).await.map(drop)
    }

    async fn count(key: String) -> Result<(), Error> {
        operation(COUNT, &key, &(), async || Ok(Effect::answer(()).then(add(1)))).await
    }

    async fn uncount(key: String) -> Result<(), Error> {
        revoke(COUNT, &key, vec![add(-1)], Vec::new()).await.map(drop)
    }

    async fn count_blindly(by: i64) -> Result<(), Error> {
        let transaction = database::begin().await?;
        let Statement { sql, parameters, .. } = add(by);
        transaction.execute(sql, parameters).await?;
        transaction.commit(Vec::new()).await?;
        Ok(())
    }
}

fn add(by: i64) -> Statement {
    sql(ADD, params![by])
}

example_bindings::exports::effects::export!(Component);
