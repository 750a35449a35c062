//! The keyed commit: statements, events, key and answer land together or not at all; a known key gives its record back, a
//! revoked one refuses whatever comes late. Owns the records; what an append compares is the event store's business.

use crate::bindings::weft::events::types::StreamAppend;
use crate::bindings::weft::sql::types::{Committed, Error, OperationKey, OutgoingEvent, Statement, Value};
use crate::check;
use crate::connection::{Connection, Platform, int, text};
use crate::events::StoreError;
use crate::store::Store;

/// What stands under a key.
enum Record {
    Committed(Committed),
    /// `ran`: the statements of the revocation ran.
    Revoked {
        ran: bool,
    },
}

impl<C: Connection, P: Platform> Store<C, P> {
    /// The record of a keyed commit, if there is one.
    ///
    /// # Errors
    /// `revoked` if the key was revoked.
    pub fn recorded(&mut self, key: &OperationKey) -> Result<Option<Committed>, Error> {
        check::key(key)?;
        self.enter()?;
        match self.record(key)? {
            None => Ok(None),
            Some(Record::Committed(committed)) => Ok(Some(committed)),
            Some(Record::Revoked { .. }) => Err(Error::Revoked),
        }
    }

    /// A keyed commit without appends.
    ///
    /// # Errors
    /// As `weft:sql/database.commit`.
    pub fn commit(
        &mut self,
        key: &OperationKey,
        fingerprint: &str,
        statements: Vec<Statement>,
        events: &[OutgoingEvent],
        answer: Vec<u8>,
    ) -> Result<Committed, Error> {
        match self.append(key, fingerprint, &[], statements, events, answer) {
            Ok(committed) => Ok(committed),
            Err(StoreError::Sql(error)) => Err(error),
            // Nothing was appended, so that nothing can conflict.
            Err(StoreError::Invalid(text)) => Err(Error::Invalid(text)),
            Err(StoreError::Conflict(_)) => Err(Error::Invalid("a conflict without an append".to_owned())),
        }
    }

    /// A keyed commit that appends events to streams.
    ///
    /// # Errors
    /// As `weft:events/store.append`.
    pub fn append(
        &mut self,
        key: &OperationKey,
        fingerprint: &str,
        appends: &[StreamAppend],
        statements: Vec<Statement>,
        events: &[OutgoingEvent],
        answer: Vec<u8>,
    ) -> Result<Committed, StoreError> {
        let bytes = crate::events::check(appends)?;
        check::key(key)?;
        check::short("the fingerprint", fingerprint)?;
        let batch = check::batch(statements, events, answer.len() + bytes)?;
        self.enter()?;
        self.write(|store| {
            match store.record(key)? {
                Some(Record::Revoked { .. }) => return Err(Error::Revoked.into()),
                Some(Record::Committed(found)) if found.fingerprint == fingerprint => return Ok(found),
                Some(Record::Committed(_)) => return Err(Error::KeyReused.into()),
                None => {}
            }
            let now_ms = store.platform.now_ms();
            store.put_appends(&key.owner, now_ms, appends)?;
            store.run_batch(&batch)?;
            store.put_events(&key.owner, now_ms, events)?;
            store.put_record(key, fingerprint, answer.clone(), 0, now_ms)?;
            let fingerprint = fingerprint.to_owned();
            Ok(Committed { fingerprint, answer, committed_at_ms: now_ms })
        })
    }

    /// Runs the statements only if the key is recorded, and leaves a tombstone on it. Answers whether they ran.
    ///
    /// # Errors
    /// As `weft:sql/database.revoke`; then no tombstone is left.
    pub fn revoke(
        &mut self,
        key: &OperationKey,
        statements: Vec<Statement>,
        events: &[OutgoingEvent],
    ) -> Result<bool, Error> {
        check::key(key)?;
        let batch = check::batch(statements, events, 0)?;
        self.enter()?;
        self.write(|store| {
            let recorded = match store.record(key)? {
                Some(Record::Revoked { ran }) => return Ok(ran),
                found => found.is_some(),
            };
            let now_ms = store.platform.now_ms();
            if recorded {
                store.run_batch(&batch)?;
                store.put_events(&key.owner, now_ms, events)?;
            }
            store.put_record(key, "", Vec::new(), if recorded { 2 } else { 1 }, now_ms)?;
            Ok(recorded)
        })
    }

    fn record(&self, key: &OperationKey) -> Result<Option<Record>, Error> {
        let select =
            "SELECT revoked, fingerprint, answer, committed_at_ms FROM weft_done WHERE owner = ?1 AND key = ?2";
        let found = self.first(select, &[text(&*key.owner), text(&*key.key)])?;
        Ok(found.map(|mut row| match row.number() {
            0 => Record::Committed(Committed {
                fingerprint: row.text(),
                answer: row.bytes(),
                committed_at_ms: row.number(),
            }),
            revoked => Record::Revoked { ran: revoked == 2 },
        }))
    }

    fn put_record(
        &self,
        key: &OperationKey,
        fingerprint: &str,
        answer: Vec<u8>,
        revoked: u64,
        now_ms: u64,
    ) -> Result<(), Error> {
        let put = "INSERT INTO weft_done (owner, key, fingerprint, answer, revoked, committed_at_ms) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (owner, key) DO UPDATE SET \
                   fingerprint = excluded.fingerprint, answer = excluded.answer, revoked = excluded.revoked, \
                   committed_at_ms = excluded.committed_at_ms";
        let OperationKey { owner, key } = key;
        let values = [text(&**owner), text(&**key), text(fingerprint), Value::Blob(answer), int(revoked), int(now_ms)];
        self.run(put, &values).map(drop)
    }
}
