//! Reading: pages both ways, filters, snapshots, and being told of what comes.

use std::time::Duration;

use super::{Backend, ExpectedVersion, append, append_one, event, numbers};
use crate::events::{Append, Direction, Filter, NewEvent, Page, RecordedEvent, limits};

pub(super) async fn run(backend: &dyn Backend) {
    streams_are_read_in_pages_both_ways(backend).await;
    all_is_read_in_pages_both_ways(backend).await;
    filters_narrow(backend).await;
    pages_are_bounded_in_bytes(backend).await;
    the_newest_snapshot_is_kept(backend).await;
    who_waits_is_told(backend).await;
}

async fn streams_are_read_in_pages_both_ways(backend: &dyn Backend) {
    append_one(backend, append("pages-1", ExpectedVersion::Any, 0..10)).await.unwrap();
    let read = |version, direction, limit| {
        let store = backend.store();
        async move {
            let page = store.read_stream("pages-1".to_owned(), version, direction, limit).await.unwrap();
            (numbers(&page.events), page.next)
        }
    };
    use Direction::{Backward, Forward};
    assert_eq!(read(0, Forward, 4).await, (vec![0, 1, 2, 3], Some(5)));
    assert_eq!(read(5, Forward, 4).await, (vec![4, 5, 6, 7], Some(9)));
    assert_eq!(read(9, Forward, 4).await, (vec![8, 9], None));
    assert_eq!(read(9, Forward, 2).await, (vec![8, 9], None), "the end is known without asking again");
    assert_eq!(read(11, Forward, 4).await, (vec![], None));
    assert_eq!(read(u64::MAX, Backward, 3).await, (vec![9, 8, 7], Some(7)));
    assert_eq!(read(2, Backward, 3).await, (vec![1, 0], None));
    assert_eq!(read(0, Backward, 3).await, (vec![], None));
    assert_eq!(read(1, Forward, u32::MAX).await.0.len(), 10, "the limit is cut");
    let none = backend.store().read_stream("pages-0".to_owned(), 0, Forward, 1).await.unwrap();
    assert_eq!(none, Page::default());
}

/// All that a filter leaves, page after page.
pub(super) async fn all(
    backend: &dyn Backend,
    mut position: u64,
    direction: Direction,
    filter: &Filter,
    limit: u32,
) -> Vec<RecordedEvent> {
    let mut found = Vec::new();
    loop {
        let page = backend.store().read_all(position, direction, filter.clone(), limit).await.unwrap();
        assert!(page.events.len() <= usize::try_from(limit).unwrap());
        found.extend(page.events);
        match page.next {
            Some(next) => position = next,
            None => return found,
        }
    }
}

async fn all_is_read_in_pages_both_ways(backend: &dyn Backend) {
    let head = backend.store().head().await.unwrap();
    append_one(backend, append("both-1", ExpectedVersion::Any, 0..5)).await.unwrap();
    append_one(backend, append("both-2", ExpectedVersion::Any, 5..9)).await.unwrap();
    let filter = Filter::default();
    let forward = all(backend, head + 1, Direction::Forward, &filter, 2).await;
    assert_eq!(numbers(&forward), (0..9).collect::<Vec<_>>());
    assert!(forward.iter().zip(head + 1..).all(|(event, position)| event.position == position));
    let whole = all(backend, 0, Direction::Forward, &filter, 50).await;
    let mut backward = all(backend, u64::MAX, Direction::Backward, &filter, 50).await;
    backward.reverse();
    assert_eq!(whole, backward);
    assert_eq!(whole[whole.len() - 9..], forward);
    assert_eq!(all(backend, head + 10, Direction::Forward, &filter, 2).await, []);
    assert_eq!(all(backend, 0, Direction::Backward, &filter, 2).await, []);
}

