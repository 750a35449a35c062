//! The bytes of every record, held by golden files for ever.

use super::*;

/// In the order in which they came to be; new ones at the end.
fn examples() -> Vec<Entry> {
    let mut examples = first_examples();
    examples.extend(examples_from_outside());
    examples.extend(examples_of_waits());
    examples
}

fn examples_from_outside() -> Vec<Entry> {
    let text = str::to_owned;
    let at_ms = 1_790_000_000_020;
    let ordered = |order| {
        let (actor, reason) = (text("ann"), text("the bank says so"));
        Entry::Ordered(Ordered { saga: 24, order, at_ms, actor, reason })
    };
    let (name, digest) = (text("pay"), text("cd34"));
    let orders = [
        Order::Pause,
        Order::Resume,
        Order::Cancel,
        Order::Rewind { name: name.clone(), occurrence: 2 },
        Order::Retry,
        Order::Skip { name, occurrence: 1 },
        Order::Abandon,
        Order::Migrate { digest },
    ];
    let payload = b"true".to_vec();
    let signalled = Signalled { saga: 24, name: text("approved"), id: text("m-1"), at_ms, payload };
    let mut examples = vec![Entry::Signalled(signalled.clone())];
    examples.push(Entry::Signalled(Signalled { id: String::new(), payload: Vec::new(), ..signalled }));
    examples.extend(orders.map(ordered));
    examples
}

fn examples_of_waits() -> Vec<Entry> {
    let text = str::to_owned;
    let (saga, at_ms) = (24, 1_790_000_000_030);
    let awaited = Awaited {
        saga,
        kind: EventKind::Signal,
        name: text("approved"),
        occurrence: 1,
        until_ms: Some(at_ms + 60_000),
        child: None,
    };
    let told = |kind, outcome, what| {
        Entry::Told(Told { saga, kind, name: text("approved"), occurrence: 1, at_ms, outcome, what })
    };
    let child = Awaited { kind: EventKind::Child, until_ms: None, child: Some(text("0199/pay")), ..awaited.clone() };
    vec![
        Entry::Awaited(awaited),
        Entry::Awaited(child),
        told(EventKind::Signal, Outcome::Success, Tidings::Signal(300)),
        told(EventKind::Signal, Outcome::Error, Tidings::TimedOut),
        told(EventKind::Child, Outcome::Success, Tidings::Child(b"1".to_vec())),
        told(EventKind::Do, Outcome::Unknown, Tidings::Cancelled(text("no longer wanted"))),
        told(EventKind::Timer, Outcome::Error, Tidings::Cancelled(text("no longer wanted"))),
        Entry::Noted(saga, Note::Exposed { name: text("progress"), value: b"3".to_vec() }),
        Entry::Noted(saga, Note::Attributes(vec![(text("tenant"), text("t1")), (text("course"), text("7"))])),
        Entry::Noted(saga, Note::Deadline { at_ms }),
        Entry::Suspended(Suspended { saga, wakes_at_ms: Some(at_ms) }),
        Entry::Suspended(Suspended { saga, wakes_at_ms: None }),
        Entry::Continued(Continued { saga, at_ms, input: b"{}".to_vec() }),
        Entry::Ticked(Ticked { schedule: text("nightly"), at_ms, begun: true }),
        Entry::Ticked(Ticked { schedule: text("nightly"), at_ms, begun: false }),
    ]
}

fn first_examples() -> Vec<Entry> {
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
