//! Records to bytes and back, version 1. The order of fields and the numbers of kinds, orders and tidings are for ever.

use super::bytes::{Decoder, Encoder};
use super::{
    Awaited, Continued, Ended, Entry, Note, Order, Ordered, Signalled, Started, StepEnded, Suspended, Ticked, Tidings,
    Timer, Told, UnknownRecord, VERSION,
};
use crate::types::{EventKind, Outcome, Phase, Status};

/// By their numbers.
const PHASES: [Phase; 2] = [Phase::Do, Phase::Undo];
const OUTCOMES: [Outcome; 3] = [Outcome::Success, Outcome::Error, Outcome::Unknown];
const KINDS: [EventKind; 5] = [EventKind::Do, EventKind::Undo, EventKind::Timer, EventKind::Signal, EventKind::Child];
const STATUSES: [Status; 5] =
    [Status::Running, Status::Completed, Status::Compensating, Status::Compensated, Status::NeedsAttention];

fn number_of<T: PartialEq>(all: &[T], one: &T) -> u64 {
    all.iter().position(|other| other == one).unwrap_or(all.len()) as u64
}

impl Entry {
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Started(_) => 1,
            Self::Step(_) => 2,
            Self::TimerSet(_) => 3,
            Self::TimerFired(_) => 4,
            Self::Ended(_) => 5,
            Self::Signalled(_) => 6,
            Self::Awaited(_) => 7,
            Self::Told(_) => 8,
            Self::Noted(..) => 9,
            Self::Ordered(_) => 10,
            Self::Suspended(_) => 11,
            Self::Continued(_) => 12,
            Self::Ticked(_) => 13,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder(Vec::with_capacity(128));
        if let Some(saga) = self.saga() {
            out.number(saga);
        }
        match self {
            Self::Started(started) => encode_started(&mut out, started),
            Self::Step(step) => encode_step(&mut out, step),
            Self::TimerSet(timer) | Self::TimerFired(timer) => {
                out.text(&timer.name);
                out.number(timer.occurrence.into());
                out.number(timer.fires_at_ms);
            }
            Self::Ended(ended) => {
                out.number(number_of(&STATUSES, &ended.status));
                out.number(ended.failed.into());
                out.number(ended.at_ms);
                out.option(ended.answer.as_deref(), Encoder::bytes);
                out.option(ended.reason.as_deref(), Encoder::text);
            }
            Self::Signalled(signalled) => {
                out.text(&signalled.name);
                out.text(&signalled.id);
                out.number(signalled.at_ms);
                out.bytes(&signalled.payload);
            }
            Self::Awaited(awaited) => {
                out.number(number_of(&KINDS, &awaited.kind));
                out.text(&awaited.name);
                out.number(awaited.occurrence.into());
                out.option(awaited.until_ms, Encoder::number);
                out.option(awaited.child.as_deref(), Encoder::text);
            }
            Self::Told(told) => encode_told(&mut out, told),
            Self::Noted(_, note) => encode_note(&mut out, note),
            Self::Ordered(ordered) => encode_ordered(&mut out, ordered),
            Self::Suspended(suspended) => out.option(suspended.wakes_at_ms, Encoder::number),
            Self::Continued(continued) => {
                out.number(continued.at_ms);
                out.bytes(&continued.input);
            }
            Self::Ticked(ticked) => {
                out.text(&ticked.schedule);
                out.number(ticked.at_ms);
                out.number(ticked.begun.into());
            }
        }
        out.0
    }

    pub(crate) fn decode(kind: u8, version: u8, bytes: &[u8]) -> Result<Self, UnknownRecord> {
        let entry = if version == VERSION { decode(kind, &mut Decoder(bytes)) } else { None };
        entry.ok_or(UnknownRecord { kind, version })
    }
}

fn encode_started(out: &mut Encoder, started: &Started) {
    for text in [&started.key, &started.function, &started.component, &started.digest, &started.correlation_id] {
        out.text(text);
    }
    out.number(started.at_ms);
    out.bytes(&started.input);
}

fn encode_step(out: &mut Encoder, step: &StepEnded) {
    out.text(&step.name);
    out.number(step.occurrence.into());
    out.number(number_of(&PHASES, &step.phase));
    out.number(step.attempt.into());
    out.number(number_of(&OUTCOMES, &step.outcome));
    out.option(step.retry_at_ms, Encoder::number);
    out.number(step.started_at_ms);
    out.number(step.ended_at_ms);
    out.bytes(&step.payload);
}

fn encode_told(out: &mut Encoder, told: &Told) {
    out.number(number_of(&KINDS, &told.kind));
    out.text(&told.name);
    out.number(told.occurrence.into());
    out.number(told.at_ms);
    out.number(number_of(&OUTCOMES, &told.outcome));
    match &told.what {
        Tidings::Signal(position) => {
            out.number(0);
            out.number(*position);
        }
        Tidings::TimedOut => out.number(1),
        Tidings::Child(answer) => {
            out.number(2);
            out.bytes(answer);
        }
        Tidings::Cancelled(reason) => {
            out.number(3);
            out.text(reason);
        }
    }
}

fn encode_note(out: &mut Encoder, note: &Note) {
    match note {
        Note::Exposed { name, value } => {
            out.number(0);
            out.text(name);
            out.bytes(value);
        }
        Note::Attributes(pairs) => {
            out.number(1);
            out.number(pairs.len() as u64);
            for (name, value) in pairs {
                out.text(name);
                out.text(value);
            }
        }
        Note::Deadline { at_ms } => {
            out.number(2);
            out.number(*at_ms);
        }
    }
}

