//! The append log against a simulated disk: order, group commit, torn ends, damage, full disks.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::executor::block_on;
use futures::future::join_all;
use proptest::prelude::*;
use weft_core::disk::{RealDisk, SimulatedDisk};

use super::*;

const DIR: &str = "/log";

fn options() -> LogOptions {
    LogOptions { segment_bytes: 4096, ..LogOptions::new("journal") }
}

fn try_open(disk: &SimulatedDisk) -> Result<(Log, Opened, Vec<Record>), LogError> {
    let mut records = Vec::new();
    let mut visit = |record| records.push(record);
    let (log, opened) = Log::open(Arc::new(disk.clone()), Path::new(DIR), options(), &mut visit)?;
    Ok((log, opened, records))
}

fn open(disk: &SimulatedDisk) -> (Log, Opened, Vec<Record>) {
    try_open(disk).unwrap()
}

fn payloads(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(|record| record.payload.clone()).collect()
}

fn first_segment() -> PathBuf {
    Path::new(DIR).join(segment_name(0))
}

fn durable(log: &Log, payload: &[u8]) -> Appended {
    block_on(log.append_durable(1, 1, payload)).unwrap()
}

#[test]
fn what_is_acknowledged_survives_and_is_readable_before_and_after() {
    let disk = SimulatedDisk::new();
    let (log, opened, _) = open(&disk);
    assert_eq!(opened, Opened::default());
    let first = durable(&log, b"first");
    let buffered = log.append(2, 7, b"rides along").unwrap();
    assert_eq!(log.read(first.position).unwrap().payload, b"first");
    let record = log.read(buffered.position).unwrap();
    assert_eq!((record.kind, record.version, &*record.payload), (2, 7, &b"rides along"[..]));
    assert_eq!(log.read_from(0, usize::MAX).unwrap().records.len(), 1, "only flushed records are handed on");
    log.close().unwrap();
    assert!(matches!(log.append(1, 1, b"late"), Err(LogError::Stopped(_))));
    drop(log);
    disk.crash(0);
    let (log, opened, records) = open(&disk);
    assert_eq!((opened.records, opened.torn), (2, None));
    assert_eq!(payloads(&records), [b"first".to_vec(), b"rides along".to_vec()]);
    let read = log.read_from(log.start(), usize::MAX).unwrap();
    assert_eq!(read.records, records);
    assert_eq!(log.read_from(read.next, usize::MAX).unwrap().records, []);
    assert_eq!(log.read(first.position + 1), Err(LogError::NoRecord(first.position + 1)));
}

#[test]
fn a_record_that_nobody_waits_for_causes_no_flush() {
    let disk = SimulatedDisk::new();
    let (log, ..) = open(&disk);
    let before = disk.counts();
    for _ in 0..100 {
        log.append(1, 1, b"x").unwrap();
    }
    assert_eq!(disk.counts(), before);
    durable(&log, b"y");
    assert_eq!(disk.counts().syncs, before.syncs + 1);
    assert_eq!(disk.counts().writes, before.writes + 1);
    assert_eq!(log.stats().records, 101);
}

