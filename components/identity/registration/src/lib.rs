//! The user-registration saga: create-account, welcome-mail, track. If nobody can be welcomed or counted, there is no
//! account.

use education::events::Registered;
use education::exports::registration::{Account, Error, Guest, NewAccount, export};
use education::identity::{accounts, sign_ups};
use weft_guest::Failure;
use weft_guest::saga::{self, Saga};

const REGISTER: &str = "education:identity/registration@1.0.0#register";

struct Registration;

impl Guest for Registration {
    async fn register(key: String, account: NewAccount) -> Result<Account, Error> {
        saga::run(REGISTER, key, account, register).await
    }
}

async fn register(saga: Saga, mut account: NewAccount) -> Result<Account, Error> {
    if account.id.is_empty() {
        // The same in every run of the saga.
        account.id = saga.uuid();
    }
    let create = |key| accounts::create(key, account.clone());
    let undo = |key, _| accounts::delete(key);
    let account = saga.step("create-account", create).undo(undo).await.map_err(refused)?;

    let registered =
        Registered { user_id: account.id.clone(), email: account.email.clone(), name: account.name.clone() };
    let (welcome, undone) = (registered.notice(saga.key()), registered.undone(saga.key()));
    saga.step("welcome-mail", |key| welcome.clone().publish(key))
        .undo(move |key, _| undone.clone().publish(format!("{key}/undo")))
        .await
        .map_err(Error::Unavailable)?;

    saga.step("track", |key| sign_ups::track(key, account.id.clone()))
        .undo(|key, _| sign_ups::untrack(key))
        .await
        .map_err(untracked)?;
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

fn untracked(error: sign_ups::Error) -> Error {
    match error {
        sign_ups::Error::Revoked => Error::Unavailable(Failure::not_attempted("the registration was undone")),
        sign_ups::Error::Unavailable(failure) => Error::Unavailable(failure),
    }
}

export!(Registration with_types_in education::exports::registration::bindings);
weft_guest::resumable!(REGISTER => register);