fn encode_ordered(out: &mut Encoder, ordered: &Ordered) {
    out.number(ordered.at_ms);
    out.text(&ordered.actor);
    out.text(&ordered.reason);
    match &ordered.order {
        Order::Pause => out.number(0),
        Order::Resume => out.number(1),
        Order::Cancel => out.number(2),
        Order::Rewind { name, occurrence } => {
            out.number(3);
            out.text(name);
            out.number((*occurrence).into());
        }
        Order::Retry => out.number(4),
        Order::Skip { name, occurrence } => {
            out.number(5);
            out.text(name);
            out.number((*occurrence).into());
        }
        Order::Abandon => out.number(6),
        Order::Migrate { digest } => {
            out.number(7);
            out.text(digest);
        }
    }
}

fn decode(kind: u8, from: &mut Decoder<'_>) -> Option<Entry> {
    let entry = match kind {
        1 => Entry::Started(Started {
            key: from.text()?,
            function: from.text()?,
            component: from.text()?,
            digest: from.text()?,
            correlation_id: from.text()?,
            at_ms: from.number()?,
            input: from.bytes()?,
        }),
        13 => Entry::Ticked(Ticked { schedule: from.text()?, at_ms: from.number()?, begun: from.flag()? }),
        _ => {
            let saga = from.number()?;
            decode_of_saga(kind, saga, from)?
        }
    };
    from.0.is_empty().then_some(entry)
}

fn decode_of_saga(kind: u8, saga: u64, from: &mut Decoder<'_>) -> Option<Entry> {
    Some(match kind {
        2 => Entry::Step(decode_step(saga, from)?),
        3 | 4 => {
            let timer = Timer { saga, name: from.text()?, occurrence: from.small()?, fires_at_ms: from.number()? };
            if kind == 3 { Entry::TimerSet(timer) } else { Entry::TimerFired(timer) }
        }
        5 => Entry::Ended(Ended {
            saga,
            status: from.one_of(&STATUSES)?,
            failed: from.flag()?,
            at_ms: from.number()?,
            answer: from.option(Decoder::bytes)?,
            reason: from.option(Decoder::text)?,
        }),
        6 => Entry::Signalled(Signalled {
            saga,
            name: from.text()?,
            id: from.text()?,
            at_ms: from.number()?,
            payload: from.bytes()?,
        }),
        7 => Entry::Awaited(Awaited {
            saga,
            kind: from.one_of(&KINDS)?,
            name: from.text()?,
            occurrence: from.small()?,
            until_ms: from.option(Decoder::number)?,
            child: from.option(Decoder::text)?,
        }),
        8 => Entry::Told(Told {
            saga,
            kind: from.one_of(&KINDS)?,
            name: from.text()?,
            occurrence: from.small()?,
            at_ms: from.number()?,
            outcome: from.one_of(&OUTCOMES)?,
            what: decode_tidings(from)?,
        }),
        9 => Entry::Noted(saga, decode_note(from)?),
        10 => {
            let (at_ms, actor, reason) = (from.number()?, from.text()?, from.text()?);
            Entry::Ordered(Ordered { saga, order: decode_order(from)?, at_ms, actor, reason })
        }
        11 => Entry::Suspended(Suspended { saga, wakes_at_ms: from.option(Decoder::number)? }),
        12 => Entry::Continued(Continued { saga, at_ms: from.number()?, input: from.bytes()? }),
        _ => return None,
    })
}

fn decode_step(saga: u64, from: &mut Decoder<'_>) -> Option<StepEnded> {
    Some(StepEnded {
        saga,
        name: from.text()?,
        occurrence: from.small()?,
        phase: from.one_of(&PHASES)?,
        attempt: from.small()?,
        outcome: from.one_of(&OUTCOMES)?,
        retry_at_ms: from.option(Decoder::number)?,
        started_at_ms: from.number()?,
        ended_at_ms: from.number()?,
        payload: from.bytes()?,
    })
}

fn decode_tidings(from: &mut Decoder<'_>) -> Option<Tidings> {
    Some(match from.number()? {
        0 => Tidings::Signal(from.number()?),
        1 => Tidings::TimedOut,
        2 => Tidings::Child(from.bytes()?),
        3 => Tidings::Cancelled(from.text()?),
        _ => return None,
    })
}

fn decode_note(from: &mut Decoder<'_>) -> Option<Note> {
    Some(match from.number()? {
        0 => Note::Exposed { name: from.text()?, value: from.bytes()? },
        1 => {
            let mut pairs = Vec::new();
            for _ in 0..from.number()? {
                pairs.push((from.text()?, from.text()?));
            }
            Note::Attributes(pairs)
        }
        2 => Note::Deadline { at_ms: from.number()? },
        _ => return None,
    })
}

fn decode_order(from: &mut Decoder<'_>) -> Option<Order> {
    Some(match from.number()? {
        0 => Order::Pause,
        1 => Order::Resume,
        2 => Order::Cancel,
        3 => Order::Rewind { name: from.text()?, occurrence: from.small()? },
        4 => Order::Retry,
        5 => Order::Skip { name: from.text()?, occurrence: from.small()? },
        6 => Order::Abandon,
        7 => Order::Migrate { digest: from.text()? },
        _ => return None,
    })
}
