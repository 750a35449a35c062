//! The records of the saga journal and their bytes. A record of an older version is read for ever: the bytes are held
//! by a golden test, and a change of them takes a new version beside the old.
//!
//! Numbers are LEB128, texts and bytes are a length and themselves. Every record but the first names its saga by the
//! position of that saga's first record.

use crate::types::{Outcome, Phase, Status};

/// Version of the encoding that this code writes.
pub(crate) const VERSION: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Started {
    pub key: String,
    pub function: String,
    pub component: String,
    pub digest: String,
    pub correlation_id: String,
    pub at_ms: u64,
    pub input: Vec<u8>,
}

/// One ended attempt. With `retry_at_ms` another attempt follows, and the outcome is this attempt's; without it the
/// step is settled, and the outcome is the step's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepEnded {
    pub saga: u64,
    pub name: String,
    pub occurrence: u32,
    pub phase: Phase,
    pub attempt: u32,
    pub outcome: Outcome,
    pub retry_at_ms: Option<u64>,
    pub started_at_ms: u64,
    pub ended_at_ms: u64,
    pub payload: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timer {
    pub saga: u64,
    pub name: String,
    pub occurrence: u32,
    pub fires_at_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub saga: u64,
    pub status: Status,
    pub failed: bool,
    pub at_ms: u64,
    /// None if the function never answered.
    pub answer: Option<Vec<u8>>,
    /// Why a person has to look at it.
    pub reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Started(Started),
    Step(StepEnded),
    /// A timer was asked for.
    TimerSet(Timer),
    /// It has fired: where its end stands among the ends of steps.
    TimerFired(Timer),
    Ended(Ended),
}

/// A record whose bytes are whole and make no sense to this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a journal record of kind {kind}, version {version} is not known to this version")]
pub struct UnknownRecord {
    /// Its kind.
    pub kind: u8,
    /// Its version.
    pub version: u8,
}

impl Entry {
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Started(_) => 1,
            Self::Step(_) => 2,
            Self::TimerSet(_) => 3,
            Self::TimerFired(_) => 4,
            Self::Ended(_) => 5,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder(Vec::with_capacity(128));
        match self {
            Self::Started(started) => {
                for text in [&started.key, &started.function, &started.component, &started.digest] {
                    out.bytes(text.as_bytes());
                }
                out.bytes(started.correlation_id.as_bytes());
                out.number(started.at_ms);
                out.bytes(&started.input);
            }
            Self::Step(step) => {
                out.number(step.saga);
                out.bytes(step.name.as_bytes());
                out.number(step.occurrence.into());
                out.number(step.phase as u64);
                out.number(step.attempt.into());
                out.number(step.outcome as u64);
                out.option(step.retry_at_ms, Encoder::number);
                out.number(step.started_at_ms);
                out.number(step.ended_at_ms);
                out.bytes(&step.payload);
            }
            Self::TimerSet(timer) | Self::TimerFired(timer) => {
                out.number(timer.saga);
                out.bytes(timer.name.as_bytes());
                out.number(timer.occurrence.into());
                out.number(timer.fires_at_ms);
            }
            Self::Ended(ended) => {
                out.number(ended.saga);
                out.number(ended.status as u64);
                out.number(ended.failed.into());
                out.number(ended.at_ms);
                out.option(ended.answer.as_deref(), Encoder::bytes);
                out.option(ended.reason.as_deref().map(str::as_bytes), Encoder::bytes);
            }
        }
        out.0
    }

    pub(crate) fn decode(kind: u8, version: u8, bytes: &[u8]) -> Result<Self, UnknownRecord> {
        let entry = if version == VERSION { Self::decode_1(kind, &mut Decoder(bytes)) } else { None };
        entry.ok_or(UnknownRecord { kind, version })
    }

    fn decode_1(kind: u8, from: &mut Decoder<'_>) -> Option<Self> {
        let entry = match kind {
            1 => Self::Started(Started {
                key: from.text()?,
                function: from.text()?,
                component: from.text()?,
                digest: from.text()?,
                correlation_id: from.text()?,
                at_ms: from.number()?,
                input: from.bytes()?,
            }),
            2 => Self::Step(StepEnded {
                saga: from.number()?,
                name: from.text()?,
                occurrence: from.small()?,
                phase: [Phase::Do, Phase::Undo].get(from.choice()?).copied()?,
                attempt: from.small()?,
                outcome: [Outcome::Success, Outcome::Error, Outcome::Unknown].get(from.choice()?).copied()?,
                retry_at_ms: from.option(Decoder::number)?,
                started_at_ms: from.number()?,
                ended_at_ms: from.number()?,
                payload: from.bytes()?,
            }),
            3 | 4 => {
                let (saga, name) = (from.number()?, from.text()?);
                let timer = Timer { saga, name, occurrence: from.small()?, fires_at_ms: from.number()? };
                if kind == 3 { Self::TimerSet(timer) } else { Self::TimerFired(timer) }
            }
            5 => Self::Ended(Ended {
                saga: from.number()?,
                status: Status::ALL.get(from.choice()?).copied()?,
                failed: from.number()? == 1,
                at_ms: from.number()?,
                answer: from.option(Decoder::bytes)?,
                reason: from.option(Decoder::text)?,
            }),
            _ => return None,
        };
        from.0.is_empty().then_some(entry)
    }
}