#[test]
fn many_writers_share_few_flushes_and_each_acknowledgement_follows_one() {
    let disk = SimulatedDisk::new();
    let (log, ..) = open(&disk);
    let before = disk.counts();
    let hold = disk.hold_syncs();
    let acknowledged = AtomicU64::new(0);
    let appends = (0..64u8).map(|n| {
        let waits = log.append(1, 1, &[n]).map(|appended| log.flush(appended.end)).unwrap();
        let (disk, acknowledged) = (&disk, &acknowledged);
        async move {
            waits.await.unwrap();
            assert!(disk.counts().syncs > before.syncs, "acknowledged before a flush completed");
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    });
    let waiting: Vec<_> = appends.collect();
    assert_eq!(acknowledged.load(Ordering::Relaxed), 0);
    drop(hold);
    block_on(join_all(waiting));
    assert_eq!(acknowledged.load(Ordering::Relaxed), 64);
    // The first batch may have been taken before the others were queued.
    assert!(disk.counts().syncs - before.syncs <= 2, "{:?}", disk.counts());
    disk.crash(0);
    drop(log);
    assert_eq!(open(&disk).2.len(), 64);
}

#[test]
fn an_unflushed_tail_may_be_torn_at_every_byte() {
    let script = |disk: &SimulatedDisk| {
        let (log, ..) = open(disk);
        durable(&log, b"kept");
        let hold = disk.hold_syncs();
        for payload in [&b"one"[..], b"two", &[3; 200]] {
            log.append(1, 1, payload).unwrap();
        }
        let waits = log.flush(log.end());
        // The write has reached the disk once the flush is held.
        while hold.waiting() == 0 {
            std::thread::yield_now();
        }
        (log, hold, waits)
    };
    let disk = SimulatedDisk::new();
    let (log, hold, _waits) = script(&disk);
    let unflushed = disk.unflushed_bytes(&first_segment());
    drop((hold, log));
    let ends = [19, 38, unflushed];
    for kept in 0..=unflushed {
        let disk = SimulatedDisk::new();
        let (log, hold, waits) = script(&disk);
        disk.crash(kept);
        drop(hold);
        assert!(matches!(block_on(waits), Err(LogError::Stopped(_))));
        drop(log);
        let (log, opened, records) = open(&disk);
        let whole = ends.iter().filter(|end| kept >= **end).count();
        assert_eq!(records.len(), 1 + whole, "kept {kept}");
        assert_eq!(opened.quarantined, []);
        let clean = kept == 0 || ends.contains(&kept);
        assert_eq!(opened.torn.is_none(), clean, "kept {kept}: {opened:?}");
        durable(&log, b"goes on");
        drop(log);
        let (_, opened, records) = open(&disk);
        assert_eq!((records.len(), opened.torn), (2 + whole, None), "nothing of the torn end is left");
    }
}

#[test]
fn a_damaged_record_between_whole_ones_is_skipped_and_named() {
    let disk = SimulatedDisk::new();
    let (log, ..) = open(&disk);
    let appended: Vec<_> = [b"a", b"b", b"c"].map(|payload| durable(&log, payload)).to_vec();
    drop(log);
    let offset = appended[1].position;
    disk.corrupt(&first_segment(), offset + 16, |byte| byte ^ 1).unwrap();
    let (log, opened, records) = open(&disk);
    assert_eq!(payloads(&records), [b"a", b"c"]);
    assert_eq!(opened.quarantined, [Quarantined { position: offset, segment: 0, offset, bytes: 17 }]);
    assert_eq!(log.read_from(0, usize::MAX).unwrap().records.len(), 2);
    assert_eq!(log.read(offset), Err(LogError::NoRecord(offset)));
}

#[test]
fn damage_that_cannot_be_skipped_refuses_to_open_and_names_the_place() {
    let disk = SimulatedDisk::new();
    let (log, ..) = open(&disk);
    let appended: Vec<_> = [b"a", b"b", b"c"].map(|payload| durable(&log, payload)).to_vec();
    drop(log);
    let offset = appended[1].position;
    // The length itself is damaged: where the next record begins is not known.
    disk.corrupt(&first_segment(), offset, |_| 99).unwrap();
    assert_eq!(try_open(&disk).unwrap_err(), LogError::Corrupt { segment: first_segment(), offset });
    disk.corrupt(&first_segment(), 3, |_| 0).unwrap();
    assert_eq!(try_open(&disk).unwrap_err(), LogError::Corrupt { segment: first_segment(), offset: 0 });
}

#[test]
fn segments_follow_each_other_and_old_ones_go() {
    let disk = SimulatedDisk::new();
    let (log, ..) = open(&disk);
    let big = vec![9; 10_000];
    let mut all = Vec::new();
    for n in 0..100u32 {
        let payload = if n == 50 { big.clone() } else { vec![n as u8; 200] };
        all.push((log.append(1, 1, &payload).unwrap().position, payload));
    }
    block_on(log.flush(log.end())).unwrap();
    for (position, payload) in &all {
        assert_eq!(&log.read(*position).unwrap().payload, payload);
    }
    drop(log);
    disk.crash(0);
    let (log, _, records) = open(&disk);
    assert_eq!(records.iter().map(|r| (r.position, r.payload.clone())).collect::<Vec<_>>(), all);
    let mut read = log.read_from(0, 1000).unwrap();
    let mut seen = Vec::new();
    while !read.records.is_empty() {
        assert!(read.records.len() <= 6, "the limit on bytes holds");
        seen.append(&mut read.records);
        read = log.read_from(read.next, 1000).unwrap();
    }
    assert_eq!(seen, records);
    assert!(log.remove_before(all[60].0).unwrap() > 2);
    assert!(log.read(all[0].0).is_err());
    assert!(log.start() <= all[60].0);
    assert_eq!(log.read(all[60].0).unwrap().payload, all[60].1);
    drop(log);
    let (_, _, kept) = open(&disk);
    assert_eq!(kept.last(), records.last());
    assert!(kept.len() < 60, "{}", kept.len());
}

#[test]
fn a_failed_flush_fails_who_waits_and_stops_the_log() {
    let disk = SimulatedDisk::new();
    let (log, ..) = open(&disk);
    durable(&log, b"kept");
    disk.fail_syncs(1);
    let error = block_on(log.append_durable(1, 1, b"lost")).unwrap_err();
    assert!(error.to_string().contains("cannot flush /log/0000000000000000.log"), "{error}");
    assert_eq!(log.append(1, 1, b"more").unwrap_err(), error);
    assert_eq!(block_on(log.flush(log.end())).unwrap_err(), error);
    assert_eq!(log.stopped(), Some(error));
    drop(log);
    disk.crash(0);
    assert_eq!(payloads(&open(&disk).2), [b"kept"]);
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let disk = SimulatedDisk::new();
    disk.set_free_bytes(Some(6000));
    let (log, ..) = open(&disk);
    let mut kept = 0;
    let error = loop {
        match block_on(log.append_durable(1, 1, &[7; 500])) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("no storage space"), "{error}");
    drop(log);
    disk.set_free_bytes(None);
    let (log, opened, records) = open(&disk);
    assert_eq!((records.len(), opened.torn), (kept, None));
    durable(&log, b"goes on");
}

#[test]
fn limits_and_locks() {
    let disk = SimulatedDisk::new();
    let (log, ..) = open(&disk);
    assert!(matches!(log.append(1, 1, &vec![0; MAX_PAYLOAD + 1]), Err(LogError::TooLarge { .. })));
    assert_eq!(try_open(&disk).unwrap_err(), LogError::Locked { dir: DIR.into() });
    drop(log);
    let small = LogOptions { max_queued_bytes: 100, ..options() };
    let (log, _) = Log::open(Arc::new(disk), Path::new(DIR), small, &mut |_| {}).unwrap();
    log.append(1, 1, &[0; 50]).unwrap();
    assert_eq!(log.append(1, 1, &[0; 50]), Err(LogError::Full { limit: 100 }));
}

#[test]
fn failpoints_see_each_record_and_each_flush() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("counts");
    let failpoints = Failpoints::parse(&format!("count:{}", file.display())).unwrap();
    let options = LogOptions { failpoints, ..options() };
    let (log, _) = Log::open(Arc::new(RealDisk), &dir.path().join("log"), options, &mut |_| {}).unwrap();
    log.append(1, 1, b"a").unwrap();
    durable(&log, b"b");
    durable(&log, b"c");
    log.close().unwrap();
    let counts = std::fs::read_to_string(file).unwrap();
    assert_eq!(counts, "journal.after-flush 4\njournal.before-flush 4\njournal.record-written 3\n");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the medium did with unflushed writes: what was acknowledged is there, and what is there is a prefix.
    #[test]
    fn crashes_leave_a_prefix_with_all_that_was_acknowledged(
        steps in prop::collection::vec((any::<bool>(), 0usize..600), 1..40),
        crash in prop_oneof![any::<u64>().prop_map(Some), Just(None)],
        kept in 0usize..2000,
    ) {
        let disk = SimulatedDisk::new();
        let (log, ..) = open(&disk);
        let mut acknowledged = 0;
        let mut written = Vec::new();
        for (index, (flush, size)) in steps.iter().enumerate() {
            let payload = vec![index as u8; *size];
            let appended = log.append(1, 1, &payload).unwrap();
            written.push(payload);
            if *flush {
                block_on(log.flush(appended.end)).unwrap();
                acknowledged = written.len();
            }
        }
        // The machine fails while the rest is written and not yet flushed.
        let hold = disk.hold_syncs();
        let waits = log.flush(log.end());
        while acknowledged < written.len() && hold.waiting() == 0 {
            std::thread::yield_now();
        }
        match crash {
            Some(seed) => disk.crash_scattered(seed),
            None => disk.crash(kept),
        }
        drop((hold, waits, log));
        let (_, opened, records) = open(&disk);
        prop_assert!(records.len() >= acknowledged);
        prop_assert_eq!(payloads(&records), &written[..records.len()]);
        prop_assert_eq!(opened.quarantined, vec![]);
    }
}
