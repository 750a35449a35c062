//! Accounts as streams of events: `POST /accounts/{id}` with a key and an amount appends a deposit, or a withdrawal if
//! the amount is negative; `GET /accounts/{id}` answers what its events come to. A subscription writes down every
//! published event, which `GET /accounts/{id}/statement` answers in the order of its coming.

mod account;

use serde::Deserialize;
use serde_json::json;
use weft_guest::aggregate::{self, Decision};
use weft_guest::http::{Problem, Request, Response};
use weft_guest::messaging::{Delivery, Refusal};
use weft_guest::operation::{Effect, operation};
use weft_guest::sql::{query, sql};
use weft_guest::{events, params};

use crate::account::{Account, Entry};

/// Who owns the effects of the desk.
const DESK: &str = "example:ledger/desk#book";

weft_guest::http_handler!(handle);
weft_guest::subscription!(note);

#[derive(Deserialize)]
struct Booking {
    key: String,
    amount: i64,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let id = request.path_param("id").ok_or_else(|| Problem::not_found("account"))?;
    if request.method() == "POST" {
        let Booking { key, amount } = request.json()?;
        let balance = book(&key, &id, amount).await?;
        return Ok(Response::json(200, &json!({ "balance": balance })));
    }
    if request.path().ends_with("/statement") {
        return statement(&id).await;
    }
    let account = aggregate::load::<Account>(&id).await?;
    let snapshot = events::latest_snapshot(format!("account-{id}")).await.map_err(weft_guest::sql::Error::from)?;
    let snapshot = snapshot.map(|snapshot| snapshot.version);
    Ok(Response::json(
        200,
        &json!({ "balance": account.state.balance, "version": account.version, "snapshot": snapshot }),
    ))
}

async fn book(key: &str, id: &str, amount: i64) -> Result<i64, Problem> {
    aggregate::command(DESK, key, id, &amount, |account: &Account| {
        let left = account.balance.checked_add(amount).filter(|left| *left >= 0);
        let left = left.ok_or_else(|| Problem::conflict("too-little", "There is not that much on the account"))?;
        let entry = if amount < 0 { Entry::Withdrawn { amount: -amount } } else { Entry::Deposited { amount } };
        Ok(Decision::answer(left).event(entry))
    })
    .await
}

/// Writes an event down once, however often it is delivered.
async fn note(delivery: Delivery) -> Result<(), Refusal> {
    let Delivery { event, subscription, .. } = delivery;
    operation(&subscription, &event.id, &event.data, async || {
        let insert = sql(
            "INSERT INTO ledger_lines (place, stream, type, data) \
             SELECT coalesce(max(place), 0) + 1, $1, $2, $3 FROM ledger_lines",
            params![event.subject.clone(), &event.type_, String::from_utf8_lossy(&event.data).into_owned()],
        );
        Ok(Effect::answer(()).then(insert.expect_rows(1)))
    })
    .await
}

async fn statement(id: &str) -> Result<Response, Problem> {
    let lines = "SELECT type || ' ' || data AS line FROM ledger_lines WHERE stream = $1 ORDER BY place";
    let rows = query(lines, params![format!("account-{id}")]).await?;
    let lines = rows.iter().map(|row| row.text("line")).collect::<Result<Vec<_>, _>>()?;
    Ok(Response::json(200, &json!({ "lines": lines })))
}