struct Encoder(Vec<u8>);

impl Encoder {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            // The low seven bits, and the sign that more follow.
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn option<T>(&mut self, value: Option<T>, put: impl Fn(&mut Self, T)) {
        self.number(value.is_some().into());
        if let Some(value) = value {
            put(self, value);
        }
    }
}

struct Decoder<'a>(&'a [u8]);

impl Decoder<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn choice(&mut self) -> Option<usize> {
        self.number()?.try_into().ok()
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = self.choice()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes.to_vec())
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }

    fn option<T>(&mut self, take: impl Fn(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.number()? {
            0 => Some(None),
            1 => take(self).map(Some),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Vec<Entry> {
        let text = str::to_owned;
        let timer = Timer { saga: 24, name: text("cool-down"), occurrence: 1, fires_at_ms: 1_790_000_060_000 };
        let step = StepEnded {
            saga: 24,
            name: text("reserve-seat"),
            occurrence: 1,
            phase: Phase::Do,
            attempt: 1,
            outcome: Outcome::Success,
            retry_at_ms: None,
            started_at_ms: 1_790_000_000_001,
            ended_at_ms: 1_790_000_000_004,
            payload: br#"{"seat":7}"#.to_vec(),
        };
        let retried = StepEnded {
            phase: Phase::Undo,
            attempt: 300,
            outcome: Outcome::Unknown,
            retry_at_ms: Some(1_790_000_000_900),
            ..step.clone()
        };
        vec![
            Entry::Started(Started {
                key: text("0199"),
                function: text("education:enrollment/enrolling@1.0.0#enroll"),
                component: text("enrollment-enrolling"),
                digest: text("ab12"),
                correlation_id: text("c-1"),
                at_ms: 1_790_000_000_000,
                input: b"{}".to_vec(),
            }),
            Entry::Step(step),
            Entry::Step(retried),
            Entry::TimerSet(timer.clone()),
            Entry::TimerFired(timer),
            Entry::Ended(Ended {
                saga: 24,
                status: Status::NeedsAttention,
                failed: true,
                at_ms: 1_790_000_000_010,
                answer: None,
                reason: Some(text("é")),
            }),
            Entry::Ended(Ended {
                saga: 24,
                status: Status::Completed,
                failed: false,
                at_ms: 1_790_000_000_010,
                answer: Some(b"1".to_vec()),
                reason: None,
            }),
        ]
    }

    /// What an older version wrote is read by this one. `BLESS=1` writes the file anew; only for a new version.
    #[test]
    fn the_bytes_of_every_record_are_those_of_the_golden_file() {
        let line = |entry: &Entry| format!("{} {VERSION} {}\n", entry.kind(), weft_core::id::hex(&entry.encode()));
        let now: String = examples().iter().map(line).collect();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journal-1.txt");
        if std::env::var_os("BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &now).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap();
        assert_eq!(now, golden);
        for (line, example) in golden.lines().zip(examples()) {
            let [kind, version, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
            let entry = Entry::decode(kind.parse().unwrap(), version.parse().unwrap(), &bytes).unwrap();
            assert_eq!(entry, example);
        }
    }

    #[test]
    fn what_is_cut_too_long_or_newer_is_refused() {
        for entry in examples() {
            let bytes = entry.encode();
            for end in 0..bytes.len() {
                assert!(Entry::decode(entry.kind(), VERSION, &bytes[..end]).is_err(), "{entry:?} cut at {end}");
            }
            let longer = [&bytes[..], &[0]].concat();
            assert!(Entry::decode(entry.kind(), VERSION, &longer).is_err());
            let newer = Entry::decode(entry.kind(), VERSION + 1, &bytes);
            assert_eq!(newer, Err(UnknownRecord { kind: entry.kind(), version: VERSION + 1 }));
        }
        assert!(Entry::decode(99, VERSION, &[]).is_err());
    }
}
