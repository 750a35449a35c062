//! `weft:durable/handles`.

use crate::SpinStore;
use crate::bell::wakeable;
use crate::bindings::exports::weft::durable::handles as exports;
use crate::bindings::weft::durable::types::{Error, SagaView};
use crate::sagas::journal;

impl exports::Guest for SpinStore {
    async fn started(key: String) -> Result<(), Error> {
        let journal = journal()?;
        Ok(wakeable(journal.started(&key)).await?)
    }

    async fn status(key: String) -> Result<SagaView, Error> {
        Ok(journal()?.status(&key)?.into())
    }

    async fn wait(key: String, timeout_ms: u32) -> Result<Option<Vec<u8>>, Error> {
        let journal = journal()?;
        Ok(wakeable(journal.wait_for(&key, timeout_ms)).await?)
    }

    async fn signal(key: String, name: String, id: String, payload: Vec<u8>) -> Result<(), Error> {
        Ok(journal()?.signal(&key, &name, &id, &payload)?)
    }

    async fn query(key: String, name: String) -> Result<Option<Vec<u8>>, Error> {
        Ok(journal()?.query(&key, &name)?)
    }

    async fn cancel(key: String, reason: String) -> Result<(), Error> {
        Ok(journal()?.cancel(&key, &reason)?)
    }
}
