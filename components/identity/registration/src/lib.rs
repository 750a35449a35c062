//! The user-registration saga: create-account, then welcome. If nobody can be welcomed, there is no account.

use education::events::{REGISTERED_TOPIC, REGISTERED_TYPE, Registered};
use education::exports::registration::{Account, Error, Guest, NewAccount, export};
use education::identity::accounts;
use weft_guest::messaging::Outgoing;
use weft_guest::saga::{self, Saga};
use weft_guest::{Failure, ids};

const REGISTER: &str = "education:identity/registration@1.0.0#register";

struct Registration;

impl Guest for Registration {
    async fn register(key: String, account: NewAccount) -> Result<Account, Error> {
        saga::run(REGISTER, key, account, register).await
    }
}

async fn register(saga: Saga, mut account: NewAccount) -> Result<Account, Error> {
    if account.id.is_empty() {
        // From the saga's own clock and random source: the same id in every replay.
        account.id = ids::uuid();
    }
    let create = |key| accounts::create(key, account.clone());
    let undo = |key, _| accounts::delete(key);
    let account = saga.step("create-account", create).undo(undo).await.map_err(refused)?;

    let event = Registered { user_id: account.id.clone(), email: account.email.clone(), name: account.name.clone() };
    let event =
        Outgoing::new(REGISTERED_TOPIC, REGISTERED_TYPE, &event).subject(&account.id).correlation_id(saga.key());
    let welcomed: Result<String, Failure> = saga.step("welcome", |key| event.clone().publish(key)).await;
    welcomed.map_err(Error::Unavailable)?;
    Ok(account)
}

fn refused(error: accounts::Error) -> Error {
    match error {
        accounts::Error::EmailTaken => Error::EmailTaken,
        accounts::Error::Invalid(reason) => Error::Invalid(reason),
        accounts::Error::Revoked => Error::Unavailable(Failure::not_attempted("the registration was undone")),
        accounts::Error::Unavailable(failure) => Error::Unavailable(failure),
    }
}

export!(Registration with_types_in education::exports::registration::bindings);
weft_guest::resumable!(REGISTER => register);
