//! education:identity/passwords: an operator sets the password of an account, which ends its sessions and lifts a
//! lockout.

use education::exports::passwords::{Error, Guest, export};
use identity_domain::{account, password};
use identity_store::voiding;
use weft_guest::operation::{Effect, operation};
use weft_guest::sql::{query_first, sql};
use weft_guest::{ids, params};

const RESET: &str = "education:identity/passwords@1.0.0#reset";

struct Passwords;

impl Guest for Passwords {
    async fn reset(key: String, email: String, new_password: String) -> Result<(), Error> {
        let email = account::email(&email).map_err(|_| Error::UnknownAccount)?;
        password::check("password", &new_password, &email).map_err(|error| Error::Weak(error.to_string()))?;
        let row = query_first("SELECT id FROM identity_accounts WHERE email = $1", params![&email]).await?;
        let id = row.ok_or(Error::UnknownAccount)?.text("id")?;
        let hash =
            password::hash(&new_password, &ids::random_array()).map_err(|error| Error::Weak(error.to_string()))?;

        // See `voiding` why before and after.
        voiding::announce(&id).await.map_err(Error::Unavailable)?;
        // The password is no part of the fingerprint: an unsalted digest of it would lie in the database.
        operation(RESET, &key, &email, async || {
            let set = sql("UPDATE identity_accounts SET password_hash = $2 WHERE id = $1", params![&id, hash]);
            let lift = sql("DELETE FROM identity_login_failures WHERE email = $1", params![&email]);
            let [void, end] = voiding::statements(&id);
            let set = set.expect_rows(1);
            Ok(Effect::answer(()).then_or(set, Error::UnknownAccount).then(lift).then(void).then(end))
        })
        .await?;
        voiding::confirm(&id).await.map_err(Error::Unavailable)
    }
}

export!(Passwords with_types_in education::exports::passwords::bindings);
