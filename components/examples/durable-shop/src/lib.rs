//! `example:durable/shop`: each effect is one keyed commit. What an item is called decides how the shop takes it.

use example_durable_bindings::exports::shop::{Error, Guest};
use weft_guest::operation::{Effect, operation, revoke};
use weft_guest::sql::{query, sql};
use weft_guest::{Failure, clock, params};

/// All effects have one owner: whatever was done under a key is taken back by the same function.
const OWNER: &str = "example:durable/shop@1.0.0";
/// Who remembers that a flaky item was asked for.
const SEEN: &str = "example:durable/shop@1.0.0#seen";
/// More than a journal takes.
const HUGE_BYTES: usize = 2 * 1024 * 1024;

struct Component;

impl Guest for Component {
    async fn reserve(key: String, item: String) -> Result<String, Error> {
        match item.as_str() {
            "sold-out" => return Err(Error::SoldOut),
            "never" => clock::sleep_ms(3_600_000).await,
            "flaky" => fail_at_first(&key).await?,
            _ => {}
        }
        let answer = land(&key, format!("reserved {item}")).await?;
        Ok(if item == "huge" { "x".repeat(HUGE_BYTES) } else { answer })
    }

    async fn charge(key: String, cents: u32) -> Result<String, Error> {
        land(&key, format!("charged {cents}")).await
    }

    async fn take_back(key: String) -> Result<(), Error> {
        let delete = sql("DELETE FROM done WHERE key = $1", params![&key]);
        revoke(OWNER, &key, vec![delete], Vec::new()).await.map(drop)
    }

    async fn book() -> Result<Vec<String>, Error> {
        let rows = query("SELECT key || ': ' || what AS line FROM done ORDER BY key", Vec::new()).await?;
        rows.iter().map(|row| row.text("line").map_err(Error::from)).collect()
    }
}

async fn land(key: &str, what: String) -> Result<String, Error> {
    operation(OWNER, key, &what, async || {
        let insert = sql("INSERT INTO done (key, what) VALUES ($1, $2)", params![key, &what]);
        Ok(Effect::answer(what.clone()).then(insert))
    })
    .await
}

/// Once for each key.
async fn fail_at_first(key: &str) -> Result<(), Error> {
    let is_new = query("SELECT key FROM seen WHERE key = $1", params![key]).await?.is_empty();
    if is_new {
        let insert = sql("INSERT INTO seen (key) VALUES ($1)", params![key]);
        operation::<_, _, Error>(SEEN, key, &(), async || Ok(Effect::answer(()).then(insert))).await?;
        return Err(Error::Unavailable(Failure::unknown("the line was cut")));
    }
    Ok(())
}

example_durable_bindings::exports::shop::export!(Component);
