//! GET /api/admin/users: accounts for admins, out of the read model of the projection user-profiles, which follows what
//! happens a moment later.

use weft_guest::http::{Problem, Request, Response};
use weft_guest::read_model::{self, Column, Kind, ReadModel, Scope};

// docs: model
const USERS: ReadModel = ReadModel {
    table: "identity_user_profiles",
    key: "user_id",
    columns: &[
        Column::new("user_id", Kind::Text).filtered().sorted(),
        Column::new("email", Kind::Text).filtered().sorted(),
        Column::new("name", Kind::Text).filtered().sorted(),
        Column::new("role", Kind::OneOf(&["admin", "staff", "teacher", "student"])).filtered().sorted(),
        Column::new("registered_at", Kind::Text).filtered().sorted(),
        Column::new("updated_at", Kind::Text).filtered().sorted().on_demand(),
    ],
    sort: "registered_at",
    terms: Some("identity_user_profile_terms"),
};

async fn handle(request: Request) -> Result<Response, Problem> {
    if !request.require_user()?.is_admin() {
        return Err(Problem::forbidden());
    }
    Ok(Response::json(200, &read_model::answer(&USERS, &request, Scope::all()).await?))
}
// docs: end

weft_guest::http_handler!(handle);
