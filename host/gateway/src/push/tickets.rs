//! Tickets: what a page shows in place of a token, since browsers send no header of its choice with a WebSocket or an
//! EventSource, and a token in a URL would be written down by whoever sees it. A ticket stands for its caller once, and
//! for 30 seconds.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use weft_core::id::hex;

use crate::auth::{Caller, Identity};

/// How long one may be used.
pub(crate) const TICKET_LIFE: Duration = Duration::from_secs(30);
/// How many may be open.
const MAX_TICKETS: usize = 20_000;
/// Those of one caller; the oldest gives way to one more.
const MAX_OF_CALLER: usize = 32;
/// Random bytes of one.
const BYTES: usize = 32;

/// Tickets that were given out and not used.
#[derive(Debug, Default)]
pub(crate) struct Tickets(Mutex<Open>);

type Hash = [u8; 32];

#[derive(Debug, Default)]
struct Open {
    tickets: HashMap<Hash, Ticket>,
    /// By who has them, the oldest first.
    of_callers: HashMap<Arc<str>, VecDeque<Hash>>,
}

#[derive(Debug)]
struct Ticket {
    caller: Caller,
    /// On the clock's monotonic time.
    until: Duration,
}

impl Tickets {
    /// A ticket for this caller; none if too many are open.
    pub fn issue(&self, identity: Arc<Identity>, api_key: Option<Hash>, now: Duration) -> Option<String> {
        let text = hex(&rand::random::<[u8; BYTES]>());
        let mut open = self.open();
        let subject = identity.shared_subject().clone();
        let oldest = open.of_callers.get(&subject).filter(|own| own.len() >= MAX_OF_CALLER).and_then(VecDeque::front);
        if let Some(oldest) = oldest.copied() {
            open.remove(&oldest);
        }
        if open.tickets.len() >= MAX_TICKETS {
            open.sweep(now);
        }
        if open.tickets.len() >= MAX_TICKETS {
            return None;
        }
        // Only its hash, so that the search tells nothing of a ticket.
        let hash: Hash = Sha256::digest(&text).into();
        open.of_callers.entry(subject).or_default().push_back(hash);
        open.tickets.insert(hash, Ticket { caller: Caller { identity, api_key }, until: now + TICKET_LIFE });
        Some(text)
    }

    /// Whom a ticket stands for; it does so once.
    pub fn redeem(&self, text: &str, now: Duration) -> Option<Caller> {
        let hash: Hash = Sha256::digest(text).into();
        let ticket = self.open().remove(&hash)?;
        (ticket.until > now).then_some(ticket.caller)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn remove(&mut self, hash: &Hash) -> Option<Ticket> {
        let ticket = self.tickets.remove(hash)?;
        let subject = ticket.caller.identity.shared_subject();
        if let Some(own) = self.of_callers.get_mut(subject) {
            own.retain(|other| other != hash);
            if own.is_empty() {
                self.of_callers.remove(subject);
            }
        }
        Some(ticket)
    }

    /// Removes those whose time is over.
    fn sweep(&mut self, now: Duration) {
        let over: Vec<Hash> =
            self.tickets.iter().filter(|(_, ticket)| ticket.until <= now).map(|(hash, _)| *hash).collect();
        over.iter().for_each(|hash| drop(self.remove(hash)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_used_once_and_in_time() {
        let tickets = Tickets::default();
        let issue = |at| tickets.issue(Arc::new(Identity::for_tests("ada")), None, Duration::from_secs(at)).unwrap();
        let redeem = |text: &str, at| tickets.redeem(text, Duration::from_secs(at)).is_some();
        let ticket = issue(0);
        assert!(!redeem("another", 1));
        assert!(redeem(&ticket, 29));
        assert!(!redeem(&ticket, 29), "twice");
        assert!(!redeem(&issue(0), 30), "too late");
    }

    #[test]
    fn there_are_only_so_many() {
        let tickets = Tickets::default();
        let issue = |number: usize, at| {
            let identity = Arc::new(Identity::for_tests(&format!("user-{number}")));
            tickets.issue(identity, None, Duration::from_secs(at))
        };
        for number in 0..MAX_TICKETS {
            assert!(issue(number, 0).is_some());
        }
        assert!(issue(MAX_TICKETS, 29).is_none());
        assert!(issue(MAX_TICKETS, 30).is_some(), "old ones make room");
    }

    #[test]
    fn one_caller_takes_none_from_others() {
        let tickets = Tickets::default();
        let issue = || tickets.issue(Arc::new(Identity::for_tests("ada")), None, Duration::ZERO).unwrap();
        let redeem = |text: &str| tickets.redeem(text, Duration::ZERO).is_some();
        let texts: Vec<String> = (0..=MAX_OF_CALLER).map(|_| issue()).collect();
        assert!(!redeem(&texts[0]), "the oldest has given way");
        assert!(texts[1..].iter().all(|text| redeem(text)));
        let open = tickets.open();
        assert!(open.tickets.is_empty() && open.of_callers.is_empty());
    }
}
