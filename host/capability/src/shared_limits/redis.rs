//! Shared counts in a Redis server. One request is one script, so that nothing comes between the questions and the counting;
//! time is the server's, so that hosts need not agree on it. Every count ends by itself when it says nothing more.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use redis::{Script, ScriptInvocation};

use weft_core::shared_limits::{SharedAnswer, SharedAsk, SharedLimits, SharedStanding, Window};
use weft_core::{Clock, Failure, Fault, Reason};

use crate::outbound::Resolve;
use crate::redis::server::Server;

/// How long a request waits for the server.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long nobody asks after it did not answer, in milliseconds: requests are not all to wait for what does not come.
const PAUSE_MS: u64 = 1_000;
/// The largest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// After how long a connection without a word is given up. Whoever waits for an answer has given up long before.
const COMMAND: Duration = Duration::from_secs(30);

/// What both scripts begin with: the counts as they are now. Numbers are below 2^53, and written without an exponent.
const COMMON: &str = r"
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function whole(number) return string.format('%.0f', number) end
local asks = {}
for i, key in ipairs(KEYS) do
    local at = (i - 1) * 5
    local ask = {key = key, kind = ARGV[at + 1], limit = tonumber(ARGV[at + 2]), window = tonumber(ARGV[at + 3]),
        refill = tonumber(ARGV[at + 4]), mark = tonumber(ARGV[at + 5])}
    if ask.kind == 'fixed' then
        local found = redis.call('HMGET', key, 'start', 'count')
        ask.start, ask.count = tonumber(found[1]) or now, tonumber(found[2]) or 0
        if now >= ask.start + ask.window then ask.start, ask.count = now, 0 end
        ask.remaining = ask.limit - ask.count
        ask.reset = ask.count == 0 and 0 or ask.start + ask.window - now
    elseif ask.kind == 'sliding' then
        ask.slot = math.ceil(ask.window / 60)
        local used, first = 0, nil
        local found = redis.call('HGETALL', key)
        for j = 1, #found, 2 do
            local slot, count = tonumber(found[j]), tonumber(found[j + 1])
            local ends = (slot + 1) * ask.slot + ask.window
            if now >= ends then
                redis.call('HDEL', key, found[j])
            else
                used = used + count
                if not first or ends < first then first = ends end
            end
        end
        ask.remaining = ask.limit - used
        ask.reset = first and first - now or 0
    else
        local found = redis.call('HMGET', key, 'level', 'at')
        ask.full = ask.limit * ask.window
        local since = tonumber(found[2]) or now
        local passed = math.min(math.max(now - since, 0), math.ceil(ask.full / ask.refill))
        ask.level = math.min(ask.full, (tonumber(found[1]) or ask.full) + passed * ask.refill)
        ask.remaining = math.floor(ask.level / ask.window)
        ask.reset = ask.remaining >= ask.limit and 0 or math.ceil((ask.window - ask.level % ask.window) / ask.refill)
    end
    asks[i] = ask
end
";

/// Whether all admit; of each what remains, in how many milliseconds more does, and the mark.
static ADMIT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(&format!(
        "{COMMON}{}",
        r"
local admitted = 1
for _, ask in ipairs(asks) do if ask.remaining < 1 then admitted = 0 end end
local answer = {admitted}
for _, ask in ipairs(asks) do
    local mark = 0
    if admitted == 1 then
        ask.remaining = ask.remaining - 1
        if ask.kind == 'fixed' then
            redis.call('HSET', ask.key, 'start', whole(ask.start), 'count', whole(ask.count + 1))
            redis.call('PEXPIRE', ask.key, whole(ask.start + ask.window - now))
            mark, ask.reset = ask.start, ask.start + ask.window - now
        elseif ask.kind == 'sliding' then
            mark = math.floor(now / ask.slot)
            redis.call('HINCRBY', ask.key, whole(mark), 1)
            local ends = (mark + 1) * ask.slot + ask.window - now
            redis.call('PEXPIRE', ask.key, whole(ends))
            if ask.reset == 0 then ask.reset = ends end
        else
            ask.level = ask.level - ask.window
            redis.call('HSET', ask.key, 'level', whole(ask.level), 'at', whole(now))
            redis.call('PEXPIRE', ask.key, whole(math.ceil((ask.full - ask.level) / ask.refill) + 1))
            ask.reset = math.ceil((ask.window - ask.level % ask.window) / ask.refill)
        end
    end
    answer[#answer + 1] = math.max(ask.remaining, 0)
    answer[#answer + 1] = ask.reset
    answer[#answer + 1] = mark
end
return answer
"
    ))
});

static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(&format!(
        "{COMMON}{}",
        r"
for _, ask in ipairs(asks) do
    if ask.kind == 'fixed' then
        if ask.count > 0 and ask.start == ask.mark then redis.call('HINCRBY', ask.key, 'count', -1) end
    elseif ask.kind == 'sliding' then
        local slot = whole(ask.mark)
        if redis.call('HEXISTS', ask.key, slot) == 1 and redis.call('HINCRBY', ask.key, slot, -1) < 1 then
            redis.call('HDEL', ask.key, slot)
        end
    elseif redis.call('EXISTS', ask.key) == 1 then
        redis.call('HSET', ask.key, 'level', whole(math.min(ask.full, ask.level + ask.window)), 'at', whole(now))
    end
end
return 0
"
    ))
});

/// Counts in one database of a Redis server.
#[derive(Debug)]
pub struct RedisLimits {
    server: Arc<Server>,
    clock: Arc<dyn Clock>,
    /// What the names of all keys begin with. In braces, so that a cluster keeps them on one node.
    prefix: String,
    /// Until when nobody asks, in milliseconds since the Unix epoch.
    silent_until_ms: AtomicU64,
}

