//! What every keeper of shared counts does, whichever it is. Its time is its own, so that windows are long where nothing may come back,
//! and waited for by looking where something must.

use std::time::Duration;

use futures::future::join_all;

use weft_core::shared_limits::{SharedAsk, SharedLimits, Window};

const HOUR_MS: u64 = 3_600_000;

fn ask(key: &str, window: Window) -> SharedAsk {
    SharedAsk { key: key.to_owned(), window }
}

fn windows(limit: u32) -> [(&'static str, Window); 3] {
    [
        ("fixed", Window::Fixed { limit, window_ms: HOUR_MS }),
        ("sliding", Window::Sliding { limit, window_ms: HOUR_MS }),
        ("bucket", Window::Bucket { capacity: limit, refill: 1, interval_ms: HOUR_MS }),
    ]
}

/// Runs the suite over two hosts that share their counts.
pub(super) async fn run(hosts: [&dyn SharedLimits; 2]) {
    so_many_are_admitted_and_no_more(hosts).await;
    all_or_nothing(hosts).await;
    what_is_given_back_is_admitted_again(hosts).await;
    what_flows_back_is_admitted(hosts).await;
}

async fn so_many_are_admitted_and_no_more(hosts: [&dyn SharedLimits; 2]) {
    for (name, window) in windows(50) {
        let key = format!("many-{name}");
        let asked = (0..100).map(|number| hosts[number % 2].admit(vec![ask(&key, window)]));
        let answers: Vec<_> = join_all(asked).await.into_iter().map(Result::unwrap).collect();
        let admitted: Vec<_> = answers.iter().filter(|answer| answer.is_admitted).collect();
        assert_eq!(admitted.len(), 50, "{name}");
        let mut left: Vec<u32> = admitted.iter().map(|answer| answer.standings[0].remaining).collect();
        left.sort_unstable();
        assert_eq!(left, (0..50).collect::<Vec<_>>(), "{name}");
        let refused = answers.iter().filter(|answer| !answer.is_admitted).map(|answer| answer.standings[0]);
        for standing in refused {
            assert_eq!(standing.remaining, 0, "{name}");
            let most = Duration::from_millis(HOUR_MS + HOUR_MS / 60 + 1);
            assert!(standing.reset > Duration::ZERO && standing.reset <= most, "{name}: {standing:?}");
        }
        assert!(
            hosts[0].admit(vec![ask(&format!("another-{name}"), window)]).await.unwrap().is_admitted,
            "{name}: keys are counted apart"
        );
    }
}

async fn all_or_nothing(hosts: [&dyn SharedLimits; 2]) {
    for (name, window) in windows(1) {
        let (full, free) = (ask(&format!("full-{name}"), window), ask(&format!("free-{name}"), window));
        assert!(hosts[0].admit(vec![full.clone()]).await.unwrap().is_admitted, "{name}");
        let refused = hosts[1].admit(vec![free.clone(), full]).await.unwrap();
        assert!(!refused.is_admitted, "{name}");
        let left: Vec<u32> = refused.standings.iter().map(|standing| standing.remaining).collect();
        assert_eq!(left, [1, 0], "{name}");
        assert!(hosts[0].admit(vec![free]).await.unwrap().is_admitted, "{name}: it was not counted");
    }
}

async fn what_is_given_back_is_admitted_again(hosts: [&dyn SharedLimits; 2]) {
    for (name, window) in windows(2) {
        let one = ask(&format!("back-{name}"), window);
        let mut marks = Vec::new();
        for _ in 0..2 {
            marks.push(hosts[0].admit(vec![one.clone()]).await.unwrap().standings[0].mark);
        }
        assert!(!hosts[0].admit(vec![one.clone()]).await.unwrap().is_admitted, "{name}");
        hosts[1].give_back(vec![(one.clone(), marks[0])]).await.unwrap();
        assert!(hosts[0].admit(vec![one.clone()]).await.unwrap().is_admitted, "{name}");
        assert!(!hosts[1].admit(vec![one]).await.unwrap().is_admitted, "{name}");
    }
    let unknown = windows(1).map(|(name, window)| (ask(&format!("never-{name}"), window), 7)).to_vec();
    hosts[0].give_back(unknown).await.unwrap();
    for (name, window) in windows(1) {
        let one = ask(&format!("never-{name}"), window);
        assert!(hosts[0].admit(vec![one.clone()]).await.unwrap().is_admitted, "{name}");
        assert!(!hosts[0].admit(vec![one]).await.unwrap().is_admitted, "{name}: nothing was given back");
    }
}

async fn what_flows_back_is_admitted(hosts: [&dyn SharedLimits; 2]) {
    for (name, window) in [
        ("fixed", Window::Fixed { limit: 1, window_ms: 40 }),
        ("sliding", Window::Sliding { limit: 1, window_ms: 40 }),
        ("bucket", Window::Bucket { capacity: 1, refill: 25, interval_ms: 1_000 }),
    ] {
        let one = ask(&format!("flow-{name}"), window);
        assert!(hosts[0].admit(vec![one.clone()]).await.unwrap().is_admitted, "{name}");
        let mut looks = 0;
        while !hosts[1].admit(vec![one.clone()]).await.unwrap().is_admitted {
            looks += 1;
            assert!(looks < 100_000, "{name}: nothing flows back");
        }
    }
}
