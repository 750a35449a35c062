//! What a saga's code sets that takes no part in its course: answers to queries, attributes, a deadline; and going on
//! as new. Set again on every run, recorded once.

use super::Run;
use crate::database::transaction;
use crate::record::Record;
use crate::types::{SagaError, check_name, check_size};
use crate::{MAX_ATTRIBUTES, MAX_NAME_BYTES, MAX_PAYLOAD_BYTES};

impl Run {
    /// What a query of this name answers from now on.
    ///
    /// # Errors
    /// [`SagaError::TooLarge`], [`SagaError::LeaseLost`], or why the database refuses.
    pub fn expose(&self, name: &str, value: &[u8]) -> Result<(), SagaError> {
        check_name(name)?;
        check_size("the answer to a query", value.len(), MAX_PAYLOAD_BYTES)?;
        self.check_live()?;
        let is_new = {
            let mut state = self.state.borrow_mut();
            let count = state.exposed.entry(name.to_owned()).or_default();
            *count += 1;
            *count > self.replay.exposed.get(name).copied().unwrap_or_default()
        };
        if is_new {
            self.append(&Record::Exposed { name: name.to_owned() }, value, |_| Ok(()))?;
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
        self.check_live()?;
        let mut all = self.state.borrow().attributes.clone();
        let names = attributes.iter().map(|(name, _)| name.clone()).collect();
        all.extend(attributes);
        if all.len() > MAX_ATTRIBUTES {
            let text =
                format!("a saga has at most {MAX_ATTRIBUTES} attributes, with these it would have {}", all.len());
            return Err(SagaError::TooLarge(text));
        }
        // What is recorded is not set again: another value may have been set after it.
        let is_new = {
            let mut state = self.state.borrow_mut();
            state.attributes_set += 1;
            state.attributes_set > self.replay.attributes_set
        };
        if is_new {
            let also = |database: &dyn crate::Database| self.held.set_attributes(database, &all);
            self.append(&Record::Attributes { names }, &[], also)?;
            self.state.borrow_mut().attributes = all;
        }
        Ok(())
    }

    /// The saga is cancelled when `after_ms` have passed since this was first asked for.
    ///
    /// # Errors
    /// As [`Run::expose`].
    pub fn set_deadline(&self, after_ms: u64) -> Result<(), SagaError> {
        self.check_live()?;
        if self.state.borrow().deadline_ms.is_some() {
            return Ok(());
        }
        let at_ms = self.real_now_ms().saturating_add(after_ms);
        self.own(self.held.set_deadline(self.database(), at_ms)?)?;
        self.state.borrow_mut().deadline_ms = Some(at_ms);
        self.changed.notify();
        Ok(())
    }

    /// Ends this generation and this run: the saga goes on with `input` and an empty journal, under the same key, when
    /// somebody next asks for what is due.
    ///
    /// # Errors
    /// As [`Run::finish`]; [`SagaError::Conflict`] after a compensation that did not succeed.
    pub async fn continue_as_new(&self, input: &[u8]) -> Result<(), SagaError> {
        check_size("a saga's input", input.len(), MAX_PAYLOAD_BYTES)?;
        self.check_live()?;
        self.replayed("to continue as new").await?;
        if let Some(failed) = self.state.borrow().failed_undos.first() {
            let text = format!("the {} did not succeed: the saga cannot continue as new", failed.describe());
            return Err(SagaError::Conflict(text));
        }
        let (database, now_ms) = (self.database(), self.real_now_ms());
        self.own(transaction(database, || self.held.continue_as_new(database, input, now_ms))?)?;
        self.leave_off();
        Ok(())
    }
}
