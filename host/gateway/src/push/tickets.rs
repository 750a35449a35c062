//! Tickets: what a page shows in place of a token, since browsers send no header of its choice with a WebSocket or an
//! EventSource, and a token in a URL would be written down by whoever sees it. A ticket stands for its caller once, and
//! for 30 seconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use weft_core::id::hex;

use crate::auth::{Caller, Identity};

/// How long one may be used.
pub(crate) const TICKET_LIFE: Duration = Duration::from_secs(30);
/// How many may be open.
const MAX_TICKETS: usize = 20_000;
/// Random bytes of one.
const BYTES: usize = 32;

/// Tickets that were given out and not used.
#[derive(Debug, Default)]
pub(crate) struct Tickets(Mutex<HashMap<[u8; 32], Ticket>>);

#[derive(Debug)]
struct Ticket {
    caller: Caller,
    /// On the clock's monotonic time.
    until: Duration,
}

impl Tickets {
    /// A ticket for this caller; none if too many are open.
    pub fn issue(&self, identity: Arc<Identity>, api_key: Option<[u8; 32]>, now: Duration) -> Option<String> {
        let text = hex(&rand::random::<[u8; BYTES]>());
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() >= MAX_TICKETS {
            tickets.retain(|_, ticket| ticket.until > now);
        }
        if tickets.len() >= MAX_TICKETS {
            return None;
        }
        let caller = Caller { identity, api_key };
        // Only its hash, so that the search tells nothing of a ticket.
        tickets.insert(Sha256::digest(&text).into(), Ticket { caller, until: now + TICKET_LIFE });
        Some(text)
    }

    /// Whom a ticket stands for; it does so once.
    pub fn redeem(&self, text: &str, now: Duration) -> Option<Caller> {
        let hash: [u8; 32] = Sha256::digest(text).into();
        let ticket = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash)?;
        (ticket.until > now).then_some(ticket.caller)
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
        let issue = |at| tickets.issue(Arc::new(Identity::for_tests("ada")), None, Duration::from_secs(at));
        for _ in 0..MAX_TICKETS {
            assert!(issue(0).is_some());
        }
        assert!(issue(29).is_none());
        assert!(issue(30).is_some(), "old ones make room");
    }
}
