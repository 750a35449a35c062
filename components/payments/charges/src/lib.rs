//! `education:payments/charges`: charges, undoes a charge, refunds. Each is a keyed commit with the event that says so; the sandbox
//! provider's
//! behaviour is the domain's.

use education::events::facts::{Charged, Fact, Refunded, payment_stream};
use education::exports::charges::{ChargeRequest, Error, Guest, Payment};
use payments_domain::{Behaviour, Decision};
use weft_guest::events::{self, ExpectedVersion};
use weft_guest::operation::{Effect, command, operation, undo};
use weft_guest::sql::{query, query_first, sql};
use weft_guest::{Failure, clock, ids, params};

const CHARGE: &str = "education:payments/charges@1.0.0#charge";
const ATTEMPT: &str = "education:payments/charges@1.0.0#attempt";
const REFUND: &str = "education:payments/charges@1.0.0#refund";
/// Longer than any step waits: the caller's timeout ends a hanging charge.
const HANG_MS: u64 = 120_000;

struct Component;

impl Guest for Component {
    async fn charge(key: String, request: ChargeRequest) -> Result<Payment, Error> {
        let behaviour = payments_domain::behaviour(&request.provider, &request.token, request.amount);
        let behaviour = behaviour.map_err(Error::Invalid)?;
        payments_domain::check_amount(request.amount, &request.currency).map_err(Error::Invalid)?;
        let mut hang = false;
        let payment = operation(CHARGE, &key, &request, async || {
            match payments_domain::decide(behaviour, refused_attempts(behaviour, &key).await?) {
                Decision::Decline => Err(Error::Declined("the card was declined".to_string())),
                Decision::TryAgain => Err(refuse(&key).await?),
                Decision::ChargeAfter { wait_ms, then_hang } => {
                    if wait_ms > 0 {
                        clock::sleep_ms(wait_ms).await;
                    }
                    hang = then_hang;
                    Ok(charged(&key, &request))
                }
            }
        })
        .await?;
        if hang {
            clock::sleep_ms(HANG_MS).await;
        }
        Ok(payment)
    }

    async fn revoke(key: String) -> Result<(), Error> {
        let undone = undo(CHARGE, &key, async || {
            let charged = query_first("SELECT id FROM payments_payments WHERE charged_by = $1", params![&key]).await?;
            match charged {
                Some(charged) => give_back(&charged.text("id")?).await,
                None => Ok(Effect::answer(())),
            }
        });
        undone.await.map(drop)
    }

    async fn refund(key: String, payment_id: String) -> Result<(), Error> {
        command(REFUND, &key, &payment_id, async || give_back(&payment_id).await).await
    }
}

/// Refunds a payment, unless it is refunded already.
async fn give_back(payment_id: &str) -> Result<Effect<(), Error>, Error> {
    let stream = payment_stream(payment_id);
    // Before the row: whoever refunds it in between appends, and this is decided again.
    let version = events::version(&stream).await?;
    let select = "SELECT student_id, amount, currency, status FROM payments_payments WHERE id = $1";
    let none = || Error::Invalid("there is no such payment".to_string());
    let row = query_first(select, params![payment_id]).await?.ok_or_else(none)?;
    if row.text("status")? == "refunded" {
        return Ok(Effect::answer(()));
    }
    let refund = "UPDATE payments_payments SET status = 'refunded', refunded_at = $2 WHERE id = $1";
    let refund = sql(refund, params![payment_id, clock::now_rfc3339()]).expect_rows(1);
    let refunded = Refunded {
        payment_id: payment_id.to_string(),
        student_id: row.text("student_id")?,
        amount: row.count("amount")?,
        currency: row.text("currency")?,
    };
    let effect = Effect::answer(()).then_or(refund, none());
    Ok(effect.append(&stream, ExpectedVersion::after(version), vec![refunded.event()]))
}

fn charged(key: &str, request: &ChargeRequest) -> Effect<Payment, Error> {
    let ChargeRequest { student_id, enrollment_id, amount, currency, provider, .. } = request;
    let (id, amount, currency) = (ids::uuid(), *amount, currency.clone());
    let insert = "INSERT INTO payments_payments \
                  (id, student_id, enrollment_id, amount, currency, provider, status, charged_by, charged_at) \
                  VALUES ($1, $2, $3, $4, $5, $6, 'charged', $7, $8)";
    let row = params![&id, student_id, enrollment_id, amount, &currency, provider, key, clock::now_rfc3339()];
    let charged = Charged {
        payment_id: id.clone(),
        student_id: student_id.clone(),
        enrollment_id: enrollment_id.clone(),
        amount,
        currency: currency.clone(),
        provider: provider.clone(),
    };
    let stream = payment_stream(&id);
    Effect::answer(Payment { id, amount, currency, enrollment_id: enrollment_id.clone() })
        .then(sql(insert, row))
        .append(&stream, ExpectedVersion::NoStream, vec![charged.event()])
}

/// Attempts outlive the instance, and only a flaky provider counts them.
async fn refused_attempts(behaviour: Behaviour, key: &str) -> Result<u64, Error> {
    if behaviour != Behaviour::Flaky {
        return Ok(0);
    }
    let rows = query("SELECT attempt FROM payments_attempts WHERE charged_by = $1", params![key]).await?;
    Ok(rows.len() as u64)
}

async fn refuse(key: &str) -> Result<Error, Error> {
    let attempt = refused_attempts(Behaviour::Flaky, key).await? + 1;
    operation(ATTEMPT, &format!("{key}/{attempt}"), &attempt, async || {
        let insert = sql("INSERT INTO payments_attempts (charged_by, attempt) VALUES ($1, $2)", params![key, attempt]);
        Ok(Effect::<(), Error>::answer(()).then(insert))
    })
    .await?;
    Ok(Error::Unavailable(Failure::not_attempted("the payment provider does not answer")))
}

education::exports::charges::export!(Component);
