//! Voiding the tokens of an account, when its role or its password changes. Refresh tokens end with the commit.
//! Access tokens are checked by the gateway without asking this database, so it reads the second up to which they are
//! void from a key-value store; the row is the authority and the store a copy of it.
//! Which second that is, `identity_domain::voiding` says.

use weft_guest::bindings::spin::key_value::key_value::{self, Store};
use weft_guest::sql::{Statement, query_first, sql};
use weft_guest::{Failure, params};

use crate::now_ms;

const STORE: &str = "auth-revocations";
/// The first second that is after all tokens issued so far.
const AFTER_ALL_ISSUED: &str =
    "CASE WHEN last_issued_at_s > tokens_valid_from_s THEN last_issued_at_s ELSE tokens_valid_from_s END + 1";

/// What voids all tokens of an account, for the commit that gives the reason.
pub fn statements(account: &str) -> [Statement; 2] {
    let void = format!("UPDATE identity_accounts SET tokens_valid_from_s = {AFTER_ALL_ISSUED} WHERE id = $1");
    let end = "UPDATE identity_refresh_families SET ended_at_ms = $2 WHERE account_id = $1 AND ended_at_ms IS NULL";
    [sql(&void, params![account]), sql(end, params![account, now_ms()])]
}

/// Before the commit: voids the access tokens issued so far. If the host dies right after the commit, no token with
/// the old role outlives it; if the commit is refused, their holders refresh them.
pub async fn announce(account: &str) -> Result<(), Failure> {
    let text = format!("SELECT {AFTER_ALL_ISSUED} AS second FROM identity_accounts WHERE id = $1");
    let Some(row) = query_first(&text, params![account]).await? else { return Ok(()) };
    write(account, row.int("second")?).await
}

/// After the commit: voids the tokens that were issued between the announcement and the commit as well.
pub async fn confirm(account: &str) -> Result<(), Failure> {
    let text = "SELECT tokens_valid_from_s AS second FROM identity_accounts WHERE id = $1";
    let mut written = None;
    // Again if the row has moved on meanwhile: of two that void at the same time, the later commit has the last word.
    while let Some(row) = query_first(text, params![account]).await? {
        let second = row.int("second")?;
        if written == Some(second) {
            break;
        }
        write(account, second).await?;
        written = Some(second);
    }
    Ok(())
}

/// The gateway refuses tokens that were issued in the second it finds there, or before.
async fn write(account: &str, valid_from_s: i64) -> Result<(), Failure> {
    let store = Store::open(STORE.to_owned()).await.map_err(unwritten)?;
    let void_through_s = (valid_from_s - 1).to_string();
    store.set(account.to_owned(), void_through_s.into_bytes()).await.map_err(unwritten)
}

fn unwritten(error: key_value::Error) -> Failure {
    Failure::not_attempted(format!("the key-value store {STORE}: {error:?}"))
}
