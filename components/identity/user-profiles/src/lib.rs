//! The projection user-profiles: what has happened to accounts, as the table that admins search. Pure: the statements
//! depend on the events alone.

use education::events::facts::{AccountCreated, AccountUndone, Fact, ProfileUpdated, RoleChanged};
use weft_guest::events::SourceEvent;
use weft_guest::sql::{Statement, sql};
use weft_guest::{params, read_model};

const TERMS: &str = "identity_user_profile_terms";

// docs: project
async fn project(events: Vec<SourceEvent>) -> Result<Vec<Statement>, String> {
    let mut statements = Vec::new();
    for event in &events {
        statements.extend(apply(event)?);
    }
    Ok(statements)
}

fn apply(event: &SourceEvent) -> Result<Vec<Statement>, String> {
    Ok(match event.type_.as_str() {
        AccountCreated::TYPE => {
            let AccountCreated { user_id, email, name, role } = event.decode()?;
            let insert = sql(
                "INSERT INTO identity_user_profiles (user_id, email, name, role, registered_at, updated_at) \
                 VALUES ($1, $2, $3, $4, $5, $5)",
                params![&user_id, &email, &name, role, &event.time],
            );
            [vec![insert], read_model::index(TERMS, &user_id, &[&email, &name])].concat()
        }
        ProfileUpdated::TYPE => {
            let ProfileUpdated { user_id, email, name, .. } = event.decode()?;
            let update = sql(
                "UPDATE identity_user_profiles SET name = $2, updated_at = $3 WHERE user_id = $1",
                params![&user_id, &name, &event.time],
            );
            [vec![update], read_model::index(TERMS, &user_id, &[&email, &name])].concat()
        }
        RoleChanged::TYPE => {
            let RoleChanged { user_id, role, .. } = event.decode()?;
            vec![sql(
                "UPDATE identity_user_profiles SET role = $2, updated_at = $3 WHERE user_id = $1",
                params![user_id, role, &event.time],
            )]
        }
        AccountUndone::TYPE => {
            let AccountUndone { user_id } = event.decode()?;
            let delete = sql("DELETE FROM identity_user_profiles WHERE user_id = $1", params![&user_id]);
            vec![delete, read_model::unindex(TERMS, &user_id)]
        }
        _ => Vec::new(),
    })
}
// docs: end

weft_guest::projection!(project);

#[cfg(test)]
mod tests {
    use projection_testing::{Database, event};
    use weft_guest::serde_json::{Map, json};

    use super::*;

    #[test]
    fn profiles_follow_what_happens_to_accounts() {
        let database = Database::new(&[include_str!("../../migrations/0004_user_profiles.sql")]);
        let created = |id: &str, name: &str| AccountCreated {
            user_id: id.into(),
            email: format!("{id}@example.com"),
            name: name.into(),
            role: "student".into(),
        };
        let (user_id, email, name) = ("ada".to_owned(), "ada@example.com".to_owned(), "Ada Byron".to_owned());
        let updated = ProfileUpdated { user_id, email, name, preferences: Map::new() };
        let changed = RoleChanged { user_id: "ada".into(), role: "teacher".into(), changed_by: "root".into() };
        let events = [
            event(1, AccountCreated::TYPE, &created("ada", "Ada")),
            event(2, AccountCreated::TYPE, &created("bob", "Bob")),
            event(3, ProfileUpdated::TYPE, &updated),
            event(4, RoleChanged::TYPE, &changed),
            event(5, AccountUndone::TYPE, &AccountUndone { user_id: "bob".into() }),
            event(6, "education.identity.something-else", &1),
        ];
        events.iter().for_each(|event| database.run(&apply(event).unwrap()));
        let rows = database.rows("SELECT * FROM identity_user_profiles", &[]);
        let times = ["2026-11-20T08:00:01.000Z", "2026-11-20T08:00:04.000Z"];
        assert_eq!(rows, json!([["ada", "ada@example.com", "Ada Byron", "teacher", times[0], times[1]]]));
        let terms = database.rows("SELECT DISTINCT term FROM identity_user_profile_terms ORDER BY term", &[]);
        assert_eq!(terms, json!([["ada"], ["byron"], ["com"], ["example"]]));
    }

    #[test]
    fn what_cannot_be_read_stops_and_says_which_event() {
        let error = apply(&event(7, AccountUndone::TYPE, &json!({}))).unwrap_err();
        assert!(error.contains("e7"), "{error}");
    }
}
