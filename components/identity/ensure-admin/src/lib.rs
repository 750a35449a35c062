//! Runs at each start: if nobody is an admin, makes the account that the variables `admin_email` and `admin_password`
//! name. A password that had to be made up is shown once, here.

use education::events::facts::user_stream;
use identity_domain::account::{self, Role};
use identity_domain::{password, refresh};
use identity_store::facts;
use weft_guest::events::ExpectedVersion;
use weft_guest::operation::{Effect, operation};
use weft_guest::sql::{self, query_first, sql};
use weft_guest::{Failure, clock, ids, params, variables};

const ENSURE_ADMIN: &str = "weft:control/startup@0.1.0#run";
const EMAIL: &str = "admin@example.com";
const NAME: &str = "Administrator";

async fn run() -> Result<Option<String>, String> {
    if let Some(email) = an_admin().await.map_err(|error| sql::describe(&error))? {
        return Ok(Some(format!("admin account: {email}")));
    }
    let given = variable("admin_email").await?;
    let email =
        account::email(given.as_deref().unwrap_or(EMAIL)).map_err(|error| format!("admin_email: {}", error.reason))?;
    let given = variable("admin_password").await?;
    let secret = given.clone().unwrap_or_else(made_up);
    let hash = password::hash(&secret, &ids::random_array()).map_err(|error| error.to_string())?;

    let (key, id) = (ids::uuid(), ids::uuid());
    let insert = sql(
        "INSERT INTO identity_accounts (id, email, name, role, password_hash, created_at, created_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![&id, &email, NAME, Role::Admin.name(), hash, clock::now_rfc3339(), &key],
    );
    let taken = Failure::not_attempted(format!(
        "nobody is an admin, and {email} is the account of somebody else: name another e-mail by admin_email"
    ));
    let created = facts::created(&id, &email, NAME, Role::Admin.name());
    let effect = Effect::answer(()).then_or(insert, taken);
    let effect = effect.append(&user_stream(&id), ExpectedVersion::NoStream, vec![created]);
    let made = operation(ENSURE_ADMIN, &key, &email, async || Ok(effect));
    made.await.map_err(|failure: Failure| failure.message)?;
    Ok(Some(match given {
        // The operator's own choice is told, not refused: the platform has to start.
        Some(_) => match password::check("admin_password", &secret, &email) {
            Ok(()) => format!("admin account: {email}"),
            Err(weak) => format!("admin account: {email}  (weak password: {weak})"),
        },
        None => format!("admin account: {email}  password: {secret}"),
    }))
}

async fn an_admin() -> Result<Option<String>, sql::Error> {
    let text = "SELECT email FROM identity_accounts WHERE role = $1 ORDER BY created_at, id LIMIT 1";
    query_first(text, params![Role::Admin.name()]).await?.map(|row| row.text("email")).transpose()
}

/// The variable, unless it is empty.
async fn variable(name: &str) -> Result<Option<String>, String> {
    let value = variables::get(name).await.map_err(|error| format!("variable {name}: {error:?}"))?;
    Ok(Some(value).filter(|value| !value.is_empty()))
}

/// 144 random bits that one can type.
fn made_up() -> String {
    refresh::encode(&ids::random_array()).chars().take(24).collect()
}

weft_guest::startup!(run);
