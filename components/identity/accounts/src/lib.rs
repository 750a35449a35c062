//! education:identity/accounts: creating accounts, undoing that, and creating many at once. Who may do so is the
//! callers' business.

use education::exports::accounts::{Account, Error, Guest, NewAccount, export};
use identity_domain::account::{self, Role};
use identity_domain::{Invalid, password};
use weft_guest::operation::{Effect, operation, revoke};
use weft_guest::sql::{Statement, query_first, sql};
use weft_guest::{clock, ids, params};

const CREATE: &str = "education:identity/accounts@1.0.0#create";
const CREATE_MANY: &str = "education:identity/accounts@1.0.0#create-many";
/// Accounts of one call; each is a statement of its commit and a parameter of the question which are there already.
const MANY: usize = 500;

struct Accounts;

impl Guest for Accounts {
    async fn create(key: String, account: NewAccount) -> Result<Account, Error> {
        operation(CREATE, &key, &account, async || {
            let account = checked(account.clone()).map_err(|error| Error::Invalid(error.to_string()))?;
            let insert = sql(INSERT, parameters(&account, &key));
            let NewAccount { id, email, name, role, .. } = account;
            Ok(Effect::answer(Account { id, email, name, role }).then_or(insert, Error::EmailTaken))
        })
        .await
    }

    async fn delete(key: String) -> Result<(), Error> {
        let delete = sql("DELETE FROM identity_accounts WHERE created_by = $1", params![&key]);
        revoke(CREATE, &key, vec![delete], Vec::new()).await.map(drop)
    }

    async fn create_many(key: String, accounts: Vec<NewAccount>) -> Result<u32, Error> {
        operation(CREATE_MANY, &key, &accounts, async || {
            if accounts.len() > MANY {
                return Err(Error::Invalid(format!("more than {MANY} accounts in one call")));
            }
            let accounts = accounts.iter().cloned().map(checked).collect::<Result<Vec<_>, _>>();
            let accounts = accounts.map_err(|error| Error::Invalid(error.to_string()))?;
            let new = u32::try_from(accounts.len()).unwrap_or(u32::MAX).saturating_sub(there_already(&accounts).await?);
            let insert = |account| sql(&format!("{INSERT} ON CONFLICT DO NOTHING"), parameters(account, &key));
            let statements = accounts.iter().map(insert);
            Ok(statements.fold(Effect::answer(new), |effect, statement: Statement| effect.then(statement)))
        })
        .await
    }
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

async fn there_already(accounts: &[NewAccount]) -> Result<u32, Error> {
    if accounts.is_empty() {
        return Ok(0);
    }
    let places: Vec<String> = (1..=accounts.len()).map(|number| format!("${number}")).collect();
    let text = format!("SELECT count(*) AS n FROM identity_accounts WHERE email IN ({})", places.join(", "));
    let row = query_first(&text, accounts.iter().map(|account| (&account.email).into()).collect()).await?;
    Ok(row.map(|row| row.count("n")).transpose()?.and_then(|count| u32::try_from(count).ok()).unwrap_or(0))
}

export!(Accounts with_types_in education::exports::accounts::bindings);
