//! The bytes of every record, held by golden files for ever.

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
