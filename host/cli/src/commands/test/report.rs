//! What the harness prints: a table for people, one JSON object a line for programs.

use serde::Serialize;

use super::verdict::Finding;
use crate::output;

/// One row.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The step, the compensation, the record or the signals.
    pub node: String,
    /// What went wrong there.
    pub fault: &'static str,
    /// How the saga ended.
    pub outcome: String,
    /// `ok` or `finding`.
    pub verdict: &'static str,
    /// Whose doing a finding is, if that can be told.
    pub step: Option<String>,
    /// The finding in words.
    pub what: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

impl Row {
    /// A row, with what is wrong.
    pub fn new(node: String, fault: &'static str, outcome: String, finding: Option<Finding>, took_ms: u64) -> Self {
        let verdict = if finding.is_some() { "finding" } else { "ok" };
        let (step, what) = finding.map_or((None, None), |finding| (finding.step, Some(finding.what)));
        Self { node, fault, outcome, verdict, step, what, took_ms }
    }

    /// Whether something is wrong.
    pub fn is_finding(&self) -> bool {
        self.what.is_some()
    }
}

/// Prints a row as JSON, on one line.
///
/// # Errors
/// If stdout cannot be written.
pub fn json(row: &Row) -> std::io::Result<()> {
    output::line(&serde_json::to_string(row)?)
}

/// Prints all rows, then the findings in words.
///
/// # Errors
/// If stdout cannot be written.
pub fn table(rows: &[Row]) -> std::io::Result<()> {
    let cells: Vec<[String; 4]> = rows
        .iter()
        .map(|row| {
            let verdict = if row.is_finding() { "FINDING" } else { "ok" };
            [row.node.clone(), row.fault.to_owned(), row.outcome.clone(), verdict.to_owned()]
        })
        .collect();
    output::table(["NODE", "FAULT", "OUTCOME", "VERDICT"], &cells)?;
    output::line("")?;
    for row in rows {
        if let Some(what) = &row.what {
            let step = row.step.as_deref().map(|step| format!("step {step}: ")).unwrap_or_default();
            output::line(&output::printable(&format!("{} ({}): {step}{what}", row.node, row.fault)))?;
        }
    }
    let findings = rows.iter().filter(|row| row.is_finding()).count();
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    output::line(&format!("{}, {}", counted(rows.len(), "case"), counted(findings, "finding")))
}