impl RedisLimits {
    /// The counts of an application at `url` (`redis://` or `rediss://`). Nothing is connected yet.
    ///
    /// # Errors
    /// If it is no such URL.
    pub fn new(
        url: &str,
        application: &str,
        resolver: &Arc<dyn Resolve>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let server = Arc::new(Server::new(url, MAX_ANSWER_BYTES, COMMAND, resolver.clone(), clock.clone())?);
        let prefix = format!("weft:limits:{{{application}}}:");
        Ok(Self { server, clock: clock.clone(), prefix, silent_until_ms: AtomicU64::new(0) })
    }

    fn invocation(&self, script: &'static Script, asks: &[(SharedAsk, u64)]) -> ScriptInvocation<'static> {
        let mut call = script.prepare_invoke();
        for (ask, mark) in asks {
            let (kind, limit, window_ms, refill) = match ask.window {
                Window::Fixed { limit, window_ms } => ("fixed", limit, window_ms, 0),
                Window::Sliding { limit, window_ms } => ("sliding", limit, window_ms, 0),
                Window::Bucket { capacity, refill, interval_ms } => ("bucket", capacity, interval_ms, refill),
            };
            call.key(format!("{}{}", self.prefix, ask.key));
            call.arg(kind).arg(limit).arg(window_ms).arg(refill).arg(mark);
        }
        call
    }

    async fn run<T>(&self, script: &'static Script, asks: &[(SharedAsk, u64)]) -> Result<T, Failure>
    where
        T: redis::FromRedisValue + Send + 'static,
    {
        let unavailable = |text: String| {
            Failure::unknown(Fault::Backend, Reason::Unavailable, format!("the limits' Redis server: {text}"))
        };
        let now_ms = self.clock.now_ms();
        if now_ms < self.silent_until_ms.load(Relaxed) {
            return Err(unavailable("it did not answer a moment ago".to_owned()));
        }
        let (server, call) = (self.server.clone(), self.invocation(script, asks));
        // On a task of its own: connecting may take longer than a request waits, and is of use to the next.
        let asking = tokio::spawn(async move { server.run(&call).await.map_err(|error| error.to_string()) });
        let answer = match select(asking, self.clock.sleep(PATIENCE)).await {
            Either::Left((Ok(answer), _)) => answer,
            Either::Left((Err(error), _)) => Err(error.to_string()),
            Either::Right(_) => Err("it took too long to answer".to_owned()),
        };
        answer.map_err(|text| {
            // One in a pause says so, for all.
            if self.silent_until_ms.fetch_max(now_ms + PAUSE_MS, Relaxed) <= now_ms {
                tracing::warn!(why = %text, "shared limits cannot be asked: each host counts by itself meanwhile");
            }
            unavailable(text)
        })
    }
}

impl SharedLimits for RedisLimits {
    fn admit(&self, asks: Vec<SharedAsk>) -> BoxFuture<'_, Result<SharedAnswer, Failure>> {
        Box::pin(async move {
            let asks: Vec<_> = asks.into_iter().map(|ask| (ask, 0)).collect();
            let answer: Vec<u64> = self.run(&ADMIT, &asks).await?;
            let standing = |part: &[u64]| match *part {
                [remaining, reset_ms, mark] => Some(SharedStanding {
                    remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
                    reset: Duration::from_millis(reset_ms),
                    mark,
                }),
                _ => None,
            };
            let parts = answer.split_first().map(|(admitted, parts)| (*admitted == 1, parts));
            let (is_admitted, parts) = parts.unwrap_or_default();
            let standings: Vec<_> = parts.chunks(3).filter_map(standing).collect();
            if standings.len() != asks.len() {
                let text = "the limits' Redis server answered something else";
                return Err(Failure::unknown(Fault::Backend, Reason::Internal, text));
            }
            Ok(SharedAnswer { is_admitted, standings })
        })
    }

    fn give_back(&self, asks: Vec<(SharedAsk, u64)>) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move { self.run::<i64>(&GIVE_BACK, &asks).await.map(drop) })
    }
}

#[cfg(test)]
mod tests {
    use weft_core::SystemClock;
    use weft_core::id::new_trace_id;

    use super::*;
    use crate::outbound::SystemResolver;
    use crate::shared_limits::conformance;

    fn clock() -> Arc<dyn Clock> {
        Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))))
    }

    fn limits(url: &str, application: &str) -> Result<RedisLimits, String> {
        let resolver: Arc<dyn Resolve> = Arc::new(SystemResolver);
        RedisLimits::new(url, application, &resolver, &clock())
    }

    #[tokio::test]
    async fn redis_keeps_to_the_contract() {
        let Some(url) = weft_tests::servers::redis() else { return };
        let application = new_trace_id();
        let hosts = [limits(&url, &application).unwrap(), limits(&url, &application).unwrap()];
        conformance::run([&hosts[0], &hosts[1]]).await;
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_said_to_be_unavailable() {
        assert!(limits("http://127.0.0.1", "a").is_err());
        let limits = limits("redis://127.0.0.1:1", "a").unwrap();
        for _ in 0..2 {
            let ask = SharedAsk { key: "k".to_owned(), window: Window::Fixed { limit: 1, window_ms: 1_000 } };
            let failure = limits.admit(vec![ask]).await.unwrap_err();
            assert_eq!((failure.reason, failure.fault), (Reason::Unavailable, Fault::Backend));
        }
    }
}
