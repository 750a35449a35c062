//! What clients say: marks of what was read, channels to join and leave, and how often they may say anything.

use std::time::Duration;

use serde::Deserialize;
use weft_core::push::{MAX_MARKED, Which};

/// The largest message of a client, in bytes.
pub(super) const MAX_SAID_BYTES: usize = 8 * 1024;
/// The most channels that are named at once.
const MAX_NAMED: usize = 256;
/// How many messages a client may send at once, and how many more each second.
const BURST: u32 = 40;
const PER_SECOND: u32 = 10;

/// One message of a client.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Said {
    Read {
        id: Option<String>,
        #[serde(default)]
        ids: Vec<String>,
        through: Option<String>,
    },
    Subscribe {
        channels: Vec<String>,
    },
    Unsubscribe {
        channels: Vec<String>,
    },
    Presence {
        channels: Vec<String>,
    },
    Ping,
}

/// The body of `POST <path>/read`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marks {
    id: Option<String>,
    #[serde(default)]
    ids: Vec<String>,
    through: Option<String>,
}

impl Said {
    /// What a client has said.
    ///
    /// # Errors
    /// What is wrong with it, for the client.
    pub fn read(text: &str) -> Result<Self, String> {
        let said: Self = serde_json::from_str(text).map_err(|error| format!("not understood: {error}"))?;
        if let Self::Subscribe { channels } | Self::Unsubscribe { channels } | Self::Presence { channels } = &said
            && !(1..=MAX_NAMED).contains(&channels.len())
        {
            return Err(format!("`channels` has 1 to {MAX_NAMED} names"));
        }
        Ok(said)
    }
}

/// Which messages a body of `POST <path>/read` marks.
///
/// # Errors
/// What is wrong with it, for the client.
pub(super) fn marks(body: &[u8]) -> Result<Which, String> {
    let Marks { id, ids, through } =
        serde_json::from_slice(body).map_err(|error| format!("not understood: {error}"))?;
    which(id, ids, through)
}

/// Which messages are marked by one way to say it.
///
/// # Errors
/// What is wrong with it, for the client.
pub(super) fn which(id: Option<String>, ids: Vec<String>, through: Option<String>) -> Result<Which, String> {
    let number = |text: &String| text.parse::<u64>().map_err(|_| format!("{text:?} is not the `message` of any"));
    match (id, ids.as_slice(), through) {
        (Some(id), [], None) => Ok(Which::These(vec![number(&id)?])),
        (None, [_, ..], None) if ids.len() <= MAX_MARKED => {
            Ok(Which::These(ids.iter().map(number).collect::<Result<_, _>>()?))
        }
        (None, [], Some(through)) => Ok(Which::Through(number(&through)?)),
        _ => Err(format!("give one of `id`, `ids` (1 to {MAX_MARKED}) and `through`, as texts")),
    }
}

/// How many messages a client may still send.
#[derive(Debug)]
pub(super) struct Allowance {
    /// In thousandths.
    left: u64,
    since: Duration,
}

impl Allowance {
    pub fn new(now: Duration) -> Self {
        Self { left: u64::from(BURST) * 1_000, since: now }
    }

    /// Whether one more is within it.
    pub fn take(&mut self, now: Duration) -> bool {
        let passed_ms = u64::try_from(now.saturating_sub(self.since).as_millis()).unwrap_or(u64::MAX);
        let filled = self.left.saturating_add(passed_ms.saturating_mul(PER_SECOND.into()));
        self.left = filled.min(u64::from(BURST) * 1_000);
        self.since = now;
        let has_one = self.left >= 1_000;
        self.left = self.left.saturating_sub(1_000);
        has_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_or_refused() {
        assert_eq!(Said::read(r#"{"type":"ping"}"#), Ok(Said::Ping));
        let joined = Said::read(r#"{"type":"subscribe","channels":["course:1"]}"#);
        assert_eq!(joined, Ok(Said::Subscribe { channels: vec!["course:1".into()] }));
        for wrong in ["", "{}", r#"{"type":"shout"}"#, r#"{"type":"subscribe","channels":[]}"#] {
            assert!(Said::read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(marks(br#"{"ids":["1","2"]}"#), Ok(Which::These(vec![1, 2])));
        assert_eq!(marks(br#"{"id":"1"}"#), Ok(Which::These(vec![1])));
        assert_eq!(marks(br#"{"through":"7"}"#), Ok(Which::Through(7)));
        for wrong in [&b"{}"[..], b"[]", br#"{"ids":[]}"#, br#"{"id":"x"}"#, br#"{"id":"1","through":"2"}"#] {
            assert!(marks(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_client_may_say_so_much() {
        let mut allowance = Allowance::new(Duration::ZERO);
        for _ in 0..BURST {
            assert!(allowance.take(Duration::ZERO));
        }
        assert!(!allowance.take(Duration::ZERO));
        let later = Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| allowance.take(later)).count(), PER_SECOND as usize);
    }
}
