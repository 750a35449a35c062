//! What the message log promises on a disk that crashes, tears, lies and fills.

use std::collections::BTreeSet;
use std::path::PathBuf;

use weft_core::disk::SimulatedDisk;

use super::*;

const DIR: &str = "/messages";

fn event(id: &str, time_ms: u64, bytes: usize) -> Event {
    let data = format!("\"{}\"", "x".repeat(bytes)).into();
    Event { id: id.to_owned(), time_ms, data, ..Event::sample() }
}

fn open(disk: &SimulatedDisk) -> MessageLog {
    let window = Window { ids: 100_000, ms: 60_000 };
    let (retention_ms, failpoints) = (7 * 24 * 3_600 * 1_000, Failpoints::none());
    let keeping = Keeping { segment_bytes: 1 << 20, failpoints, retention_ms, retention_bytes: None, window };
    MessageLog::open(Arc::new(disk.clone()), Path::new(DIR), keeping).unwrap()
}

async fn append(log: &MessageLog, event: &Event) -> u64 {
    log.append(&[log.encode(event).unwrap()], true).await.unwrap()
}

async fn publish(log: &MessageLog, event: &Event) {
    log.flush(append(log, event).await).await.unwrap();
}

fn ids(log: &MessageLog) -> Vec<String> {
    let (mut ids, mut next) = (Vec::new(), log.start());
    while next < log.end() {
        let page = log.read_from(next).unwrap();
        ids.extend(page.events.into_iter().map(|(_, event)| event.id));
        next = page.next;
    }
    ids
}

#[tokio::test]
async fn an_id_is_taken_once_also_after_a_crash() {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    let racing = event("0", 1, 10);
    futures::future::join_all((0..10).map(|_| publish(&log, &racing))).await;
    publish(&log, &event("1", 1, 10)).await;
    let _unflushed = append(&log, &event("lost", 1, 10)).await;
    disk.crash(0);
    drop(log);
    let log = open(&disk);
    for id in ["0", "1", "2"] {
        publish(&log, &event(id, 1, 10)).await;
    }
    assert_eq!(ids(&log), ["0", "1", "2"], "what was answered is there, once, and nothing else");
}

#[tokio::test]
async fn old_segments_go_when_nobody_needs_them() {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    let day = 24 * 3_600 * 1_000;
    for n in 0..200_u64 {
        publish(&log, &event(&n.to_string(), n * day / 20, 50_000)).await;
    }
    let (now_ms, end) = (10 * day, log.end());
    assert!(log.has_old(now_ms));
    assert_eq!(log.retain(now_ms, log.start()).unwrap(), 0, "a subscription stands at the start");
    assert!(log.retain(now_ms, end).unwrap() > 0);
    assert!(!log.has_old(now_ms));
    let first: u64 = ids(&log).first().unwrap().parse().unwrap();
    assert!(first * day / 20 <= 3 * day, "nothing younger than seven days is gone");
    assert!(first > 0);
    drop(log);
    assert_eq!(ids(&open(&disk)).first(), Some(&first.to_string()));
}

fn first_segment() -> PathBuf {
    Path::new(DIR).join("0000000000000000.log")
}

#[tokio::test]
async fn what_was_answered_is_there_wherever_the_end_is_torn() {
    let script = async |disk: &SimulatedDisk| {
        let log = open(disk);
        for id in ["a", "b"] {
            publish(&log, &event(id, 1, 20)).await;
        }
        let hold = disk.hold_syncs();
        let mut through = 0;
        for id in ["c", "d"] {
            through = append(&log, &event(id, 1, 20)).await;
        }
        (log, hold, through)
    };
    let whole = ["a", "b", "c", "d", "e"];
    let mut lengths = BTreeSet::new();
    let mut kept = 0;
    loop {
        let disk = SimulatedDisk::new();
        let (log, hold, through) = script(&disk).await;
        let flushing = log.flush(through);
        let torn = async {
            // The write has reached the disk once its flush is held.
            while hold.waiting() == 0 {
                tokio::task::yield_now().await;
            }
            let unflushed = disk.unflushed_bytes(&first_segment());
            disk.crash(kept);
            drop(hold);
            unflushed
        };
        let (flushed, unflushed) = futures::join!(flushing, torn);
        assert!(flushed.is_err(), "nothing was flushed");
        drop(log);
        let log = open(&disk);
        let found = ids(&log);
        assert!(
            found.len() >= 2 && whole.starts_with(&found.iter().map(String::as_str).collect::<Vec<_>>()),
            "{found:?}"
        );
        lengths.insert(found.len());
        // Publishing again what was not answered, and one more, ends with each of them once.
        for id in whole {
            publish(&log, &event(id, 1, 20)).await;
        }
        assert_eq!(ids(&log), whole, "kept {kept}");
        if kept > unflushed {
            break;
        }
        kept += 1;
    }
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [2, 3, 4], "every tear was tried");
}

#[tokio::test]
async fn a_damaged_event_is_passed_over_and_the_others_stay() {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    let mut ends = Vec::new();
    for id in ["a", "b", "c"] {
        ends.push(append(&log, &event(id, 1, 50)).await);
    }
    log.flush(ends[2]).await.unwrap();
    drop(log);
    // The last byte of the second: of its data.
    disk.corrupt(&first_segment(), ends[1] - 1, |byte| byte ^ 1).unwrap();
    let log = open(&disk);
    assert_eq!(ids(&log), ["a", "c"]);
    publish(&log, &event("d", 1, 50)).await;
    assert_eq!(ids(&log), ["a", "c", "d"]);
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing() {
    let disk = SimulatedDisk::new();
    disk.set_free_bytes(Some(3 << 20));
    let log = open(&disk);
    let mut answered = Vec::new();
    let refused = loop {
        let next = event(&answered.len().to_string(), 1, 10_000);
        let end = match log.append(&[log.encode(&next).unwrap()], true).await {
            Ok(end) => end,
            Err(refused) => break refused.to_string(),
        };
        match log.flush(end).await {
            Ok(()) => answered.push(next.id),
            Err(refused) => break refused.to_string(),
        }
    };
    assert!(refused.contains("no storage space"), "{refused}");
    assert!(answered.len() > 100, "{}", answered.len());
    drop(log);
    disk.set_free_bytes(None);
    let log = open(&disk);
    assert_eq!(ids(&log), answered);
    publish(&log, &event("more", 1, 10)).await;
    assert_eq!(ids(&log).last().map(String::as_str), Some("more"));
}

#[tokio::test]
async fn a_failed_flush_answers_nobody_and_stops_the_log() {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    publish(&log, &event("kept", 1, 10)).await;
    disk.fail_syncs(1);
    let end = append(&log, &event("lost", 1, 10)).await;
    let failed = log.flush(end).await.unwrap_err();
    assert_eq!(failed.fault, Fault::Host);
    let encoded = event("later", 1, 10);
    log.append(&[log.encode(&encoded).unwrap()], true).await.unwrap_err();
    drop(log);
    disk.crash(0);
    assert_eq!(ids(&open(&disk)), ["kept"]);
}
