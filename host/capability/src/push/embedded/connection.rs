//! One connection: first what it has missed of its channels, then what it has missed of its inbox, then what comes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use futures::FutureExt as _;
use futures::future::BoxFuture;

use weft_core::Failure;
use weft_core::push::{CloseReason, Cursor, Delivery, Message, Presence, PushConnection, PushError, user_channel};

use super::inbox::{Inbox, Page};
use super::lock;
use super::mailbox::{Item, Mailbox};
use super::state::State;

pub(super) struct Connection {
    state: Arc<Mutex<State>>,
    inbox: Arc<Inbox>,
    mailbox: Arc<Mailbox>,
    channels: Vec<Arc<str>>,
    cursor: Cursor,
    gaps: Vec<Arc<str>>,
    backlog: VecDeque<Arc<Message>>,
    replay: Option<Box<Replay>>,
}

/// What is read of the inbox, a page at a time.
struct Replay {
    through: u64,
    /// Up to where it is known what is gone.
    lost_through: u64,
    page: VecDeque<Arc<Message>>,
    reading: Option<BoxFuture<'static, Result<Page, Failure>>>,
}

/// What is found in an inbox.
enum Found {
    Message(Arc<Message>),
    /// Something is gone, since the connection began, that would have come now.
    Gap,
}

impl Connection {
    pub fn new(state: Arc<Mutex<State>>, inbox: Arc<Inbox>, mailbox: Arc<Mailbox>, channels: Vec<Arc<str>>) -> Self {
        let (cursor, gaps, backlog) = (Cursor::default(), Vec::new(), VecDeque::new());
        Self { state, inbox, mailbox, channels, cursor, gaps, backlog, replay: None }
    }

    /// Says where it goes on: behind `cursor`, with the backlog and the messages of its inbox through `inbox_head`.
    /// Of what is gone through `lost_through` the gaps tell.
    pub fn begin(
        &mut self,
        cursor: Cursor,
        gaps: Vec<Arc<str>>,
        backlog: VecDeque<Arc<Message>>,
        (through, lost_through): (u64, u64),
    ) {
        (self.cursor, self.gaps, self.backlog) = (cursor, gaps, backlog);
        if cursor.inbox < through {
            self.replay = Some(Box::new(Replay { through, lost_through, page: VecDeque::new(), reading: None }));
        }
    }

    /// What was missed of the inbox; `None` when that is at its end.
    fn poll_replay(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Found, Failure>>> {
        let Some(replay) = &mut self.replay else { return Poll::Ready(None) };
        loop {
            if let Some(message) = replay.page.pop_front() {
                return Poll::Ready(Some(Ok(Found::Message(message))));
            }
            let reading = replay.reading.get_or_insert_with(|| {
                let (inbox, user) = (self.inbox.clone(), self.mailbox.user.clone());
                let (after, through) = (self.cursor.inbox, replay.through);
                Box::pin(async move { inbox.page(user, after, through).await })
            });
            let read = ready!(reading.poll_unpin(context));
            replay.reading = None;
            match read {
                // What is behind the end comes by itself.
                Ok(Page { lost_through, .. })
                    if lost_through.min(replay.through) > replay.lost_through.max(self.cursor.inbox) =>
                {
                    // Read once more, so that what comes after the gap is what is there after it.
                    replay.lost_through = lost_through;
                    return Poll::Ready(Some(Ok(Found::Gap)));
                }
                Ok(Page { messages, .. }) if messages.is_empty() => {
                    self.cursor.inbox = replay.through;
                    self.replay = None;
                    return Poll::Ready(None);
                }
                Ok(Page { messages, .. }) => replay.page = messages.into(),
                Err(failure) => return Poll::Ready(Some(Err(failure))),
            }
        }
    }
}

impl PushConnection for Connection {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Delivery> {
        // Whoever is too slow for what comes is so before what it has missed is at its end.
        if let Poll::Ready(reason) = self.mailbox.poll_closed(context) {
            return Poll::Ready(Delivery::Closed(reason));
        }
        if !self.gaps.is_empty() {
            return Poll::Ready(Delivery::Gap(std::mem::take(&mut self.gaps)));
        }
        if let Some(message) = self.backlog.pop_front() {
            self.cursor.channels = message.id();
            return Poll::Ready(Delivery::Message { cursor: self.cursor, message });
        }
        match ready!(self.poll_replay(context)) {
            Some(Ok(Found::Gap)) => {
                return Poll::Ready(Delivery::Gap(user_channel(&self.mailbox.user).into_iter().collect()));
            }
            Some(Ok(Found::Message(message))) => {
                self.cursor.inbox = message.id();
                return Poll::Ready(Delivery::Message { cursor: self.cursor, message });
            }
            Some(Err(failure)) => {
                tracing::error!(%failure, user = &*self.mailbox.user, "an inbox cannot be read");
                self.mailbox.close(CloseReason::Failed);
                return Poll::Ready(Delivery::Closed(CloseReason::Failed));
            }
            None => {}
        }
        Poll::Ready(match ready!(self.mailbox.poll_next(context)) {
            Err(reason) => Delivery::Closed(reason),
            Ok(Item::Read(notice)) => Delivery::Read(notice),
            Ok(Item::Message(message)) => {
                let place = if message.is_kept() { &mut self.cursor.inbox } else { &mut self.cursor.channels };
                *place = message.id();
                Delivery::Message { cursor: self.cursor, message }
            }
        })
    }

    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<CloseReason> {
        self.mailbox.poll_closed(context)
    }

    fn cursor(&mut self) -> Cursor {
        if self.gaps.is_empty() && self.backlog.is_empty() && self.replay.is_none() {
            // Nothing can be handed to the mailbox meanwhile.
            let state = lock(&self.state);
            if self.mailbox.is_empty() {
                self.cursor = state.now();
            }
        }
        self.cursor
    }

    fn subscribe(&mut self, channel: &str) -> Result<Presence, PushError> {
        let mut state = lock(&self.state);
        if self.channels.iter().any(|joined| **joined == *channel) {
            return Ok(state.presence(channel));
        }
        let (name, presence) = state.subscribe(&self.mailbox, channel, self.channels.len())?;
        drop(state);
        self.channels.push(name);
        Ok(presence)
    }

    fn unsubscribe(&mut self, channel: &str) -> bool {
        let Some(place) = self.channels.iter().position(|joined| **joined == *channel) else { return false };
        self.channels.swap_remove(place);
        lock(&self.state).unsubscribe(&self.mailbox, channel);
        true
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        lock(&self.state).leave(&self.mailbox, &self.channels);
    }
}
