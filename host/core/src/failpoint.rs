//! Points at which a test aborts the process, to prove what a crash there leaves behind. In production every hit is one
//! branch. Who owns a boundary calls `failpoints.hit("name")` there; nothing else has to be registered.
//!
//! The command line reads `WEFT_FAILPOINT` once and hands it to [`Failpoints::parse`]:
//! * `NAME:N` aborts the process at the N-th hit of NAME (from 1);
//! * `NAME@OTHER:N` at each hit of NAME after the N-th of OTHER, for what happens to several of them at once;
//! * `count:FILE` writes the hits so far, one `NAME COUNT` a line, to FILE at each hit, so that a test can list the points.
//!
//! Boundaries: `journal.record-written` and `messages.record-written` (each record of a log), `journal.before-flush`,
//! `journal.after-flush` (and `messages.`; each batch), `sql.before-commit`, `sql.after-commit`, `answers.before-keep`,
//! `answers.after-keep`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Cheap to clone; clones count together. The default does nothing.
#[derive(Clone, Default)]
pub struct Failpoints(Option<Arc<Armed>>);

struct Armed {
    hits: Mutex<BTreeMap<String, u64>>,
    mode: Mode,
}

enum Mode {
    At { name: String, after: Option<String>, hit: u64, act: Box<dyn Fn() + Send + Sync> },
    Count(PathBuf),
}

/// A setting that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failpoint {0:?}: expected NAME:N or NAME@OTHER:N with N from 1, or count:FILE")]
pub struct BadFailpoint(String);

impl Failpoints {
    /// No failpoints.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// From the text of `WEFT_FAILPOINT`; empty text means none.
    ///
    /// # Errors
    /// [`BadFailpoint`] if the text has neither form.
    pub fn parse(text: &str) -> Result<Self, BadFailpoint> {
        if text.is_empty() {
            return Ok(Self::none());
        }
        let bad = || BadFailpoint(text.to_owned());
        let (name, rest) = text.split_once(':').ok_or_else(bad)?;
        if name == "count" && !rest.is_empty() {
            return Ok(Self::armed(Mode::Count(rest.into())));
        }
        let hit = rest.parse().ok().filter(|hit| *hit > 0).ok_or_else(bad)?;
        let (name, after) = match name.split_once('@') {
            Some(("", _) | (_, "")) => return Err(bad()),
            Some((name, other)) => (name, Some(other.to_owned())),
            None => (name, None),
        };
        Ok(Self::armed(Mode::At { name: name.to_owned(), after, hit, act: Box::new(|| std::process::abort()) }))
    }

    /// Calls `act` at the `hit`-th hit (from 1) of `name`.
    #[must_use]
    pub fn at(name: &str, hit: u64, act: impl Fn() + Send + Sync + 'static) -> Self {
        Self::armed(Mode::At { name: name.to_owned(), after: None, hit, act: Box::new(act) })
    }

    fn armed(mode: Mode) -> Self {
        Self(Some(Arc::new(Armed { hits: Mutex::default(), mode })))
    }

    /// Whether any hit can have an effect; lets a caller do the work between two points only then.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.0.is_some()
    }

    /// The process is at the boundary `name`.
    pub fn hit(&self, name: &str) {
        let Some(armed) = &self.0 else { return };
        let mut hits = armed.hits.lock().unwrap_or_else(PoisonError::into_inner);
        let count = hits.entry(name.to_owned()).or_default();
        *count += 1;
        let count = *count;
        match &armed.mode {
            Mode::At { name: wanted, after: None, hit, act } if wanted == name && *hit == count => act(),
            Mode::At { name: wanted, after: Some(other), hit, act } if wanted == name => {
                if hits.get(other).is_some_and(|others| others >= hit) {
                    act();
                }
            }
            Mode::At { .. } => {}
            Mode::Count(file) => {
                let text: String = hits.iter().map(|(name, count)| format!("{name} {count}\n")).collect();
                if let Err(error) = std::fs::write(file, text) {
                    // Only a test sets this, and it must not go on counting nothing.
                    eprintln!("failpoint counts cannot be written to {}: {error}", file.display());
                    std::process::abort();
                }
            }
        }
    }
}

impl fmt::Debug for Failpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_deref().map(|armed| &armed.mode) {
            None => f.write_str("Failpoints(none)"),
            Some(Mode::At { name, after: None, hit, .. }) => write!(f, "Failpoints({name}:{hit})"),
            Some(Mode::At { name, after: Some(other), hit, .. }) => write!(f, "Failpoints({name}@{other}:{hit})"),
            Some(Mode::Count(file)) => write!(f, "Failpoints(count:{})", file.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn acts_at_the_hit_asked_for_alone() {
        let acted = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&acted);
        let points = Failpoints::at("a", 2, move || {
            seen.fetch_add(1, Ordering::Relaxed);
        });
        for (name, acts) in [("a", 0), ("b", 0), ("b", 0), ("a", 1), ("a", 1)] {
            points.hit(name);
            assert_eq!(acted.load(Ordering::Relaxed), acts);
        }
    }

    #[test]
    fn acts_at_each_hit_after_the_other() {
        let acted = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&acted);
        let act = move || {
            seen.fetch_add(1, Ordering::Relaxed);
        };
        let (name, after) = ("flush".to_owned(), Some("record".to_owned()));
        let points = Failpoints::armed(Mode::At { name, after, hit: 2, act: Box::new(act) });
        for (name, acts) in
            [("flush", 0), ("record", 0), ("flush", 0), ("record", 0), ("other", 0), ("flush", 1), ("flush", 2)]
        {
            points.hit(name);
            assert_eq!(acted.load(Ordering::Relaxed), acts);
        }
    }

    #[test]
    fn counts_go_to_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("counts");
        let points = Failpoints::parse(&format!("count:{}", file.display())).unwrap();
        for name in ["b", "a", "b"] {
            points.hit(name);
        }
        assert_eq!(std::fs::read_to_string(file).unwrap(), "a 1\nb 2\n");
    }

    #[test]
    fn bad_settings_are_named() {
        for text in ["a", "a:0", "a:x", "@a:1", "a@:1", "count:"] {
            assert_eq!(Failpoints::parse(text).unwrap_err(), BadFailpoint(text.to_owned()));
        }
        assert!(!Failpoints::parse("").unwrap().is_armed());
        assert_eq!(
            format!("{:?}", Failpoints::parse("sql.before-commit:3").unwrap()),
            "Failpoints(sql.before-commit:3)"
        );
        let after = Failpoints::parse("journal.before-flush@journal.record-written:2").unwrap();
        assert_eq!(format!("{after:?}"), "Failpoints(journal.before-flush@journal.record-written:2)");
    }
}
