//! Limits that hosts count together. A host asks itself first, which refuses what is too much for it alone and bounds what is asked of others;
//! then all counts of the request at once, of whoever keeps them. If they do not answer, each host counts for itself. What runs at a time
//! is counted by each host in any case.

use std::sync::Arc;

use weft_core::manifest::RateStrategy;
use weft_core::shared_limits::{SharedAnswer, SharedAsk, SharedLimits, Window};

use super::admission::{Admission, Ask, Refusal, Shown, is_nearer, refuse};

const MS_PER_S: u64 = 1_000;

/// What hosts that count together said to a request.
#[derive(Debug)]
pub(super) struct Shared {
    pub nearest: Option<Shown>,
    /// What is to be given back if the request is refused after all.
    taken: Vec<(SharedAsk, u64)>,
}

/// How hosts count together, if they do.
pub(super) fn window(strategy: RateStrategy) -> Option<Window> {
    let ms = |s: u32| u64::from(s) * MS_PER_S;
    Some(match strategy {
        RateStrategy::FixedWindow { limit, window_s } => Window::Fixed { limit, window_ms: ms(window_s) },
        RateStrategy::SlidingWindow { limit, window_s } => Window::Sliding { limit, window_ms: ms(window_s) },
        RateStrategy::TokenBucket { capacity, refill, interval_s } => {
            Window::Bucket { capacity, refill, interval_ms: ms(interval_s) }
        }
        RateStrategy::Concurrency { .. } => return None,
    })
}

/// What the keys of a limit begin with. Its numbers are in it: hosts with other ones count apart.
pub(super) fn prefix(name: &str, strategy: RateStrategy) -> Box<str> {
    let numbers = match strategy {
        RateStrategy::FixedWindow { limit, window_s } => format!("fixed-{limit}-{window_s}"),
        RateStrategy::SlidingWindow { limit, window_s } => format!("sliding-{limit}-{window_s}"),
        RateStrategy::TokenBucket { capacity, refill, interval_s } => {
            format!("bucket-{capacity}-{refill}-{interval_s}")
        }
        RateStrategy::Concurrency { limit } => format!("concurrency-{limit}"),
    };
    format!("{name}:{numbers}:").into()
}

fn asked(ask: &Ask) -> Option<SharedAsk> {
    let (window, prefix) = ask.limit.shared.as_ref()?;
    Some(SharedAsk { key: format!("{prefix}{}", ask.caller.key), window: *window })
}

impl Admission {
    /// Asks those who count together; without an answer, or with nothing to ask, the request is admitted.
    pub async fn share(&self, limits: &dyn SharedLimits) -> Result<(), Refusal> {
        let asks: Vec<SharedAsk> = self.asks.iter().filter_map(asked).collect();
        if asks.is_empty() {
            return Ok(());
        }
        match limits.admit(asks.clone()).await {
            Ok(answer) => self.shared(asks, answer),
            // Whoever keeps the counts says that it cannot be asked.
            Err(_) => Ok(()),
        }
    }

    fn shared(&self, asks: Vec<SharedAsk>, answer: SharedAnswer) -> Result<(), Refusal> {
        let limits = self.asks.iter().filter(|ask| ask.limit.shared.is_some());
        let (mut nearest, mut refused): (Option<Shown>, _) = (None, None);
        for (ask, standing) in limits.zip(&answer.standings) {
            let shown = Shown { limit: ask.limit.clone(), remaining: standing.remaining, reset: standing.reset };
            if !answer.is_admitted && standing.remaining == 0 {
                let mut shard = ask.limit.table.lock(ask.caller.hash);
                shard.refused = shard.refused.saturating_add(1);
                refuse(&mut refused, shown);
            } else if is_nearer(ask.limit.table.rule, shown.remaining, nearest.as_ref()) {
                nearest = Some(shown);
            }
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        let taken = asks.into_iter().zip(answer.standings.iter().map(|standing| standing.mark)).collect();
        // A request is asked once.
        let _ = self.shared.set(Shared { nearest, taken });
        Ok(())
    }

    /// Gives back what others have counted; to be called beside [`Admission::give_back`].
    pub fn unshare(&self, limits: &Arc<dyn SharedLimits>) {
        let Some(shared) = self.shared.get() else { return };
        let (limits, taken) = (limits.clone(), shared.taken.clone());
        // Nobody waits for it: at worst the caller has one request less.
        tokio::spawn(async move {
            if let Err(failure) = limits.give_back(taken).await {
                tracing::debug!(%failure, "a request that was refused counts in shared limits");
            }
        });
    }
}
