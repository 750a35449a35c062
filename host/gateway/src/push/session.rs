//! What happens on a connection until its end, whatever it goes over: what comes is told, a heartbeat shows that both are
//! there, and the connection ends when its token does.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use weft_core::manifest;
use weft_core::push::{Delivery, NewConnection, PushConnection, PushError, PushHub, Which};

use super::text::{Ending, Told, presences};
use super::{Push, may_join};
use crate::auth::Caller;
use crate::deadline::Deadline;
use crate::shared::Shared;

/// One connection.
pub(super) struct Session {
    shared: Arc<Shared>,
    hub: Arc<dyn PushHub>,
    caller: Caller,
    connection: Box<dyn PushConnection>,
    heartbeat: Duration,
    next: Deadline,
    ending: Option<Ending>,
}

/// What came of telling.
#[derive(Debug)]
pub(super) enum Next {
    Told(Told),
    /// The same, and it is time to see whether the client is there.
    Heartbeat(Told),
    /// The end.
    Ended(Ending),
}

impl Session {
    /// Connects, and says what there is to be told first.
    pub async fn open(
        shared: &Arc<Shared>,
        push: &Push,
        rules: &manifest::Push,
        caller: Caller,
        new: NewConnection,
    ) -> Result<(Self, Told), PushError> {
        let resumed = new.resume.is_some();
        let opened = push.hub.connect(new).await?;
        let heartbeat = Duration::from_secs(rules.heartbeat_s.into());
        let clock = &shared.clock;
        let ends_at_s = shared.auth().and_then(|auth| auth.ends_at_s(&caller.identity));
        let welcome = Told::welcome(&opened, caller.identity.subject(), heartbeat.as_secs(), ends_at_s, resumed);
        let session = Self {
            next: Deadline::at(clock.clone(), clock.monotonic() + heartbeat),
            shared: shared.clone(),
            hub: push.hub.clone(),
            caller,
            connection: opened.connection,
            heartbeat,
            ending: None,
        };
        Ok((Self { next: session.next_deadline(), ..session }, welcome))
    }

    /// The next heartbeat, or the end of the token if that is sooner.
    fn next_deadline(&self) -> Deadline {
        let clock = &self.shared.clock;
        let ends_at_s = self.shared.auth().and_then(|auth| auth.ends_at_s(&self.caller.identity));
        let left = ends_at_s.map(|end| Duration::from_millis(end.saturating_mul(1_000).saturating_sub(clock.now_ms())));
        let wait = left.map_or(self.heartbeat, |left| left.min(self.heartbeat));
        Deadline::at(clock.clone(), clock.monotonic() + wait)
    }

    fn is_authorized(&self) -> bool {
        self.shared.auth().is_some_and(|auth| auth.is_valid(&self.caller, self.shared.clock.now_ms()))
    }

    /// What is to be told next. After the end it says so for ever.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        if let Some(ending) = self.ending {
            return Poll::Ready(Next::Ended(ending));
        }
        if self.next.poll_passed(context).is_ready() {
            if !self.is_authorized() {
                return Poll::Ready(self.end(Ending::Unauthorized));
            }
            self.next = self.next_deadline();
            return Poll::Ready(Next::Heartbeat(Told::heartbeat(self.connection.cursor())));
        }
        Poll::Ready(match ready!(self.connection.poll_next(context)) {
            Delivery::Message { cursor, message } => Next::Told(Told::message(cursor, message)),
            Delivery::Gap(channels) => Next::Told(Told::gap(&channels)),
            Delivery::Read(notice) => Next::Told(Told::read(&notice)),
            Delivery::Closed(reason) => self.end(reason.into()),
        })
    }

    fn end(&mut self, ending: Ending) -> Next {
        self.ending = Some(ending);
        Next::Ended(ending)
    }

    /// Ready when the connection is to end while its socket takes nothing.
    pub fn poll_cut(&mut self, context: &mut Context<'_>) -> Poll<Ending> {
        self.connection.poll_closed(context).map(Ending::from)
    }

    fn may_join(&self, channel: &str) -> bool {
        let served = self.shared.served();
        served.policy.push.as_ref().is_some_and(|rules| may_join(rules, &self.caller.identity, channel))
    }

    /// The client wants to join channels: those up to the first that it may not.
    pub fn subscribe(&mut self, channels: &[String]) -> Told {
        const OF: &str = "subscribe";
        let mut joined = Vec::with_capacity(channels.len());
        for channel in channels {
            if !self.may_join(channel) {
                return forbidden(OF, channel);
            }
            match self.connection.subscribe(channel) {
                Ok(presence) => joined.push((channel.as_str().into(), presence)),
                Err(error) => return refused(OF, &error),
            }
        }
        let id = self.connection.cursor();
        Told::done(OF, Some(id), serde_json::json!({ "channels": presences(&joined) }))
    }

    /// The client wants to leave channels.
    pub fn unsubscribe(&mut self, channels: &[String]) -> Told {
        for channel in channels {
            self.connection.unsubscribe(channel);
        }
        Told::done("unsubscribe", None, serde_json::json!({ "channels": channels }))
    }

    /// The client wants to know who is there.
    pub fn presence(&self, channels: &[String]) -> Told {
        const OF: &str = "presence";
        let mut found = Vec::with_capacity(channels.len());
        for channel in channels {
            if !self.may_join(channel) {
                return forbidden(OF, channel);
            }
            match self.hub.presence(channel) {
                Ok(presence) => found.push((channel.as_str().into(), presence)),
                Err(error) => return refused(OF, &error),
            }
        }
        Told::done(OF, None, serde_json::json!({ "channels": presences(&found) }))
    }

    /// The user has read messages.
    pub async fn mark_read(&mut self, which: Which) -> Told {
        const OF: &str = "read";
        match self.hub.mark_read(self.caller.identity.subject(), which).await {
            Ok(unread) => Told::done(OF, None, serde_json::json!({ "unread": unread })),
            Err(error) => refused(OF, &error),
        }
    }
}

fn forbidden(of: &str, channel: &str) -> Told {
    Told::error(of, "forbidden", &format!("You may not join the channel {channel:?}."))
}

fn refused(of: &str, error: &PushError) -> Told {
    match error {
        PushError::Invalid(detail) => Told::error(of, "invalid", detail),
        PushError::TooLarge(detail) => Told::error(of, "too-large", detail),
        PushError::TooMany(detail) | PushError::TooManyOfUser(detail) => Told::error(of, "too-many", detail),
        // What the store says is for the log.
        PushError::Full(_) | PushError::Closing | PushError::Unavailable(_) => {
            Told::error(of, "unavailable", "Try again later.")
        }
    }
}
