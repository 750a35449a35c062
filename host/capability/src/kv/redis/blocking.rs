//! Reads for callers that cannot wait. A thread of its own asks the server over a connection of its own, so that a caller
//! blocks for one round trip and no longer than [`PATIENCE`]; while the server does not answer, callers are told so at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use bytes::Bytes;

use weft_core::{Clock, Failure, Fault, Reason};

use super::super::Error;
use super::Stores;

/// How long a caller is blocked at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long nobody asks after the server did not answer.
const PAUSE_MS: u64 = 1_000;

type Answer = Result<Option<Bytes>, Error>;

struct Question {
    label: String,
    key: String,
    now_ms: u64,
    answer: SyncSender<Answer>,
}

/// Asks the thread. It is there from the start: one that a question started would have the priority of whoever asks first.
#[derive(Debug)]
pub(super) struct Blocking {
    clock: Arc<dyn Clock>,
    thread: Sender<Question>,
    /// Until when nobody asks, in milliseconds since the Unix epoch.
    silent_until_ms: AtomicU64,
}

impl Blocking {
    pub(super) fn new(server: Stores, clock: Arc<dyn Clock>) -> Self {
        Self { clock, thread: start(server), silent_until_ms: AtomicU64::new(0) }
    }

    pub(super) fn get(&self, label: &str, key: &str) -> Answer {
        let now_ms = self.clock.now_ms();
        if now_ms < self.silent_until_ms.load(Ordering::Relaxed) {
            return Err(unavailable());
        }
        let (answer, answered) = sync_channel(1);
        let question = Question { label: label.to_owned(), key: key.to_owned(), now_ms, answer };
        let answer = match self.thread.send(question) {
            Ok(()) => answered.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(unavailable())),
            Err(_) => Err(unavailable()),
        };
        if matches!(answer, Err(Error::Unavailable(_))) {
            self.silent_until_ms.store(now_ms.saturating_add(PAUSE_MS), Ordering::Relaxed);
        }
        answer
    }
}

fn unavailable() -> Error {
    let message = "the key-value store's Redis server does not answer";
    Failure::not_attempted(Fault::Backend, Reason::Unavailable, message).into()
}

fn start(server: Stores) -> Sender<Question> {
    let (sender, questions) = channel();
    // Without the thread its end of the channel is gone, and everybody is told that nothing answers.
    if let Err(error) =
        std::thread::Builder::new().name("weft-kv-redis".to_owned()).spawn(move || run(&server, &questions))
    {
        tracing::error!(%error, "cannot start the thread that reads key-value stores in Redis");
    }
    sender
}

fn run(server: &Stores, questions: &Receiver<Question>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot read key-value stores in Redis");
            return;
        }
    };
    while let Ok(Question { label, key, now_ms, answer }) = questions.recv() {
        let read = async {
            let keys = [key];
            let found = server.get_many(&label, &keys, now_ms);
            let mut found = tokio::time::timeout(PATIENCE, found).await.map_err(|_| unavailable())??;
            Ok(found.pop().flatten().map(|entry| entry.value))
        };
        // The caller may have lost its patience.
        let _ = answer.send(runtime.block_on(read));
    }
}
