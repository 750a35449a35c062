//! POST /api/auth/login: e-mail and password for a pair of tokens. Every attempt is counted before the password is
//! looked at, so that many at once are let through no more often than one after the other.

use identity_domain::{account, lockout, password};
use identity_store::sessions::{Holder, grant};
use identity_store::{invalid, now_ms};
use serde::Deserialize;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::operation::{Effect, operation};
use weft_guest::sql::{query_first, sql};
use weft_guest::{Failure, ids, params};

const ATTEMPT: &str = "POST /api/auth/login#attempt";
const SESSION: &str = "POST /api/auth/login#session";

/// The same answer for a wrong password and for an account that does not exist.
const REFUSED: (&str, &str) = ("invalid-credentials", "The e-mail or the password is wrong");

#[derive(Deserialize)]
struct Body {
    email: String,
    password: String,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let body: Body = request.json()?;
    let email = account::email(&body.email).map_err(invalid)?;
    let address = request.client_address().unwrap_or("unknown");
    count_attempt(&email, address).await?;

    let text = format!("SELECT {}, a.password_hash FROM identity_accounts a WHERE a.email = $1", Holder::COLUMNS);
    let row = query_first(&text, params![&email]).await?;
    let stored = row.as_ref().map(|row| row.optional_text("password_hash")).transpose()?.flatten();
    let verified = password::verify(&body.password, stored.as_deref());
    let Some(row) = row.filter(|_| verified) else {
        return Err(Problem::new(401, REFUSED.0, REFUSED.1).header("www-authenticate", "Bearer"));
    };
    let holder = Holder::from_row(&row)?;
    begin_session(&holder, &email, address).await
}

/// Counts a failure, which success takes back; 429 if there are too many. See `lockout::attempt`.
async fn count_attempt(email: &str, address: &str) -> Result<(), Problem> {
    let (now_ms, key) = (now_ms(), ids::uuid());
    let old_ms = now_ms - lockout::WINDOW_MS;
    let forget = sql("DELETE FROM identity_login_failures WHERE fifth_ms <= $1", params![old_ms]);
    let count = sql(
        "INSERT INTO identity_login_failures AS f (email, address, first_ms, second_ms, third_ms, fourth_ms, fifth_ms) \
         VALUES ($1, $2, 0, 0, 0, 0, $3) ON CONFLICT (email, address) DO UPDATE SET first_ms = f.second_ms, \
         second_ms = f.third_ms, third_ms = f.fourth_ms, fourth_ms = f.fifth_ms, fifth_ms = $3 WHERE f.first_ms <= $4",
        params![email, address, now_ms, old_ms],
    );
    let locked = Problem::new(429, "too-many-attempts", "Too many failed logins");
    let counted = operation(ATTEMPT, &key, &(), async || {
        Ok(Effect::answer(()).then(forget).then_or(count.expect_rows(1), locked))
    });
    let Err(problem) = counted.await else { return Ok(()) };
    if problem.status() != 429 {
        return Err(problem);
    }
    let text = "SELECT first_ms FROM identity_login_failures WHERE email = $1 AND address = $2";
    let oldest_ms = query_first(text, params![email, address]).await?.map(|row| row.int("first_ms")).transpose()?;
    let seconds = lockout::retry_after_s(oldest_ms.unwrap_or(0), now_ms);
    Err(problem.detail(format!("Try again in {seconds} s.")).header("retry-after", seconds.to_string()))
}

async fn begin_session(holder: &Holder, email: &str, address: &str) -> Result<Response, Problem> {
    let family = ids::uuid();
    let grant = grant(holder, &family).await?;
    let succeeded = "DELETE FROM identity_login_failures WHERE email = $1 AND address = $2";
    let forget = "DELETE FROM identity_refresh_families WHERE account_id = $1 AND expires_at_ms <= $2";
    let begin = "INSERT INTO identity_refresh_families (id, account_id, expires_at_ms) VALUES ($1, $2, $3)";
    let voided = Problem::unavailable(&Failure::not_attempted("the account's tokens were voided during a login"));
    operation(SESSION, &family, &holder.id, async || {
        Ok(Effect::answer(())
            .then(sql(succeeded, params![email, address]))
            .then(sql(forget, params![&holder.id, now_ms()]))
            .then(sql(begin, params![&family, &holder.id, grant.expires_at_ms]))
            .then(grant.store)
            .then_or(grant.note, voided))
    })
    .await?;
    Ok(Response::json(200, &grant.tokens).header("cache-control", "no-store"))
}

weft_guest::http_handler!(handle);
