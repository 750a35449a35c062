//! What a saga's code sets that takes no part in its course: answers to queries, attributes, a deadline; and going on
//! as new. Set again on every run, recorded once.

use super::{Run, check_name};
use crate::engine::check_size;
use crate::error::SagaError;
use crate::record::{Continued, Entry, Note};
use crate::{MAX_ATTRIBUTES, MAX_NAME_BYTES, MAX_PAYLOAD_BYTES};

impl Run {
    /// What a query of this name answers from now on. Not flushed by itself: after a crash the code sets it again.
    ///
    /// # Errors
    /// [`SagaError::TooLarge`], [`SagaError::LeaseLost`], or why the journal refuses.
    pub fn expose(&self, name: &str, value: Vec<u8>) -> Result<(), SagaError> {
        check_name(name)?;
        check_size("the answer to a query", value.len(), MAX_PAYLOAD_BYTES)?;
        self.check_live()?;
        let is_new = {
            let mut state = self.state();
            let count = state.exposed.entry(name.to_owned()).or_default();
            *count += 1;
            *count > self.replay.exposed.get(name).copied().unwrap_or_default()
        };
        if is_new && !self.lease.rehearsal {
            self.append(&Entry::Noted(self.lease.saga.position, Note::Exposed { name: name.to_owned(), value }))?;
        }
        Ok(())
    }

    /// Sets attributes by which the saga is found.
    ///
    /// # Errors
    /// As [`Run::expose`].
    pub fn set_attributes(&self, attributes: Vec<(String, String)>) -> Result<(), SagaError> {
        for (name, value) in &attributes {
            check_name(name)?;
            check_size("the value of an attribute", value.len(), MAX_NAME_BYTES)?;
        }
        let is_new = {
            let mut state = self.live()?;
            let known = &state.extra().attributes;
            let new = attributes.iter().filter(|(name, _)| !known.contains_key(&**name)).count();
            check_size("the list of a saga's attributes", known.len() + new, MAX_ATTRIBUTES)?;
            drop(state);
            // What is recorded is not set again: another value may have been set after it.
            let mut state = self.state();
            state.attributes_set += 1;
            state.attributes_set > self.replay.attributes_set
        };
        if is_new && !self.lease.rehearsal {
            self.append(&Entry::Noted(self.lease.saga.position, Note::Attributes(attributes)))?;
        }
        Ok(())
    }

    /// The saga is cancelled when `after_ms` have passed since this was first asked for. Flushed with what runs next.
    ///
    /// # Errors
    /// As [`Run::expose`].
    pub fn set_deadline(&self, after_ms: u64) -> Result<(), SagaError> {
        let is_new = self.live()?.deadline_ms.is_none();
        if is_new && !self.lease.rehearsal {
            let at_ms = self.inner().clock.now_ms().saturating_add(after_ms);
            self.append(&Entry::Noted(self.lease.saga.position, Note::Deadline { at_ms }))?;
        }
        Ok(())
    }

    /// Ends this generation and this run: the saga goes on with `input` and an empty journal, under the same key.
    ///
    /// # Errors
    /// As [`Run::finish`].
    pub async fn continue_as_new(&self, input: Vec<u8>) -> Result<(), SagaError> {
        check_size("a saga's input", input.len(), MAX_PAYLOAD_BYTES)?;
        self.check_live()?;
        self.replayed("to continue as new").await?;
        if let Some(failed) = self.state().failed_undos.first() {
            let text = format!("the {} did not succeed: the saga cannot continue as new", failed.describe());
            return Err(SagaError::Conflict(text));
        }
        let at_ms = self.inner().clock.now_ms();
        let entry = Entry::Continued(Continued { saga: self.lease.saga.position, at_ms, input });
        let appended = self.append(&entry)?;
        self.inner().log.flush(appended.end).await?;
        let mut state = self.live()?;
        state.lease = None;
        state.changed = None;
        state.idle_runs = 0;
        drop(state);
        self.inner().due.push(at_ms, self.lease.saga.position);
        Ok(())
    }
}
