//! education:identity/accounts: creating accounts, undoing that, and creating many at once. Who may do so is the
//! callers' business.

use std::collections::BTreeSet;

use education::events::facts::{AccountUndone, Fact, user_stream};
use education::exports::accounts::{Account, Error, Guest, NewAccount, export};
use identity_domain::account::{self, Role};
use identity_domain::{Invalid, password};
use identity_store::facts;
use weft_guest::events::{ExpectedVersion, NewEvent};
use weft_guest::operation::{Effect, command, operation, undo};
use weft_guest::sql::{query, query_first, sql};
use weft_guest::{clock, ids, params};

const CREATE: &str = "education:identity/accounts@1.0.0#create";
const CREATE_MANY: &str = "education:identity/accounts@1.0.0#create-many";
/// Accounts of one call; each is a statement and an event of its commit and a parameter of the question which are there
/// already.
const MANY: usize = 500;

struct Accounts;

impl Guest for Accounts {
    async fn create(key: String, account: NewAccount) -> Result<Account, Error> {
        operation(CREATE, &key, &account, async || {
            let account = checked(account.clone()).map_err(|error| Error::Invalid(error.to_string()))?;
            let insert = sql(INSERT, parameters(&account, &key));
            let (stream, created) = (user_stream(&account.id), created(&account));
            let NewAccount { id, email, name, role, .. } = account;
            let effect = Effect::answer(Account { id, email, name, role }).then_or(insert, Error::EmailTaken);
            // That there is no such account, the row says.
            Ok(effect.append(&stream, ExpectedVersion::Any, vec![created]))
        })
        .await
    }

    async fn delete(key: String) -> Result<(), Error> {
        undo(CREATE, &key, async || {
            let made = query_first("SELECT id FROM identity_accounts WHERE created_by = $1", params![&key]).await?;
            let Some(made) = made else { return Ok(Effect::answer(())) };
            let user_id = made.text("id")?;
            let delete = sql("DELETE FROM identity_accounts WHERE created_by = $1", params![&key]);
            let effect = Effect::answer(()).then(delete.expect_rows(1));
            let undone = AccountUndone { user_id: user_id.clone() }.event();
            Ok(effect.append(&user_stream(&user_id), ExpectedVersion::Any, vec![undone]))
        })
        .await
        .map(drop)
    }

    async fn create_many(key: String, accounts: Vec<NewAccount>) -> Result<u32, Error> {
        command(CREATE_MANY, &key, &accounts, async || {
            if accounts.len() > MANY {
                return Err(Error::Invalid(format!("more than {MANY} accounts in one call")));
            }
            let accounts = accounts.iter().cloned().map(checked).collect::<Result<Vec<_>, _>>();
            let mut new = accounts.map_err(|error| Error::Invalid(error.to_string()))?;
            let mut known = there_already(&new).await?;
            // Of two with the same e-mail or id, the first.
            new.retain(|account| known.insert(account.email.clone()) & known.insert(account.id.clone()));
            let count = u32::try_from(new.len()).unwrap_or(u32::MAX);
            Ok(new.iter().fold(Effect::answer(count), |effect, account| {
                let insert = sql(&format!("{INSERT} ON CONFLICT DO NOTHING"), parameters(account, &key));
                // Whoever made the same account meanwhile has appended to its stream: then this is decided again.
                effect.then(insert).append(&user_stream(&account.id), ExpectedVersion::NoStream, vec![created(account)])
            }))
        })
        .await
    }
}

fn created(account: &NewAccount) -> NewEvent {
    facts::created(&account.id, &account.email, &account.name, &account.role)
}

const INSERT: &str = "INSERT INTO identity_accounts (id, email, name, role, password_hash, created_at, created_by) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7)";

fn parameters(account: &NewAccount, key: &str) -> Vec<weft_guest::sql::Value> {
    let NewAccount { id, email, name, role, password_hash } = account;
    params![id, email, name, role, password_hash.clone(), clock::now_rfc3339(), key]
}

fn checked(account: NewAccount) -> Result<NewAccount, Invalid> {
    if !ids::is_uuid(&account.id) {
        return Err(Invalid::new("id", "is not a UUID"));
    }
    if account.password_hash.as_deref().is_some_and(|hash| !password::is_hash(hash)) {
        return Err(Invalid::new("password_hash", "is not a hash of ours"));
    }
    let (email, name) = (account::email(&account.email)?, account::name(&account.name)?);
    Role::parse(&account.role)?;
    Ok(NewAccount { email, name, ..account })
}

/// Ids and e-mails that are taken.
async fn there_already(accounts: &[NewAccount]) -> Result<BTreeSet<String>, Error> {
    if accounts.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut known = BTreeSet::new();
    for column in ["id", "email"] {
        let places: Vec<String> = (1..=accounts.len()).map(|number| format!("${number}")).collect();
        let text = format!("SELECT {column} AS taken FROM identity_accounts WHERE {column} IN ({})", places.join(", "));
        let given = accounts.iter().map(|account| if column == "id" { &account.id } else { &account.email });
        for row in query(&text, given.map(Into::into).collect()).await? {
            known.insert(row.text("taken")?);
        }
    }
    Ok(known)
}

export!(Accounts with_types_in education::exports::accounts::bindings);
