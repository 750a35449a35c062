//! Projections of a component: which events of which source, into which tables. Running them belongs to the projection
//! capability.

use std::sync::Arc;

use crate::topic::TopicPattern;

use super::diagnostic::Located;
use super::names;
use super::section::{Entry, Section};
use super::subscription::{Start, one_of};

/// Where a projection reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectionSource {
    /// The event store of this context: all its events, from the first.
    Store(Located<Arc<str>>),
    /// Topics of the message log: events as long as they are kept there.
    Log(TopicPattern),
}

/// One projection; its component exports `weft:events/projection`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// With the component's id and the version it names the checkpoint.
    pub name: Arc<str>,
    /// Of the read model: another one begins anew, beside the tables of this one. 1 by default.
    pub version: u32,
    /// Where it reads.
    pub source: ProjectionSource,
    /// Only events of these CloudEvents types; all if there are none.
    pub types: Vec<Arc<str>>,
    /// The tables that it writes, and nobody else.
    pub tables: Vec<Arc<str>>,
    /// Where it begins when it is new; `earliest` by default.
    pub start: Start,
    /// Events of one step and one commit at most: 1 to 1,000, 500 by default.
    pub batch: u32,
    /// The line it stands on.
    pub line: usize,
}

impl Projection {
    pub(super) fn read(entry: Entry<'_>) -> Option<Self> {
        let section = entry.section()?;
        let name = section.required_string("name");
        if let Some(name) = name.as_ref().filter(|name| !names::is_label(name)) {
            section.report(name.line, format!("{:?} is no name for a projection (kebab-case)", &*name.value));
        }
        let source = source(&section);
        let texts = |key| section.strings(key).into_iter().map(|text| text.value).collect::<Vec<_>>();
        let (types, tables) = (texts("types"), texts("tables"));
        if tables.is_empty() {
            let help = "add tables = [\"<table that a migration makes>\"]";
            section.report_with_help(section.line, "a projection writes at least one table", help);
        }
        for (number, table) in tables.iter().enumerate() {
            if tables.iter().take(number).any(|earlier| earlier == table) {
                section.report(section.line, format!("the table {table:?} is named twice"));
            }
            if table.ends_with("__rebuild")
                || table.starts_with("weft_")
                || !table.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            {
                section.report(section.line, format!("{table:?} is no name for a table (snake_case, not `weft_*`)"));
            }
        }
        let start = one_of(&section, "start", &[("earliest", Start::Earliest), ("latest", Start::Latest)])
            .unwrap_or(Start::Earliest);
        let version = section.number("version", 1..=1_000_000, 1);
        let batch = section.number("batch", 1..=1_000, 500);
        let line = section.line;
        section.finish();
        Some(Self { name: name?.value, version, source: source?, types, tables, start, batch, line })
    }
}

fn source(section: &Section<'_>) -> Option<ProjectionSource> {
    let (context, topic) = (section.string("from"), section.string("topic"));
    match (context, topic) {
        (Some(context), None) => Some(ProjectionSource::Store(context)),
        (None, Some(topic)) => match topic.parse() {
            Ok(pattern) => Some(ProjectionSource::Log(pattern)),
            Err(error) => {
                section.report(topic.line, format!("{:?} is no pattern of topics: {error}", &*topic.value));
                None
            }
        },
        (Some(_), Some(_)) => {
            section.report(section.line, "a projection reads `from` a context's event store or a `topic`, not both");
            None
        }
        (None, None) => {
            let help = "add from = \"<context>\", or topic = \"<pattern>\"";
            section.report_with_help(section.line, "a projection names no source", help);
            None
        }
    }
}
