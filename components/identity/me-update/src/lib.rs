//! PATCH /api/users/me: changes one's name or preferences. A field that is left out stays; preferences that are given
//! replace the former ones.

use education::events::facts::{Fact, ProfileUpdated, user_stream};
use identity_domain::account;
use identity_store::{invalid, profile};
use serde::Deserialize;
use serde_json::{Map, Value};
use weft_guest::events::{self, ExpectedVersion};
use weft_guest::http::{Problem, Request, Response};
use weft_guest::operation::{Effect, command};
use weft_guest::params;
use weft_guest::sql::{query_first, sql};

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
    command(UPDATE, &request.command_key()?, &input, async || {
        let stream = user_stream(&user.id);
        // Before the row: whoever changes the profile in between appends, and this is decided again.
        let version = events::version(&stream).await?;
        let select = "SELECT email, name, preferences FROM identity_accounts WHERE id = $1";
        let unknown = || Problem::not_found("account");
        let row = query_first(select, params![&user.id]).await?.ok_or_else(unknown)?;
        let name = name.clone().unwrap_or(row.text("name")?);
        let preferences = preferences.clone().unwrap_or(row.text("preferences")?);
        let update = sql(
            "UPDATE identity_accounts SET name = $2, preferences = $3 WHERE id = $1",
            params![&user.id, &name, &preferences],
        );
        let preferences = serde_json::from_str(&preferences).map_err(|error| Problem::internal(&error))?;
        let updated = ProfileUpdated { user_id: user.id.clone(), email: row.text("email")?, name, preferences };
        let effect = Effect::answer(()).then_or(update.expect_rows(1), unknown());
        Ok(effect.append(&stream, ExpectedVersion::after(version), vec![updated.event()]))
    })
    .await?;
    Ok(Response::json(200, &profile::load(&user.id).await?))
}

weft_guest::http_handler!(handle);
