//! Projections: which events a read model has not seen, and its statements together with the new checkpoint. Owns the
//! checkpoints; what the statements are is the projection's business.

use adapter_settings::{Projection, Source};

use crate::bindings::weft::sql::types::{Error, Statement, Value};
use crate::check;
use crate::connection::{Columns, Connection, Platform, int, text};
use crate::error::describe;
use crate::store::Store;
use crate::time::rfc3339;
use crate::topic::TopicPattern;

/// How many rows of its source one step passes over.
const SCANNED: u64 = 1_000;
/// How many such steps are made to see whether something is there.
const PASSES: u32 = 10;
/// How many batches may be asked for and not yet be committed.
const OPEN: usize = 1_000;
/// The most events of one step, whatever the settings say.
const MOST: u32 = 1_000;
/// The most bytes of data of one step; one event always fits.
const STEP_BYTES: usize = 8 * 1024 * 1024;

/// An event of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceEvent {
    /// Its place in the source.
    pub position: u64,
    /// Its id.
    pub id: String,
    /// CloudEvents `type`.
    pub kind: String,
    /// Where it was published.
    pub topic: String,
    /// CloudEvents `subject`; the stream of an event of a store.
    pub subject: Option<String>,
    /// RFC 3339, UTC.
    pub time: String,
    /// Carried through the whole of one business operation.
    pub correlation_id: Option<String>,
    /// JSON.
    pub data: Vec<u8>,
}

/// What a projection has not seen.
struct Unseen {
    events: Vec<SourceEvent>,
    /// Where it stands.
    from: u64,
    /// Up to where its source was read.
    to: u64,
}

impl<C: Connection, P: Platform> Store<C, P> {
    /// What a projection has not seen, at most one batch, and the position it will have come to. Events that are none of
    /// its own are passed over at once: an answer without events has nothing to be committed.
    ///
    /// # Errors
    /// In words, for the log.
    pub fn pending(&mut self, component: &str, name: &str) -> Result<(Vec<SourceEvent>, u64), String> {
        let projection = self.projection(component, name)?;
        self.enter().map_err(|error| describe(&error))?;
        let unseen = self.unseen(&projection)?;
        let Unseen { events, from, to } = unseen;
        if events.is_empty() {
            if to > from {
                self.move_on(&projection, from, to).map_err(|error| describe(&error))?;
            }
            return Ok((events, to));
        }
        if self.stood.len() >= OPEN {
            self.stood.clear();
        }
        self.stood.insert((component.to_owned(), name.to_owned(), to), from);
        Ok((events, to))
    }

    /// Commits the statements of a batch together with the position it came to, if the projection still stands where
    /// [`Store::pending`] found it.
    ///
    /// # Errors
    /// In words, for the log; nothing has happened then.
    pub fn project(
        &mut self,
        component: &str,
        name: &str,
        position: u64,
        statements: Vec<Statement>,
    ) -> Result<(), String> {
        let projection = self.projection(component, name)?;
        let batch = check::batch(statements, &[], 0).map_err(|error| describe(&error))?;
        self.enter().map_err(|error| describe(&error))?;
        let asked = (component.to_owned(), name.to_owned(), position);
        let from = self.stood.remove(&asked).ok_or_else(|| format!("nobody was told of position {position}"))?;
        let done = self.write(|store| {
            store.run_batch(&batch)?;
            if store.move_on(&projection, from, position)? {
                return Ok(());
            }
            Err(Error::Invalid("somebody else has gone on with the projection meanwhile".to_owned()))
        });
        done.map_err(|error| describe(&error))
    }

    /// Whether a projection has not seen something of its own. What is none of its own is passed over, so that nobody is
    /// called for it.
    pub(crate) fn has_unseen(&self, projection: &Projection) -> Result<bool, String> {
        for _ in 0..PASSES {
            let Unseen { events, from, to } = self.unseen(projection)?;
            if !events.is_empty() || to == from {
                return Ok(!events.is_empty());
            }
            self.move_on(projection, from, to).map_err(|error| describe(&error))?;
        }
        Ok(true)
    }

