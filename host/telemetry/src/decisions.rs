//! Who was refused at the gateway, and who was let in where that is asked for: gathered for a second, put together where they are the same, and written
//! beside the audit log, in files of their own, so that a flood of refusals neither fills the disk nor pushes out what was
//! done by hand. What is refused, and why, is up to the gateway.
//!
//! Bounds: so many different ones of a second are written, of each kind, of the others their number; all of a second share one flush.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use weft_core::Clock;

use crate::audit::{AuditEntry, AuditLog};

/// How long decisions are gathered.
const GATHERING: Duration = Duration::from_secs(1);
/// Different decisions of that time that are written, of each kind.
const MOST_LINES: usize = 100;
/// The longest text of a decision, in bytes, so that what is gathered is bounded.
const MAX_TEXT_BYTES: usize = 256;

/// How a caller shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallerKind {
    /// Not at all, or by something that is not valid.
    Nobody,
    /// By a user's token.
    User,
    /// By a service's token.
    Service,
    /// By an API key.
    ApiKey,
}

/// How it was decided.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// It goes on.
    Allowed,
    /// It does not.
    Refused {
        /// Why, in a word such as `token-missing`.
        reason: &'a str,
        /// The same for people.
        detail: &'a str,
    },
}

/// What the gateway decided of a request, without anything secret.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// How.
    pub verdict: Verdict<'a>,
    /// The method.
    pub method: &'a str,
    /// The pattern of the route.
    pub route: &'a str,
    /// Where it came from.
    pub client: IpAddr,
    /// The id of the request.
    pub request_id: &'a str,
    /// How its caller shows who it is.
    pub kind: CallerKind,
    /// Who that is; empty for nobody.
    pub subject: &'a str,
    /// The id of the API key; empty without one.
    pub key: &'a str,
}

/// What a line of the audit log says of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedRequests {
    /// As that of [`Verdict::Refused`]; empty if they were allowed.
    pub reason: String,
    /// As [`Decision::method`].
    pub method: String,
    /// As [`Decision::route`].
    pub route: String,
    /// As [`Decision::client`].
    pub client: String,
    /// That of the first of them.
    pub request_id: String,
    /// As [`Decision::kind`].
    pub kind: CallerKind,
    /// As [`Decision::subject`].
    pub subject: String,
    /// As [`Decision::key`].
    pub key: String,
    /// How many were decided so.
    pub count: u64,
}

/// The log of decisions. Clones are the same log; what is gathered is written at the latest when the last is dropped.
#[derive(Clone, Debug)]
pub struct DecisionLog(Arc<Writing>);

#[derive(Debug)]
struct Writing {
    gathering: Arc<Gathering>,
    clock: Arc<dyn Clock>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Gathering {
    gathered: Mutex<Gathered>,
    /// The thread has something to do.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Gathered {
    lines: HashMap<Same, Line>,
    /// Allowed and refused beyond [`MOST_LINES`] of each.
    others: Others,
    ended: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Others {
    allowed: u64,
    refused: u64,
}

/// What decisions have in common that share a line.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Same {
    is_allowed: bool,
    reason: String,
    method: String,
    route: String,
    client: IpAddr,
    kind: CallerKind,
    subject: String,
    key: String,
}

#[derive(Debug)]
struct Line {
    time_ms: u64,
    detail: String,
    request_id: String,
    count: u64,
}

impl DecisionLog {
    /// Opens the log of `data`, whose lock the caller holds, and starts the thread that writes it.
    ///
    /// # Errors
    /// If a folder or a file cannot be made or read, or the thread cannot be started.
    pub fn open(data: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let log = AuditLog::open_requests(data, Arc::clone(&clock))?;
        let gathering = Arc::new(Gathering::default());
        let taken = Arc::clone(&gathering);
        let thread = std::thread::Builder::new().name("weft-audit".into()).spawn(move || write(&taken, &log))?;
        Ok(Self(Arc::new(Writing { gathering, clock, thread: Some(thread) })))
    }