async fn filters_narrow(backend: &dyn Backend) {
    let typed = |stream: &str, kinds: &[&str], first: u64| Append {
        stream: stream.to_owned(),
        expected: ExpectedVersion::Any,
        events: kinds.iter().zip(first..).map(|(kind, number)| event(kind, number)).collect(),
    };
    backend.advance(Duration::from_secs(60));
    append_one(backend, typed("narrow-1", &["narrow_a", "narrow_b"], 0)).await.unwrap();
    append_one(backend, typed("narrower-1", &["narrow_a"], 2)).await.unwrap();
    backend.advance(Duration::from_secs(60));
    append_one(backend, typed("narrow-2-x", &["narrow_c", "narrow_a"], 3)).await.unwrap();
    let first = backend.store().read_stream("narrow-1".to_owned(), 1, Direction::Forward, 1).await.unwrap();
    let since_ms = first.events[0].time_ms;
    let by = |category: Option<&str>, kinds: &[&str], since_ms, until_ms| Filter {
        category: category.map(str::to_owned),
        kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
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
        let forward = all(backend, 0, Direction::Forward, &filter, 2).await;
        assert_eq!(numbers(&forward), expected, "{filter:?}");
        let mut backward = all(backend, u64::MAX, Direction::Backward, &filter, 2).await;
        backward.reverse();
        assert_eq!(backward, forward, "{filter:?}");
    }
    let many = by(None, &["x"; limits::FILTER_TYPES + 1], None, None);
    assert!(backend.store().read_all(1, Direction::Forward, many, 1).await.is_err());
}

async fn pages_are_bounded_in_bytes(backend: &dyn Backend) {
    let data = format!("\"{}\"", "x".repeat(limits::DATA_BYTES - 2)).into_bytes();
    let large = |count: usize| Append {
        stream: "bytes-1".to_owned(),
        expected: ExpectedVersion::Any,
        events: vec![NewEvent { data: data.clone(), ..event("made", 0) }; count],
    };
    let fit = limits::READ_BYTES / limits::DATA_BYTES;
    append_one(backend, large(fit)).await.unwrap();
    append_one(backend, large(3)).await.unwrap();
    let first = backend.store().read_stream("bytes-1".to_owned(), 1, Direction::Forward, 100).await.unwrap();
    assert_eq!((first.events.len(), first.next), (fit, u64::try_from(fit + 1).ok()));
    let position = first.events[0].position;
    let page = backend.store().read_all(position, Direction::Forward, Filter::default(), 100).await.unwrap();
    assert_eq!((page.events, page.next.is_some()), (first.events, true));
}

async fn the_newest_snapshot_is_kept(backend: &dyn Backend) {
    let store = backend.store();
    let stream = || "shot-1".to_owned();
    assert_eq!(store.latest_snapshot(stream()).await, Ok(None));
    for (version, form, kept) in [(5, 1, (5, 1)), (3, 1, (5, 1)), (7, 1, (7, 1)), (7, 2, (7, 2))] {
        store.save_snapshot(stream(), version, form, version.to_string().into_bytes()).await.unwrap();
        let snapshot = store.latest_snapshot(stream()).await.unwrap().unwrap();
        assert_eq!((snapshot.version, snapshot.form), kept);
        assert_eq!((snapshot.stream, snapshot.data), (stream(), kept.0.to_string().into_bytes()));
    }
    assert!(store.save_snapshot("nostream".to_owned(), 1, 1, Vec::new()).await.is_err());
    assert!(store.save_snapshot(stream(), 8, 1, vec![0; limits::SNAPSHOT_BYTES + 1]).await.is_err());
}

async fn who_waits_is_told(backend: &dyn Backend) {
    let store = backend.store();
    let head = store.head().await.unwrap();
    store.appended_after(head - 1).await;
    let mut next = store.appended_after(head);
    assert!(futures::future::poll_immediate(&mut next).await.is_none(), "nothing is behind the head");
    append_one(backend, append("told-1", ExpectedVersion::Any, 0..2)).await.unwrap();
    next.await;
    assert_eq!(store.head().await, Ok(head + 2));
    store.appended_after(head + 1).await;
}