    /// Up to where all projections that read the log have read it.
    pub(crate) fn read_by_projections(&self) -> Result<u64, Error> {
        let mut read = u64::MAX;
        for projection in &self.settings.projections {
            if let Source::Topic(_) = projection.source {
                let select = "SELECT position FROM weft_checkpoints WHERE component = ?1 AND name = ?2";
                let own = [text(&*projection.component), text(&*projection.name)];
                read = read.min(self.number(select, &own)?);
            }
        }
        Ok(read)
    }

    fn projection(&self, component: &str, name: &str) -> Result<Projection, String> {
        let known = |known: &&Projection| known.component == component && known.name == name;
        let found = self.settings.projections.iter().find(known).cloned();
        found.ok_or_else(|| format!("the component {component} has no projection {name}"))
    }

    fn unseen(&self, projection: &Projection) -> Result<Unseen, String> {
        let from = self.checkpoint(projection)?;
        let patterns: Vec<TopicPattern> = match &projection.source {
            Source::Topic(topic) => vec![TopicPattern::new(topic)],
            Source::Context(context) => {
                let context = self.settings.contexts.iter().find(|known| known.name == *context);
                context
                    .map_or(Vec::new(), |context| context.topics.iter().map(|topic| TopicPattern::new(topic)).collect())
            }
        };
        let sql = match projection.source {
            Source::Topic(_) => {
                "SELECT position, id, type, topic, subject, time_ms, correlation_id, data FROM weft_log \
                 WHERE position > ?1 ORDER BY position LIMIT ?2"
            }
            Source::Context(_) => {
                "SELECT position, id, type, topic, stream, time_ms, correlation_id, data FROM weft_events \
                 WHERE position > ?1 ORDER BY position LIMIT ?2"
            }
        };
        let rows = self.run(sql, &[int(from), int(SCANNED)]).map_err(|error| describe(&error))?.rows;
        let most = usize::try_from(projection.batch.clamp(1, MOST)).unwrap_or(usize::MAX);
        let mut unseen = Unseen { events: Vec::new(), from, to: from };
        let mut bytes = 0;
        for row in rows {
            let event = source_event(row);
            let wanted = (projection.types.is_empty() || projection.types.contains(&event.kind))
                && patterns.iter().any(|pattern| pattern.matches(&event.topic));
            if !wanted {
                unseen.to = event.position;
                continue;
            }
            bytes += event.data.len();
            let full = unseen.events.len() >= most || bytes > STEP_BYTES;
            if full && !unseen.events.is_empty() {
                break;
            }
            unseen.to = event.position;
            unseen.events.push(event);
        }
        Ok(unseen)
    }

    fn checkpoint(&self, projection: &Projection) -> Result<u64, String> {
        let select = "SELECT version, position FROM weft_checkpoints WHERE component = ?1 AND name = ?2";
        let own = [text(&*projection.component), text(&*projection.name)];
        let found = self.first(select, &own).map_err(|error| describe(&error))?;
        let (found, position) = found.map_or((projection.version.into(), 0), |mut row| (row.number(), row.number()));
        if found != u64::from(projection.version) {
            let (component, name, version) = (&projection.component, &projection.name, projection.version);
            return Err(format!(
                "the read model {component}/{name} has version {found} in this database and {version} in the application; \
                 it is not made anew here: remove its rows and its checkpoint, or begin with an empty database"
            ));
        }
        Ok(position)
    }

    /// Answers false if the projection stands somewhere else.
    fn move_on(&self, projection: &Projection, from: u64, to: u64) -> Result<bool, Error> {
        let update = "UPDATE weft_checkpoints SET position = ?4 WHERE component = ?1 AND name = ?2 AND position = ?3";
        self.run(update, &[text(&*projection.component), text(&*projection.name), int(from), int(to)])?;
        Ok(self.changes() == 1)
    }
}

fn source_event(row: Vec<Value>) -> SourceEvent {
    let mut row = Columns::of(row);
    SourceEvent {
        position: row.number(),
        id: row.text(),
        kind: row.text(),
        topic: row.text(),
        subject: row.maybe_text(),
        time: rfc3339(row.number()),
        correlation_id: row.maybe_text(),
        data: row.bytes(),
    }
}
