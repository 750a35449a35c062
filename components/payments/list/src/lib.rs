//! `GET /api/payments`: the payments of who asks, oldest first.

use serde::Serialize;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::params;
use weft_guest::sql::{Error, Row, query};

weft_guest::http_handler!(handle);

#[derive(Serialize)]
struct Payment {
    id: String,
    amount: u64,
    currency: String,
    status: String,
    enrollment_id: String,
}

#[derive(Serialize)]
struct Payments {
    items: Vec<Payment>,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let select = "SELECT id, amount, currency, status, enrollment_id FROM payments_payments \
                  WHERE student_id = $1 ORDER BY id LIMIT 1000";
    let rows = query(select, params![&user.id]).await?;
    let items = rows.iter().map(payment).collect::<Result<_, _>>()?;
    Ok(Response::json(200, &Payments { items }))
}

fn payment(row: &Row) -> Result<Payment, Error> {
    Ok(Payment {
        id: row.text("id")?,
        amount: row.count("amount")?,
        currency: row.text("currency")?,
        status: row.text("status")?,
        enrollment_id: row.text("enrollment_id")?,
    })
}
