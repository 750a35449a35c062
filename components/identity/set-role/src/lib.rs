//! PATCH /api/users/:id: an admin gives an account another role. Tokens with the old role are void from then on.

use education::events::facts::{Fact, RoleChanged, user_stream};
use identity_domain::account::Role;
use identity_store::{invalid, profile, voiding};
use serde::Deserialize;
use weft_guest::events::ExpectedVersion;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::operation::{Effect, operation};
use weft_guest::params;
use weft_guest::sql::sql;

const SET_ROLE: &str = "PATCH /api/users/:id";

#[derive(Deserialize)]
struct Body {
    role: String,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    if !user.is_admin() {
        return Err(Problem::forbidden());
    }
    let id = request.id_of("account")?;
    let body: Body = request.json()?;
    let role = Role::parse(&body.role).map_err(invalid)?.name();
    if id == user.id {
        // There is always an admin left to undo it.
        return Err(Problem::conflict("own-role", "You cannot change your own role"));
    }
    // Access tokens live outside the commit: before it, so that a crash leaves none with the old role; after it, for
    // those that were issued in between.
    voiding::announce(&id).await?;
    operation(SET_ROLE, &request.command_key()?, &(&id, role), async || {
        let set = sql("UPDATE identity_accounts SET role = $2 WHERE id = $1", params![&id, role]);
        let [void, end] = voiding::statements(&id);
        let effect = Effect::answer(()).then_or(set.expect_rows(1), Problem::not_found("account")).then(void).then(end);
        let changed = RoleChanged { user_id: id.clone(), role: role.to_owned(), changed_by: user.id.clone() };
        Ok(effect.append(&user_stream(&id), ExpectedVersion::Any, vec![changed.event()]))
    })
    .await?;
    voiding::confirm(&id).await?;
    Ok(Response::json(200, &profile::load(&id).await?))
}

weft_guest::http_handler!(handle);
