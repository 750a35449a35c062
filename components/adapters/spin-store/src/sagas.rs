//! What the journal says of sagas that wait. Without a journal in the component there are none.

use crate::instance::Instance;

/// Unfinished sagas of a durable component that are due and that nobody runs, at most `limit`.
pub(crate) fn due(_store: &Instance, _component: &str, _limit: u32) -> Result<Vec<String>, String> {
    Ok(Vec::new())
}
