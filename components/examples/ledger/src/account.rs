//! The rules of an account.

use serde::{Deserialize, Serialize};
use weft_guest::aggregate::Aggregate;

/// What happens to an account.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum Entry {
    /// Money came.
    #[serde(rename = "ledger.deposited")]
    Deposited {
        /// How much.
        amount: i64,
    },
    /// Money went.
    #[serde(rename = "ledger.withdrawn")]
    Withdrawn {
        /// How much.
        amount: i64,
    },
}

/// What its entries come to.
#[derive(Default, Serialize, Deserialize)]
pub struct Account {
    /// What is on it.
    pub balance: i64,
}

impl Aggregate for Account {
    type Event = Entry;
    const CATEGORY: &'static str = "account";
    const SNAPSHOT_EVERY: u64 = 5;

    fn apply(&mut self, event: &Entry) {
        match event {
            Entry::Deposited { amount } => self.balance += amount,
            Entry::Withdrawn { amount } => self.balance -= amount,
        }
    }
}
