//! What the manifest says of sagas as a whole: how long they are known, the limits that their steps may name, the
//! choreographies that are shown as sagas, and the schedules by which they begin. Keeping to it belongs to the saga
//! engine.

use std::sync::Arc;

use crate::cron::Cron;
use crate::topic;

use super::diagnostic::Located;
use super::names;
use super::section::{Entry, Section};

/// `[application.tool.weft.sagas]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SagaSettings {
    /// How long an ended saga is known, in days: 1 to 3,650, 30 by default. Its journal is deleted then, and its key may
    /// be used again.
    pub retention_days: u32,
    /// Sagas that have not ended, at a time: 1 to 10,000,000, a million by default. Beyond it none begins.
    pub max_unfinished: u32,
}

impl Default for SagaSettings {
    fn default() -> Self {
        Self { retention_days: 30, max_unfinished: 1_000_000 }
    }
}

impl SagaSettings {
    pub(super) fn read(section: Section<'_>) -> Self {
        let default = Self::default();
        let settings = Self {
            retention_days: section.number("retention_days", 1..=3650, default.retention_days),
            max_unfinished: section.number("max_unfinished", 1..=10_000_000, default.max_unfinished),
        };
        section.finish();
        settings
    }
}

/// `[application.tool.weft.limits]`: a bound on attempts of steps, whoever makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepLimit {
    /// What steps name it by.
    pub name: Arc<str>,
    /// Attempts that may begin, as `(count, milliseconds)`: `per_second`, `per_minute` or `per_hour`.
    pub rate: Option<(u32, u64)>,
    /// Attempts that may run at the same time.
    pub concurrency: Option<u32>,
}

impl StepLimit {
    pub(super) fn read(name: Located<Arc<str>>, entry: Entry<'_>) -> Option<Self> {
        if !names::is_label(&name) {
            entry.report("is no name for a limit: words of one case joined by `-` or `_`");
        }
        let section = entry.section()?;
        let mut rates = Vec::new();
        for (key, per_ms) in [("per_second", 1000), ("per_minute", 60_000), ("per_hour", 3_600_000)] {
            if section.get(key).is_some() {
                rates.push((section.number(key, 1..=1_000_000, 1), per_ms));
            }
        }
        if rates.len() > 1 {
            section.report(section.line, format!("limit {:?} has more than one rate", &*name.value));
        }
        let concurrency = section.get("concurrency").is_some().then(|| section.number("concurrency", 1..=1_000_000, 1));
        let limit = Self { name: name.value, rate: rates.pop(), concurrency };
        if limit.rate.is_none() && limit.concurrency.is_none() {
            section.report_with_help(
                section.line,
                format!("limit {:?} limits nothing", &*limit.name),
                "add per_second, per_minute, per_hour or concurrency",
            );
        }
        section.finish();
        Some(limit)
    }
}

/// `[application.tool.weft.choreographies.<name>]`: functions that react to each other's events, shown as one saga whose
/// id is the events' correlation id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choreography {
    /// Its name.
    pub name: Arc<str>,
    /// The topic whose event begins it.
    pub start: Arc<str>,
    /// The topic whose event completes it.
    pub end: Arc<str>,
    /// The topic whose event says that it failed; who handles that compensates.
    pub failed: Option<Arc<str>>,
    /// The line of the table.
    pub line: usize,
}

impl Choreography {
    pub(super) fn read(name: Located<Arc<str>>, entry: Entry<'_>) -> Option<Self> {
        if !names::is_label(&name) {
            entry.report("is no name for a choreography: words of one case joined by `-` or `_`");
        }
        let section = entry.section()?;
        let topic = |written: Option<Located<Arc<str>>>| {
            let written = written?;
            if let Err(error) = topic::check_topic(&written.value) {
                section.report(written.line, format!("{:?} is no topic: {error}", &*written.value));
            }
            Some(written.value)
        };
        let start = topic(section.required_string("start"));
        let end = topic(section.required_string("end"));
        let failed = topic(section.string("failed"));
        let line = section.line;
        section.finish();
        Some(Self { name: name.value, start: start?, end: end?, failed, line })
    }
}

/// What happens when a schedule is due and the saga of the time before has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// This time is left out.
    Skip,
    /// It begins when the one before has ended, if that is within the catch-up window.
    Queue,
    /// It begins beside it.
    Allow,
    /// The one before is cancelled, and this begins at once.
    Cancel,
}

/// One of `schedules = [...]` of a durable component: a saga that begins at the times of a cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Unique in its component.
    pub name: Arc<str>,
    /// When.
    pub cron: Cron,
    /// The function, as `interface#function`; its first parameter is the saga's key.
    pub function: Arc<str>,
    /// The other arguments, as a JSON array.
    pub arguments: Arc<str>,
    /// `skip` by default.
    pub overlap: Overlap,
    /// How late a time that was missed may still begin, in seconds: 0 to 31,536,000, 3,600 by default.
    pub catch_up_s: u32,
    /// The line it stands on.
    pub line: usize,
}

impl Schedule {
    pub(super) fn read(entry: Entry<'_>) -> Option<Self> {
        let section = entry.section()?;
        let name = section.required_string("name");
        if let Some(name) = name.as_ref().filter(|name| !names::is_label(name)) {
            section.report(name.line, format!("{:?} is no name for a schedule (kebab-case)", &*name.value));
        }
        let cron = section.required_string("cron").and_then(|cron| match cron.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                section.report(cron.line, format!("{:?} is no cron expression: {error}", &*cron.value));
                None
            }
        });
        let function = section.required_string("function");
        if let Some(function) = function.as_ref().filter(|function| !function.contains('#')) {
            section.report(function.line, format!("{:?} is no `interface#function`", &*function.value));
        }
        let arguments = section.string("arguments");
        let is_array = |text: &str| serde_json::from_str::<Vec<serde_json::Value>>(text).is_ok();
        if let Some(arguments) = arguments.as_ref().filter(|arguments| !is_array(arguments)) {
            section.report(arguments.line, "`arguments` is a JSON array, as a string: what follows the key");
        }
        let overlap = section.string("overlap").map_or(Some(Overlap::Skip), |overlap| match &*overlap.value {
            "skip" => Some(Overlap::Skip),
            "queue" => Some(Overlap::Queue),
            "allow" => Some(Overlap::Allow),
            "cancel" => Some(Overlap::Cancel),
            other => {
                section.report_with_help(
                    overlap.line,
                    format!("{other:?} is no policy for overlaps"),
                    "write skip, queue, allow or cancel",
                );
                None
            }
        });
        let catch_up_s = section.number("catch_up_s", 0..=31_536_000, 3600);
        let line = section.line;
        section.finish();
        Some(Self {
            name: name?.value,
            cron: cron?,
            function: function?.value,
            arguments: arguments.map_or_else(|| "[]".into(), |arguments| arguments.value),
            overlap: overlap?,
            catch_up_s,
            line,
        })
    }
}
