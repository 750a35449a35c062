//! An account as the API shows it.

use serde::Serialize;
use serde_json::Value;
use weft_guest::http::Problem;
use weft_guest::params;
use weft_guest::sql::query_first;

/// What a user sees of an account.
#[derive(Debug, Serialize)]
pub struct Profile {
    id: String,
    email: String,
    name: String,
    role: String,
    preferences: Value,
    created_at: String,
}

/// Reads an account; 404 if there is none.
pub async fn load(id: &str) -> Result<Profile, Problem> {
    let text = "SELECT email, name, role, preferences, created_at FROM identity_accounts WHERE id = $1";
    let row = query_first(text, params![id]).await?.ok_or_else(|| Problem::not_found("account"))?;
    let preferences = serde_json::from_str(&row.text("preferences")?).map_err(|error| Problem::internal(&error))?;
    Ok(Profile {
        id: id.to_owned(),
        email: row.text("email")?,
        name: row.text("name")?,
        role: row.text("role")?,
        preferences,
        created_at: row.text("created_at")?,
    })
}
