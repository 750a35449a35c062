//! A projection that writes down what its clock and its random source say, which it should not: what it writes shows
//! whether the host keeps both from it, so that a rebuild comes to the same rows.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::SystemTime;

use weft_guest::events::SourceEvent;
use weft_guest::params;
use weft_guest::sql::{Statement, sql};

async fn project(events: Vec<SourceEvent>) -> Result<Vec<Statement>, String> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?;
    let at_ms = i64::try_from(since.as_millis()).map_err(|error| error.to_string())?;
    // The standard library seeds its hashers from the host's random source.
    let chance = format!("{:016x}", RandomState::new().hash_one(0_u8));
    let note = |event: &SourceEvent| {
        let text = "INSERT INTO ledger_moments (event_id, at_ms, chance) VALUES ($1, $2, $3)";
        sql(text, params![&event.id, at_ms, &chance])
    };
    Ok(events.iter().map(note).collect())
}

weft_guest::projection!(project);
