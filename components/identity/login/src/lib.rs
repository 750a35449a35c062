//! POST /api/auth/login: e-mail and password for a pair of tokens.

use identity_domain::{account, password};
use identity_store::attempts::{Attempt, too_many};
use identity_store::invalid;
use identity_store::sessions::{Holder, forget_families, grant};
use serde::Deserialize;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::operation::{Effect, operation};
use weft_guest::sql::query_first;
use weft_guest::{ids, params};

const FAILURE: &str = "POST /api/auth/login#failure";
const SESSION: &str = "POST /api/auth/login#session";

#[derive(Deserialize)]
struct Body {
    email: String,
    password: String,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let body: Body = request.json()?;
    let email = account::email(&body.email).map_err(invalid)?;
    let attempt = Attempt::new(email, request.client_address().unwrap_or("unknown"));
    if let Some(locked) = attempt.locked().await? {
        return Err(locked);
    }
    let text = format!("SELECT {}, a.password_hash FROM identity_accounts a WHERE a.email = $1", Holder::COLUMNS);
    let row = query_first(&text, params![&attempt.email]).await?;
    let stored = row.as_ref().map(|row| row.optional_text("password_hash")).transpose()?.flatten();
    // Takes as long for an account that does not exist, and answers the same.
    let verified = password::verify(&body.password, stored.as_deref());
    let answer = match row.filter(|_| verified) {
        Some(row) => succeed(&attempt, &Holder::from_row(&row)?).await,
        None => fail(&attempt).await,
    };
    match answer {
        Ok(response) => Ok(response),
        Err(problem) => Err(attempt.refused(problem).await),
    }
}

async fn fail(attempt: &Attempt) -> Result<Response, Problem> {
    let (forget, count) = (attempt.forget_old(), attempt.count_failure());
    operation(FAILURE, &ids::uuid(), &(), async || Ok(Effect::answer(()).then(forget).then_or(count, too_many())))
        .await?;
    Err(Problem::new(401, "invalid-credentials", "The e-mail or the password is wrong")
        .header("www-authenticate", "Bearer"))
}

async fn succeed(attempt: &Attempt, holder: &Holder) -> Result<Response, Problem> {
    let family = ids::uuid();
    let grant = grant(holder, &family).await?;
    let begin = attempt.begin_family(&family, &holder.id, grant.expires_at_ms);
    let voided = Problem::new(503, "unavailable", "The account changed during the login").header("retry-after", "1");
    operation(SESSION, &family, &holder.id, async || {
        Ok(Effect::answer(())
            .then(forget_families(holder))
            .then_or(begin, too_many())
            .then(attempt.clear())
            .then(grant.store)
            .then_or(grant.note, voided))
    })
    .await?;
    Ok(Response::json(200, &grant.tokens).header("cache-control", "no-store"))
}

weft_guest::http_handler!(handle);
