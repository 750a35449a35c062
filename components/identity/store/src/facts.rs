//! Events of accounts, as several operations append them.

use education::events::facts::{AccountCreated, Fact};
use weft_guest::events::NewEvent;

/// There is an account.
#[must_use]
pub fn created(id: &str, email: &str, name: &str, role: &str) -> NewEvent {
    let (user_id, email, name, role) = (id.to_owned(), email.to_owned(), name.to_owned(), role.to_owned());
    AccountCreated { user_id, email, name, role }.event()
}
