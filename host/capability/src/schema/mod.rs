//! Schemas of events: what an event of a type has to look like before it leaves. Here is the question that everyone asks
//! who lets events out (messaging, commits with events, appends, the control socket). Grants and limits are asked
//! elsewhere; checks are cheap and touch no disk.

mod asyncapi;
mod compatibility;
mod document;
mod evolution;
mod folder;
mod registry;
mod stored;
mod validation;

use std::fmt::Debug;

pub use asyncapi::{Newest, asyncapi};
pub use document::{Document, DocumentError, MAX_SCHEMA_BYTES};
pub use evolution::{Change, DEPRECATION_DAYS, Mode};
pub use folder::{FolderProblem, is_type_name, read as read_folder};
pub use registry::{EventType, Given, Plan, Refused, Registry, RegistryError, Types, Version, deployed, plan, told};

/// Says whether an event may leave.
pub trait SchemaCheck: Debug + Send + Sync {
    /// Looks at an event of the CloudEvents type `kind`. `dataschema` names a version (`/schemas/<type>/<version>`);
    /// without it the newest counts. Whether `data` is JSON is looked at where there is a schema alone.
    ///
    /// # Errors
    /// What does not fit: the type, the place in the data, what is expected there, and what to do. It is the caller's
    /// fault, and trying again does not help.
    fn check(&self, kind: &str, dataschema: Option<&str>, data: &[u8]) -> Result<(), String>;
}

/// Lets every event out.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcceptAll;

impl SchemaCheck for AcceptAll {
    fn check(&self, _kind: &str, _dataschema: Option<&str>, _data: &[u8]) -> Result<(), String> {
        Ok(())
    }
}