    /// Notes a decision. It is on the medium a second later, or counted among those that are too many. Does not wait.
    pub fn note(&self, decision: &Decision<'_>) {
        let Writing { gathering, clock, .. } = &*self.0;
        gathering.note(decision, clock.now_ms());
    }
}

impl Gathering {
    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, decision: &Decision<'_>, now_ms: u64) {
        let cut = |text: &str| text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or_default().to_owned();
        let (is_allowed, reason, detail) = match decision.verdict {
            Verdict::Allowed => (true, "", ""),
            Verdict::Refused { reason, detail } => (false, reason, detail),
        };
        let same = Same {
            is_allowed,
            reason: cut(reason),
            method: cut(decision.method),
            route: cut(decision.route),
            client: decision.client,
            kind: decision.kind,
            subject: cut(decision.subject),
            key: cut(decision.key),
        };
        let mut gathered = self.gathered();
        let is_first = gathered.lines.is_empty();
        if let Some(line) = gathered.lines.get_mut(&same) {
            line.count += 1;
        } else if gathered.lines.keys().filter(|line| line.is_allowed == same.is_allowed).count() < MOST_LINES {
            let (detail, request_id) = (cut(detail), cut(decision.request_id));
            gathered.lines.insert(same, Line { time_ms: now_ms, detail, request_id, count: 1 });
        } else if is_allowed {
            gathered.others.allowed += 1;
        } else {
            gathered.others.refused += 1;
        }
        drop(gathered);
        if is_first {
            self.changed.notify_one();
        }
    }

    /// Waits for decisions, gathers for a second, and takes them; whether these were the last.
    fn take(&self) -> (Gathered, bool) {
        let nothing = |gathered: &mut Gathered| gathered.lines.is_empty() && !gathered.ended;
        let waited = self.changed.wait_while(self.gathered(), nothing).unwrap_or_else(PoisonError::into_inner);
        let goes_on = |gathered: &mut Gathered| !gathered.ended;
        let (mut gathered, _) =
            self.changed.wait_timeout_while(waited, GATHERING, goes_on).unwrap_or_else(PoisonError::into_inner);
        let ended = gathered.ended;
        (std::mem::take(&mut *gathered), ended)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.gathering.gathered().ended = true;
        self.gathering.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of it has been told on standard error.
            let _ = thread.join();
        }
    }
}

/// Writes until the log ends. A disk that takes nothing costs what was gathered, and is told of in the host's log.
fn write(gathering: &Gathering, log: &AuditLog) {
    let mut failed = false;
    loop {
        let (gathered, ended) = gathering.take();
        let entries = entries(gathered);
        match log.append_all(&entries) {
            Ok(()) => failed = false,
            Err(error) => {
                if !failed {
                    tracing::error!(%error, lines = entries.len(), "what the gateway decided is not in the audit log");
                }
                failed = true;
            }
        }
        if ended {
            return;
        }
    }
}

fn entries(gathered: Gathered) -> Vec<AuditEntry> {
    let last_ms = gathered.lines.values().map(|line| line.time_ms).max().unwrap_or_default();
    let mut entries: Vec<AuditEntry> = gathered.lines.into_iter().map(|(same, line)| entry(same, line)).collect();
    entries.sort_by(|a, b| (a.time_ms, &a.actor, &a.detail).cmp(&(b.time_ms, &b.actor, &b.detail)));
    let Others { allowed, refused } = gathered.others;
    for (is_allowed, others) in [(true, allowed), (false, refused)].into_iter().filter(|(_, others)| *others > 0) {
        entries.push(AuditEntry {
            time_ms: last_ms,
            actor: "gateway".to_owned(),
            action: action(is_allowed).to_owned(),
            detail: format!("{others} more, which were too many to tell apart"),
            outcome: "not listed".to_owned(),
            ..AuditEntry::default()
        });
    }
    entries
}

fn action(is_allowed: bool) -> &'static str {
    if is_allowed { "allow request" } else { "refuse request" }
}

