//! Sessions: a login begins a family of refresh tokens, each good for one use, and every one comes with an access token.
//! The tokens themselves are never stored: not in a row, not in a recorded answer.

use identity_domain::access::{self, Issuer, Subject};
use identity_domain::account::Role;
use identity_domain::refresh;
use identity_domain::voiding::issued_at_s;
use serde::Serialize;
use weft_guest::http::Problem;
use weft_guest::sql::{Row, Statement, sql};
use weft_guest::{ids, params, variables};

use crate::now_ms;

/// The account that a session speaks for, with what was read of it at one instant.
#[derive(Debug)]
pub struct Holder {
    /// The account's id.
    pub id: String,
    email: String,
    role: Role,
    tokens_valid_from_s: i64,
}

impl Holder {
    /// The columns that [`Holder::from_row`] reads.
    pub const COLUMNS: &str = "a.id, a.email, a.role, a.tokens_valid_from_s";

    /// The account out of a row with [`Holder::COLUMNS`].
    pub fn from_row(row: &Row) -> Result<Self, Problem> {
        let role = Role::parse(&row.text("role")?).map_err(|error| Problem::internal(&error))?;
        let tokens_valid_from_s = row.int("tokens_valid_from_s")?;
        Ok(Self { id: row.text("id")?, email: row.text("email")?, role, tokens_valid_from_s })
    }
}

/// What a client gets (RFC 6749, section 5.1).
#[derive(Debug, Serialize)]
pub struct Tokens {
    access_token: String,
    refresh_token: String,
    token_type: &'static str,
    expires_in: i64,
}

/// Tokens that are good once their statements are committed.
pub struct Grant {
    /// What the client gets after the commit.
    pub tokens: Tokens,
    /// Stores the refresh token. Its family has to be in the database.
    pub store: Statement,
    /// Notes when the access token was issued; changes no row if tokens of the account were voided since it was read.
    pub note: Statement,
    /// When the refresh token expires, in milliseconds since the Unix epoch.
    pub expires_at_ms: i64,
}

/// Makes an access token, and a refresh token of that family.
pub async fn grant(holder: &Holder, family: &str) -> Result<Grant, Problem> {
    let pem = variables::get("jwt_private_key").await.map_err(|error| Problem::internal(&format!("{error:?}")))?;
    let issuer = Issuer::from_pem(&pem).map_err(|error| Problem::internal(&error))?;
    let now_ms = now_ms();
    let now_s = now_ms / 1000;
    let issued_at_s = issued_at_s(now_s, holder.tokens_valid_from_s);
    let subject = Subject { id: &holder.id, email: &holder.email, role: holder.role };
    let access_token = issuer.issue(subject, &ids::uuid(), issued_at_s, now_s);
    let refresh_token = refresh::encode(&ids::random_array());
    let digest = refresh::digest(&refresh_token).ok_or_else(|| Problem::internal(&"a refresh token has no digest"))?;
    let expires_at_ms = now_ms + refresh::LIFETIME_MS;
    let store = sql(
        "INSERT INTO identity_refresh_tokens (digest, family_id, expires_at_ms) VALUES ($1, $2, $3)",
        params![digest, family, expires_at_ms],
    );
    let note = sql(
        "UPDATE identity_accounts SET last_issued_at_s = CASE WHEN last_issued_at_s > $2 THEN last_issued_at_s ELSE $2 END \
         WHERE id = $1 AND tokens_valid_from_s = $3",
        params![&holder.id, issued_at_s, holder.tokens_valid_from_s],
    );
    let tokens = Tokens { access_token, refresh_token, token_type: "Bearer", expires_in: access::LIFETIME_S };
    Ok(Grant { tokens, store, note: note.expect_rows(1), expires_at_ms })
}

/// Forgets the families of an account whose last token has expired.
pub fn forget_families(holder: &Holder) -> Statement {
    let forget = "DELETE FROM identity_refresh_families WHERE account_id = $1 AND expires_at_ms <= $2";
    sql(forget, params![&holder.id, now_ms()])
}

/// Ends a family: none of its refresh tokens is good any more.
pub fn end_family(family: &str) -> Statement {
    let text = "UPDATE identity_refresh_families SET ended_at_ms = $2 WHERE id = $1 AND ended_at_ms IS NULL";
    sql(text, params![family, now_ms()])
}
