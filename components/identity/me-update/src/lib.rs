//! PATCH /api/users/me: changes one's name or preferences. A field that is left out stays; preferences that are given
//! replace the former ones.

use identity_domain::account;
use identity_store::{invalid, profile};
use serde::Deserialize;
use serde_json::{Map, Value};
use weft_guest::http::{Problem, Request, Response};
use weft_guest::operation::{Effect, operation};
use weft_guest::params;
use weft_guest::sql::sql;

const UPDATE: &str = "PATCH /api/users/me";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    name: Option<String>,
    preferences: Option<Map<String, Value>>,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let body: Body = request.json()?;
    let name = body.name.as_deref().map(account::name).transpose().map_err(invalid)?;
    let preferences = body.preferences.map(account::preferences).transpose().map_err(invalid)?;
    let input = (&user.id, &name, &preferences);
    operation(UPDATE, &request.command_key()?, &input, async || {
        let update = sql(
            "UPDATE identity_accounts SET name = COALESCE($2, name), preferences = COALESCE($3, preferences) WHERE id = $1",
            params![&user.id, name.clone(), preferences.clone()],
        );
        Ok(Effect::answer(()).then_or(update.expect_rows(1), Problem::not_found("account")))
    })
    .await?;
    Ok(Response::json(200, &profile::load(&user.id).await?))
}

weft_guest::http_handler!(handle);
