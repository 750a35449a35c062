//! What is kept no longer: records of keys that nobody can ask for any more, and events that everybody has had. Looked
//! for once an hour, a bounded number at a time.

use crate::bindings::weft::sql::types::Error;
use crate::connection::{Connection, Platform, int, text};
use crate::store::Store;

/// How long the record of a key is kept at least, in milliseconds: 90 days, three times as long as a saga is known.
const RECORDS_MS: u64 = 90 * 24 * 3_600 * 1_000;
/// How long an event is kept at least in the log, in milliseconds: 7 days. The event store keeps its own for ever.
const LOG_MS: u64 = 7 * 24 * 3_600 * 1_000;
/// How often it is looked for, in milliseconds.
const EVERY_MS: u64 = 3_600 * 1_000;
/// How many rows are removed at a time.
const AT_ONCE: u64 = 10_000;

impl<C: Connection, P: Platform> Store<C, P> {
    /// Removes what is old, if it has not been looked for lately. Called in a transaction.
    pub(crate) fn clean(&self) -> Result<(), Error> {
        let now_ms = self.platform.now_ms();
        let last = self.first("SELECT value FROM weft_meta WHERE name = 'cleaned_at_ms'", &[])?;
        let last_ms: u64 = last.and_then(|mut row| row.text().parse().ok()).unwrap_or_default();
        if now_ms < last_ms.saturating_add(EVERY_MS) {
            return Ok(());
        }
        let records = "DELETE FROM weft_done WHERE rowid IN \
                       (SELECT rowid FROM weft_done WHERE committed_at_ms < ?1 ORDER BY committed_at_ms LIMIT ?2)";
        self.run(records, &[int(now_ms.saturating_sub(RECORDS_MS)), int(AT_ONCE)])?;
        // What a dead letter or a delivery stands for stays, and so does what a reader has not come to.
        let log = "DELETE FROM weft_log WHERE position IN (SELECT position FROM weft_log WHERE time_ms < ?1 \
                   AND position <= (SELECT coalesce(min(position), ?3) FROM weft_subscriptions) AND position <= ?3 \
                   AND position NOT IN (SELECT position FROM weft_deliveries) \
                   AND position NOT IN (SELECT position FROM weft_dead_letters) ORDER BY position LIMIT ?2)";
        let read = self.read_by_projections()?;
        self.run(log, &[int(now_ms.saturating_sub(LOG_MS)), int(AT_ONCE), int(read)])?;
        let cleaned = "INSERT INTO weft_meta (name, value) VALUES ('cleaned_at_ms', ?1) \
                       ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.run(cleaned, &[text(now_ms.to_string())]).map(drop)
    }
}
