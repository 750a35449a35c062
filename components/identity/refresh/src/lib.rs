//! POST /api/auth/refresh: a refresh token for a new pair. Each is good for one use; one that comes back was copied, so
//! its whole family ends.

use identity_domain::refresh::{self, Stored, Verdict};
use identity_store::now_ms;
use identity_store::sessions::{Holder, end_family, grant};
use serde::Deserialize;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::operation::{Effect, operation};
use weft_guest::sql::{Row, query_first, sql};
use weft_guest::{ids, params};

const ROTATE: &str = "POST /api/auth/refresh#rotate";
const END_FAMILY: &str = "POST /api/auth/refresh#end-family";

#[derive(Deserialize)]
struct Body {
    refresh_token: String,
}

fn refused() -> Problem {
    Problem::new(401, "invalid-refresh-token", "The refresh token is not valid: log in again")
        .header("www-authenticate", "Bearer error=\"invalid_token\"")
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let body: Body = request.json()?;
    let digest = refresh::digest(&body.refresh_token).ok_or_else(refused)?;
    let text = format!(
        "SELECT {}, t.family_id, t.expires_at_ms, t.used_at_ms, f.ended_at_ms FROM identity_refresh_tokens t \
         JOIN identity_refresh_families f ON f.id = t.family_id JOIN identity_accounts a ON a.id = f.account_id \
         WHERE t.digest = $1",
        Holder::COLUMNS
    );
    let row = query_first(&text, params![&digest]).await?.ok_or_else(refused)?;
    match refresh::judge(stored(&row)?, now_ms()) {
        Verdict::Refuse => return Err(refused()),
        Verdict::EndFamily => return end(&row.text("family_id")?).await,
        Verdict::Rotate => {}
    }
    rotate(&digest, &row).await
}

fn stored(row: &Row) -> Result<Stored, Problem> {
    Ok(Stored {
        used: row.optional_int("used_at_ms")?.is_some(),
        family_ended: row.optional_int("ended_at_ms")?.is_some(),
        expires_at_ms: row.int("expires_at_ms")?,
    })
}

async fn rotate(digest: &str, row: &Row) -> Result<Response, Problem> {
    let (family, holder) = (row.text("family_id")?, Holder::from_row(row)?);
    let (key, now_ms) = (ids::uuid(), now_ms());
    let grant = grant(&holder, &family).await?;
    let spend = "UPDATE identity_refresh_tokens SET used_at_ms = $2 WHERE digest = $1 AND used_at_ms IS NULL";
    let extend = "UPDATE identity_refresh_families SET expires_at_ms = $2 WHERE id = $1 AND ended_at_ms IS NULL";
    let forget = "DELETE FROM identity_refresh_tokens WHERE family_id = $1 AND expires_at_ms <= $2";
    // 409 stands for a token that another request has just spent; nobody but us sees it.
    let spent = Problem::conflict("spent", "The token was spent");
    let rotated = operation(ROTATE, &key, &(), async || {
        Ok(Effect::answer(())
            .then_or(sql(spend, params![digest, now_ms]).expect_rows(1), spent)
            .then_or(sql(extend, params![&family, grant.expires_at_ms]).expect_rows(1), refused())
            .then(sql(forget, params![&family, now_ms]))
            .then(grant.store)
            .then_or(grant.note, refused()))
    });
    match rotated.await {
        Ok(()) => Ok(Response::json(200, &grant.tokens).header("cache-control", "no-store")),
        Err(problem) if problem.status() == 409 => end(&family).await,
        Err(problem) => Err(problem),
    }
}

async fn end(family: &str) -> Result<Response, Problem> {
    let effect = async || Ok(Effect::answer(()).then(end_family(family)));
    operation::<_, (), Problem>(END_FAMILY, family, &(), effect).await?;
    Err(refused())
}

weft_guest::http_handler!(handle);
