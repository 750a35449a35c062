//! The bytes of an event in the message log. Form 2, little-endian: flags (u8), time (u64), then id, source, type, topic
//! and those of subject, ordering key, correlation id, trace context and schema that its flags announce, each with its
//! length (u16) before it; delay and time to live (u64) and priority (u8), likewise; the rest is the data as it is.
//! Form 1, which is read alone: length of the attributes (u32), the attributes as JSON, the data.

use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;

use super::event::{DEFAULT_PRIORITY, Event, EventError, Handling};

/// The form that is written.
pub(super) const VERSION: u8 = 2;
/// The form before it.
const JSON_ATTRIBUTES: u8 = 1;

const SUBJECT: u8 = 1;
const ORDERING_KEY: u8 = 1 << 1;
const CORRELATION_ID: u8 = 1 << 2;
const TRACEPARENT: u8 = 1 << 3;
const DATASCHEMA: u8 = 1 << 4;
const DELAY: u8 = 1 << 5;
const TTL: u8 = 1 << 6;
const PRIORITY: u8 = 1 << 7;

/// The bytes of an event.
pub(super) fn encode(event: &Event) -> Result<Vec<u8>, EventError> {
    let Handling { delay_ms, ttl_ms, priority } = event.handling;
    let options = [
        (SUBJECT, &event.subject),
        (ORDERING_KEY, &event.ordering_key),
        (CORRELATION_ID, &event.correlation_id),
        (TRACEPARENT, &event.traceparent),
        (DATASCHEMA, &event.dataschema),
    ];
    let has_priority = priority != DEFAULT_PRIORITY;
    let mut flags = options.iter().filter(|(_, text)| text.is_some()).fold(0, |flags, (flag, _)| flags | flag);
    for (flag, is_set) in [(DELAY, delay_ms.is_some()), (TTL, ttl_ms.is_some()), (PRIORITY, has_priority)] {
        flags |= if is_set { flag } else { 0 };
    }
    let texts = [&event.id, &event.source, &event.kind, &event.topic];
    let texts = || texts.into_iter().chain(options.iter().filter_map(|(_, text)| text.as_ref()));
    let length: usize = texts().map(|text| text.len() + 2).sum();
    let mut bytes = Vec::with_capacity(length + 26 + event.data.len());
    bytes.push(flags);
    bytes.extend_from_slice(&event.time_ms.to_le_bytes());
    for text in texts() {
        let length = u16::try_from(text.len());
        let length = length.map_err(|_| EventError::Undecodable("an attribute is too long".to_owned()))?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    for number in [delay_ms, ttl_ms].into_iter().flatten() {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    if has_priority {
        bytes.push(priority);
    }
    bytes.extend_from_slice(&event.data);
    Ok(bytes)
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = u16::from_le_bytes(self.take()?);
        let (text, rest) = self.0.split_at_checked(length.into())?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    /// The text that a flag announces.
    fn text_if(&mut self, is_there: bool) -> Option<Option<String>> {
        if is_there { self.text().map(|text| Some(text.to_owned())) } else { Some(None) }
    }
}

/// The event of these bytes.
pub(super) fn decode(version: u8, bytes: Bytes) -> Result<Event, EventError> {
    match version {
        VERSION => decode_binary(&bytes).ok_or_else(|| EventError::Undecodable("it is cut short".to_owned())),
        JSON_ATTRIBUTES => decode_json(&bytes),
        _ => {
            let message = format!("it is of form {version}; use the version of the host that wrote it");
            Err(EventError::Undecodable(message))
        }
    }
}

fn decode_binary(bytes: &Bytes) -> Option<Event> {
    let mut rest = Rest(bytes);
    let [flags] = rest.take()?;
    let is = |flag: u8| flags & flag != 0;
    let mut event = Event {
        time_ms: rest.number()?,
        id: rest.text()?.to_owned(),
        source: rest.text()?.to_owned(),
        kind: rest.text()?.to_owned(),
        topic: rest.text()?.to_owned(),
        subject: rest.text_if(is(SUBJECT))?,
        ordering_key: rest.text_if(is(ORDERING_KEY))?,
        correlation_id: rest.text_if(is(CORRELATION_ID))?,
        traceparent: rest.text_if(is(TRACEPARENT))?,
        dataschema: rest.text_if(is(DATASCHEMA))?,
        handling: Handling::default(),
        data: Bytes::new(),
    };
    event.handling.delay_ms = if is(DELAY) { Some(rest.number()?) } else { None };
    event.handling.ttl_ms = if is(TTL) { Some(rest.number()?) } else { None };
    if is(PRIORITY) {
        [event.handling.priority] = rest.take()?;
    }
    event.data = bytes.slice(bytes.len() - rest.0.len()..);
    Some(event)
}

fn decode_json(bytes: &Bytes) -> Result<Event, EventError> {
    let failed = |text: String| EventError::Undecodable(text);
    let length = bytes.first_chunk::<4>().map(|length| u32::from_le_bytes(*length));
    let end = length.and_then(|length| usize::try_from(length).ok()?.checked_add(4));
    let attributes = end.and_then(|end| bytes.get(4..end));
    let (Some(end), Some(attributes)) = (end, attributes) else { return Err(failed("it is cut short".to_owned())) };
    let mut event: Event = serde_json::from_slice(attributes).map_err(|error| failed(error.to_string()))?;
    event.data = bytes.slice(end..);
    Ok(event)
}

/// What the log has to know of every record when it is opened.
pub(super) struct Head {
    pub(super) identity: u128,
    pub(super) time_ms: u64,
}

/// Makes what events are known by when the same one is published again: two hashes with keys of this process, so that
/// nobody can choose ids that are taken for each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Identities(RandomState, RandomState);

impl Identities {
    pub(super) fn of(&self, source: &str, id: &str) -> u128 {
        let hash = |state: &RandomState| u128::from(state.hash_one((source, id)));
        (hash(&self.0) << 64) | hash(&self.1)
    }

    /// The head of a record, without making an event of it where its form allows.
    pub(super) fn head(&self, version: u8, bytes: Vec<u8>) -> Option<Head> {
        if version != VERSION {
            let event = decode(version, bytes.into()).ok()?;
            return Some(Head { identity: self.of(&event.source, &event.id), time_ms: event.time_ms });
        }
        let mut rest = Rest(&bytes);
        let [_flags] = rest.take()?;
        let (time_ms, id, source) = (rest.number()?, rest.text()?, rest.text()?);
        Some(Head { identity: self.of(source, id), time_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Event {
        Event {
            correlation_id: Some("c".to_owned()),
            traceparent: Some("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01".to_owned()),
            dataschema: Some("/schemas/SeatReserved/2".to_owned()),
            handling: Handling { delay_ms: Some(1_000), ttl_ms: Some(60_000), priority: 9 },
            ..Event::sample()
        }
    }

    #[test]
    fn events_of_the_first_form_stay_readable() {
        let golden = include_bytes!("golden/event-v1.bin");
        assert_eq!(decode(1, Bytes::from_static(golden)).unwrap(), Event::sample());
        for cut in 0..golden.len() - Event::sample().data.len() {
            assert!(decode(1, Bytes::from_static(&golden[..cut])).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn the_bytes_of_an_event_do_not_change() {
        let golden: &[u8] = include_bytes!("golden/event-v2.bin");
        assert_eq!(encode(&full()).unwrap(), golden);
        assert_eq!(decode(2, Bytes::from_static(golden)).unwrap(), full());
        assert_eq!(decode(2, encode(&Event::sample()).unwrap().into()).unwrap(), Event::sample());
        assert!(matches!(decode(3, Bytes::from_static(golden)), Err(EventError::Undecodable(_))));
        for cut in 0..golden.len() - Event::sample().data.len() {
            assert!(decode(2, Bytes::from_static(&golden[..cut])).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn an_event_is_known_by_source_and_id_in_either_form() {
        let identities = Identities::default();
        let head = |version, bytes: &[u8]| identities.head(version, bytes.to_vec()).unwrap();
        let known = identities.of("/courses/seats", "018f");
        for head in [head(1, include_bytes!("golden/event-v1.bin")), head(2, include_bytes!("golden/event-v2.bin"))] {
            assert_eq!((head.identity, head.time_ms), (known, 1_700_000_000_123));
        }
        assert_ne!(identities.of("/a", "b"), identities.of("/ab", ""));
        assert_ne!(identities.of("/a", "1"), identities.of("/b", "1"));
    }
}
