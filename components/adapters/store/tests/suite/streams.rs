//! Reading events: pages both ways, filters, snapshots.

use adapter_store::bindings::weft::events::types::{
    Direction, ExpectedVersion, Filter, NewEvent, RecordedEvent, StreamAppend,
};

use crate::harness::*;

#[test]
fn streams_are_read_in_pages_both_ways() {
    use Direction::{Backward, Forward};
    let (mut store, _) = store();
    append_one(&mut store, append("pages-1", ExpectedVersion::Any, 0..10)).unwrap();
    let mut read = |version, direction, limit| {
        let page = store.read_stream("pages-1", version, direction, limit).unwrap();
        (numbers(&page.events), page.next)
    };
    assert_eq!(read(0, Forward, 4), (vec![0, 1, 2, 3], Some(5)));
    assert_eq!(read(5, Forward, 4), (vec![4, 5, 6, 7], Some(9)));
    assert_eq!(read(9, Forward, 4), (vec![8, 9], None));
    assert_eq!(read(9, Forward, 2), (vec![8, 9], None), "the end is known without asking again");
    assert_eq!(read(11, Forward, 4), (vec![], None));
    assert_eq!(read(u64::MAX, Backward, 3), (vec![9, 8, 7], Some(7)));
    assert_eq!(read(2, Backward, 3), (vec![1, 0], None));
    assert_eq!(read(0, Backward, 3), (vec![], None));
    assert_eq!(read(1, Forward, u32::MAX).0.len(), 10, "the limit is cut");
    let none = store.read_stream("pages-0", 0, Forward, 1).unwrap();
    assert_eq!((none.events, none.next), (vec![], None));
}

/// All that a filter leaves, page after page.
pub fn all(
    store: &mut TestStore,
    mut position: u64,
    direction: Direction,
    filter: &Filter,
    limit: u32,
) -> Vec<RecordedEvent> {
    let mut found = Vec::new();
    loop {
        let page = store.read_all(position, direction, filter, limit).unwrap();
        assert!(page.events.len() <= usize::try_from(limit).unwrap());
        found.extend(page.events);
        match page.next {
            Some(next) => position = next,
            None => return found,
        }
    }
}

pub fn everything() -> Filter {
    Filter { category: None, types: Vec::new(), since_ms: None, until_ms: None }
}

#[test]
fn all_is_read_in_pages_both_ways() {
    let (mut store, _) = store();
    append_one(&mut store, append("both-1", ExpectedVersion::Any, 0..5)).unwrap();
    append_one(&mut store, append("both-2", ExpectedVersion::Any, 5..9)).unwrap();
    let filter = everything();
    let forward = all(&mut store, 1, Direction::Forward, &filter, 2);
    assert_eq!(numbers(&forward), (0..9).collect::<Vec<_>>());
    assert!(forward.iter().zip(1..).all(|(event, position)| event.position == position));
    let whole = all(&mut store, 0, Direction::Forward, &filter, 50);
    let mut backward = all(&mut store, u64::MAX, Direction::Backward, &filter, 50);
    backward.reverse();
    assert_eq!(whole, backward);
    assert_eq!(all(&mut store, 20, Direction::Forward, &filter, 2), []);
    assert_eq!(all(&mut store, 0, Direction::Backward, &filter, 2), []);
}

#[test]
fn filters_narrow() {
    let (mut store, clock) = store();
    let typed = |stream: &str, kinds: &[&str], first: u64| StreamAppend {
        stream: stream.to_owned(),
        expected: ExpectedVersion::Any,
        events: kinds.iter().zip(first..).map(|(kind, number)| event(kind, number)).collect(),
    };
    append_one(&mut store, typed("narrow-1", &["narrow_a", "narrow_b"], 0)).unwrap();
    append_one(&mut store, typed("narrower-1", &["narrow_a"], 2)).unwrap();
    clock.advance(60_000);
    append_one(&mut store, typed("narrow-2-x", &["narrow_c", "narrow_a"], 3)).unwrap();
    let first = store.read_stream("narrow-1", 1, Direction::Forward, 1).unwrap();
    let since_ms = first.events[0].time_ms;
    let by = |category: Option<&str>, kinds: &[&str], since_ms, until_ms| Filter {
        category: category.map(str::to_owned),
        types: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
        since_ms,
        until_ms,
    };
    let minute = 60_000;
    for (filter, expected) in [
        (by(Some("narrow"), &[], None, None), vec![0, 1, 3, 4]),
        (by(Some("narrower"), &[], None, None), vec![2]),
        (by(Some("narro"), &[], None, None), vec![]),
        (by(None, &["narrow_a"], None, None), vec![0, 2, 4]),
        (by(None, &["narrow_b", "narrow_c"], None, None), vec![1, 3]),
        (by(Some("narrow"), &["narrow_a"], None, None), vec![0, 4]),
        (by(None, &[], Some(since_ms), None), vec![0, 1, 2, 3, 4]),
        (by(None, &[], Some(since_ms), Some(since_ms + minute)), vec![0, 1, 2]),
        (by(None, &[], Some(since_ms + minute), None), vec![3, 4]),
        (by(None, &[], Some(since_ms + minute + 1), None), vec![]),
        (by(None, &["narrow_a"], Some(since_ms + 1), Some(u64::MAX)), vec![4]),
    ] {
        let forward = all(&mut store, 0, Direction::Forward, &filter, 2);
        assert_eq!(numbers(&forward), expected, "{filter:?}");
        let mut backward = all(&mut store, u64::MAX, Direction::Backward, &filter, 2);
        backward.reverse();
        assert_eq!(backward, forward, "{filter:?}");
    }
    let many = by(None, &["x"; 101], None, None);
    assert!(store.read_all(1, Direction::Forward, &many, 1).is_err());
}

#[test]
fn pages_are_bounded_in_bytes() {
    let (mut store, _) = store();
    let data = format!("\"{}\"", "x".repeat(256 * 1024 - 2)).into_bytes();
    let large = |count: usize| StreamAppend {
        stream: "bytes-1".to_owned(),
        expected: ExpectedVersion::Any,
        events: vec![NewEvent { data: data.clone(), ..event("made", 0) }; count],
    };
    append_one(&mut store, large(32)).unwrap();
    append_one(&mut store, large(3)).unwrap();
    let first = store.read_stream("bytes-1", 1, Direction::Forward, 100).unwrap();
    assert_eq!((first.events.len(), first.next), (32, Some(33)));
}

#[test]
fn the_newest_snapshot_is_kept() {
    let (mut store, _) = store();
    assert_eq!(store.latest_snapshot("shot-1"), Ok(None));
    for (version, form, kept) in [(5, 1, (5, 1)), (3, 1, (5, 1)), (7, 1, (7, 1)), (7, 2, (7, 2))] {
        store.save_snapshot("shot-1", version, form, version.to_string().into_bytes()).unwrap();
        let snapshot = store.latest_snapshot("shot-1").unwrap().unwrap();
        assert_eq!((snapshot.version, snapshot.form), kept);
        assert_eq!(snapshot.data, kept.0.to_string().into_bytes());
    }
    assert!(store.save_snapshot("nostream", 1, 1, Vec::new()).is_err());
    assert!(store.save_snapshot("shot-1", 8, 1, vec![0; 8 * 1024 * 1024 + 1]).is_err());
}