fn entry(same: Same, line: Line) -> AuditEntry {
    let Same { is_allowed, reason, method, route, client, kind, subject, key } = same;
    let Line { time_ms, detail, request_id, count } = line;
    let actor = match kind {
        CallerKind::Nobody => "nobody".to_owned(),
        CallerKind::User => format!("user {subject}"),
        // Whose subject says what it is.
        CallerKind::Service => subject.clone(),
        CallerKind::ApiKey => format!("api-key {key} of {subject}"),
    };
    let times = if count > 1 { format!(", {count} times") } else { String::new() };
    AuditEntry {
        time_ms,
        actor,
        action: action(is_allowed).to_owned(),
        saga: String::new(),
        detail: format!("{method} {route} from {client}{times}"),
        reason: if detail.is_empty() { reason.clone() } else { format!("{reason}: {detail}") },
        outcome: if is_allowed { "allowed" } else { "refused" }.to_owned(),
        requests: Some(DecidedRequests {
            reason,
            method,
            route,
            client: client.to_string(),
            request_id,
            kind,
            subject,
            key,
            count,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use weft_core::clock::ManualClock;

    use super::*;
    use crate::audit;

    fn decision<'a>(reason: &'a str, request_id: &'a str, client: u8) -> Decision<'a> {
        Decision {
            verdict: Verdict::Refused { reason, detail: "Say who you are." },
            method: "GET",
            route: "/a/:id",
            client: Ipv4Addr::new(192, 0, 2, client).into(),
            request_id,
            kind: CallerKind::Nobody,
            subject: "",
            key: "",
        }
    }

    fn open(data: &Path) -> DecisionLog {
        DecisionLog::open(data, Arc::new(ManualClock::at_ms(1_500))).unwrap()
    }

    fn written(data: &Path) -> Vec<AuditEntry> {
        audit::last(data, 10_000, |_| true).unwrap()
    }

    #[test]
    fn the_same_are_one_line() {
        let data = tempfile::tempdir().unwrap();
        let log = open(data.path());
        for id in ["r1", "r2", "r3"] {
            log.note(&decision("token-missing", id, 1));
        }
        log.note(&decision("token-invalid", "r4", 1));
        log.note(&decision("token-missing", "r5", 2));
        let key = Decision { kind: CallerKind::ApiKey, subject: "ada", key: "k1", ..decision("forbidden", "r6", 2) };
        log.note(&key);
        log.note(&Decision { verdict: Verdict::Refused { reason: "role", detail: "" }, ..key });
        let service = Decision { kind: CallerKind::Service, subject: "service:grading", key: "", ..key };
        log.note(&Decision { verdict: Verdict::Allowed, ..service });
        drop(log);
        let entries = written(data.path());
        let counts: Vec<u64> = entries.iter().filter_map(|entry| Some(entry.requests.as_ref()?.count)).collect();
        assert_eq!((entries.len(), counts.iter().sum::<u64>()), (6, 8), "{entries:?}");
        let many = entries.iter().find(|entry| entry.detail.ends_with("3 times")).unwrap();
        assert_eq!(many.detail, "GET /a/:id from 192.0.2.1, 3 times");
        assert_eq!((&*many.actor, &*many.reason), ("nobody", "token-missing: Say who you are."));
        assert_eq!(many.requests.as_ref().unwrap().request_id, "r1");
        assert!(entries.iter().any(|entry| entry.actor == "api-key k1 of ada" && entry.reason == "role"));
        let allowed = entries.iter().find(|entry| entry.action == "allow request").unwrap();
        assert_eq!((&*allowed.actor, &*allowed.reason, &*allowed.outcome), ("service:grading", "", "allowed"));
    }

    #[test]
    fn a_flood_is_counted() {
        let data = tempfile::tempdir().unwrap();
        let log = open(data.path());
        let reasons: Vec<String> = (0..5_000).map(|number| format!("reason {number}")).collect();
        for reason in &reasons {
            log.note(&decision(reason, "r", 1));
        }
        drop(log);
        // However the second falls: what is not a line is in a number.
        let entries = written(data.path());
        let lines = entries.iter().filter(|entry| entry.requests.is_some()).count();
        let others = entries.iter().filter(|entry| entry.requests.is_none());
        let others: usize = others.map(|entry| entry.detail.split(' ').next().unwrap().parse::<usize>().unwrap()).sum();
        assert_eq!(lines + others, 5_000);
        assert!((MOST_LINES..=10 * MOST_LINES).contains(&lines), "{lines}");
    }

    #[test]
    fn what_somebody_sends_is_cut() {
        let data = tempfile::tempdir().unwrap();
        let log = open(data.path());
        let long = "ä".repeat(MAX_TEXT_BYTES);
        log.note(&Decision { subject: &long, kind: CallerKind::User, ..decision("forbidden", &long, 1) });
        drop(log);
        let requests = written(data.path()).remove(0).requests.unwrap();
        assert_eq!((requests.subject.len(), requests.request_id.len()), (MAX_TEXT_BYTES, MAX_TEXT_BYTES));
    }
}
