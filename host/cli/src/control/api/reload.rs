//! What goes over the control socket about the manifest that runs, and about reloads of it.

use serde::{Deserialize, Serialize};

use weft_core::manifest::Diagnostic;

/// Which manifest runs: a part of `GET /v1/info`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct ManifestStatus {
    /// The SHA-256 of its file, in lower-case hex.
    pub digest: String,
    /// Since when it runs, in milliseconds since the Unix epoch.
    pub deployed_ms: u64,
    /// What the last reload was refused for, or what has not followed it; none if all went well, or there was none.
    pub last_error: Option<ReloadError>,
}

/// What was wrong with a reload.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct ReloadError {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What, for a person.
    pub message: String,
}

/// What `POST /v1/reload` is answered with once the manifest is taken up.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// The SHA-256 of the manifest's file, in lower-case hex.
    pub digest: String,
    /// When it was taken up, in milliseconds since the Unix epoch.
    pub deployed_ms: u64,
    /// What of it the host has to be started anew for; until then that is as before.
    pub needs_restart: Vec<String>,
    /// What could not follow it, such as subscriptions, and why; it serves all the same.
    pub behind: Vec<String>,
}

/// One problem of a manifest.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct DiagnosticEntry {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl From<&Diagnostic> for DiagnosticEntry {
    fn from(problem: &Diagnostic) -> Self {
        let Diagnostic { file, line, message, help } = problem.clone();
        Self { file: file.display().to_string(), line, message, help }
    }
}
