//! What is pending for one connection, within a bound: filled by the hub, emptied by the connection.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use weft_core::push::{CloseReason, Message, ReadNotice};

/// The most messages pending for one connection, however small they are.
pub(super) const MAX_PENDING: usize = 1_024;
/// What a notice weighs, in bytes.
const NOTICE_BYTES: usize = 256;

/// One connection as the hub knows it.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub id: u64,
    pub user: Arc<str>,
    pub transport: &'static str,
    pub since_ms: u64,
    max_bytes: usize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    closed: Option<CloseReason>,
    waker: Option<Waker>,
}

#[derive(Debug)]
pub(super) enum Item {
    Message(Arc<Message>),
    Read(Arc<ReadNotice>),
}

impl Item {
    fn weight(&self) -> usize {
        match self {
            Self::Message(message) => message.weight(),
            Self::Read(_) => NOTICE_BYTES,
        }
    }
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    Taken,
    /// The connection has ended.
    Ended,
    /// It would be too much, so that the connection ends with this; so many bytes were pending.
    Cut(usize),
}

impl Mailbox {
    pub fn new(id: u64, user: Arc<str>, transport: &'static str, since_ms: u64, max_bytes: usize) -> Self {
        Self { id, user, transport, since_ms, max_bytes, queue: Mutex::default() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is pushed, unless too much is pending. One message always has room where nothing is.
    pub fn offer(&self, item: Item) -> Offered {
        let mut queue = self.queue();
        if queue.closed.is_some() {
            return Offered::Ended;
        }
        let bytes = queue.bytes + item.weight();
        let is_too_much = !queue.items.is_empty() && (bytes > self.max_bytes || queue.items.len() >= MAX_PENDING);
        let offered = if is_too_much {
            let pending = queue.bytes;
            end(&mut queue, CloseReason::Slow);
            Offered::Cut(pending)
        } else {
            queue.bytes = bytes;
            queue.items.push_back(item);
            Offered::Taken
        };
        let waker = queue.waker.take();
        drop(queue);
        waker.into_iter().for_each(Waker::wake);
        offered
    }

    /// Ends the connection, unless it has ended.
    pub fn close(&self, reason: CloseReason) {
        let mut queue = self.queue();
        if queue.closed.is_none() {
            end(&mut queue, reason);
        }
        let waker = queue.waker.take();
        drop(queue);
        waker.into_iter().for_each(Waker::wake);
    }

    /// What is next; an error when the connection has ended.
    pub fn poll_next(&self, context: &mut Context<'_>) -> Poll<Result<Item, CloseReason>> {
        let mut queue = self.queue();
        if let Some(reason) = queue.closed {
            return Poll::Ready(Err(reason));
        }
        match queue.items.pop_front() {
            Some(item) => {
                queue.bytes = queue.bytes.saturating_sub(item.weight());
                if queue.items.is_empty() {
                    // Most connections are idle most of the time, and there may be very many.
                    queue.items = VecDeque::new();
                }
                Poll::Ready(Ok(item))
            }
            None => wait(&mut queue, context),
        }
    }

    /// Ready when the connection has ended.
    pub fn poll_closed(&self, context: &mut Context<'_>) -> Poll<CloseReason> {
        let mut queue = self.queue();
        match queue.closed {
            Some(reason) => Poll::Ready(reason),
            None => wait(&mut queue, context),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.queue().items.is_empty()
    }

    pub fn pending_bytes(&self) -> usize {
        self.queue().bytes
    }
}

/// What is pending is of no use to anybody any more.
fn end(queue: &mut Queue, reason: CloseReason) {
    queue.closed = Some(reason);
    (queue.items, queue.bytes) = (VecDeque::new(), 0);
}

fn wait<T>(queue: &mut Queue, context: &Context<'_>) -> Poll<T> {
    if !queue.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
        queue.waker = Some(context.waker().clone());
    }
    Poll::Pending
}
