//! education:identity/sign-ups: remembers each sign-up, for statistics.

use education::exports::sign_ups::{Error, Guest, export};
use weft_guest::operation::{Effect, operation, revoke};
use weft_guest::sql::sql;
use weft_guest::{clock, params};

const TRACK: &str = "education:identity/sign-ups@1.0.0#track";

struct SignUps;

impl Guest for SignUps {
    async fn track(key: String, account_id: String) -> Result<(), Error> {
        operation(TRACK, &key, &account_id, async || {
            let insert = sql(
                "INSERT INTO identity_sign_ups (account_id, signed_up_at, tracked_by) VALUES ($1, $2, $3)",
                params![&account_id, clock::now_rfc3339(), &key],
            );
            Ok(Effect::answer(()).then(insert))
        })
        .await
    }

    async fn untrack(key: String) -> Result<(), Error> {
        let delete = sql("DELETE FROM identity_sign_ups WHERE tracked_by = $1", params![&key]);
        revoke(TRACK, &key, vec![delete], Vec::new()).await.map(drop)
    }
}

export!(SignUps with_types_in education::exports::sign_ups::bindings);
