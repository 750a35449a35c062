//! POST /api/auth/register: checks what was sent, hashes the password, and runs the registration saga to its end. The
//! password itself goes no further than here.

use education::identity::accounts::NewAccount;
use education::identity::registration::{self, Error};
use identity_domain::account::{self, Role};
use identity_domain::password;
use identity_store::invalid;
use serde::Deserialize;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::ids;

#[derive(Deserialize)]
struct Body {
    email: String,
    password: String,
    name: String,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let body: Body = request.json()?;
    let email = account::email(&body.email).map_err(invalid)?;
    let name = account::name(&body.name).map_err(invalid)?;
    password::check("password", &body.password, &email).map_err(invalid)?;

    // The key of the request is the saga's: a request that is repeated under its Idempotency-Key starts nothing anew.
    let key = request.command_key()?;
    let salt = if request.header("idempotency-key").is_some() {
        // The same request has to come to the same input, so its hash has to be the same.
        password::derived_salt(&key)
    } else {
        ids::random_array()
    };
    let password_hash = Some(password::hash(&body.password, &salt).map_err(invalid)?);
    // The saga makes the id.
    let account = NewAccount { id: String::new(), email, name, role: Role::Student.name().to_owned(), password_hash };
    match registration::register(key, account).await {
        Ok(account) => Ok(Response::json(201, &account)),
        Err(Error::EmailTaken) => Err(Problem::conflict("email-taken", "There is an account with this e-mail")
            .field("email", "belongs to another account")),
        Err(Error::Invalid(reason)) => {
            Err(Problem::new(422, "invalid-account", "The account is not valid").detail(reason))
        }
        Err(Error::Unavailable(failure)) => Err(failure.into()),
    }
}

weft_guest::http_handler!(handle);
