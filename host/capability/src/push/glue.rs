//! `weft:push`: what a component imports to push to clients.

use std::sync::Arc;

use wasmtime::component::{Accessor, HasData, Linker};

use weft_core::push::{ChannelPattern, NewMessage, PushError, PushHub, user_channel};

use crate::gate::{Gate, Hold};

mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/weft-push"],
        inline: "package weft:push-host; world host { import weft:push/pusher@1.0.0; }",
        world: "weft:push-host/host",
        require_store_data_send: true,
    });
}

use bindings::weft::push::{pusher, types as wit};

/// What one instance has of push.
#[derive(Debug)]
pub struct PushState {
    hub: Option<Arc<dyn PushHub>>,
    channels: Arc<[ChannelPattern]>,
    gate: Gate,
    component: Arc<str>,
}

impl PushState {
    /// The state of an instance of `component`, which may push to channels that one of `channels` covers.
    #[must_use]
    pub fn new(
        hub: Option<Arc<dyn PushHub>>,
        channels: Arc<[ChannelPattern]>,
        gate: Gate,
        component: Arc<str>,
    ) -> Self {
        Self { hub, channels, gate, component }
    }

    /// The hub, if something may go to `channel` now.
    fn enter(&self, channel: &str) -> Result<Arc<dyn PushHub>, wit::Error> {
        self.gate.check().map_err(|closed| wit::Error::Denied(closed.to_string()))?;
        if !self.channels.iter().any(|pattern| pattern.matches(channel)) {
            return Err(wit::Error::Denied(format!(
                "the channel `{channel}` is not granted: add it to `push` in [component.{}.tool.weft]",
                self.component
            )));
        }
        self.hub.clone().ok_or_else(|| wit::Error::Unsupported("this host has no push".to_owned()))
    }

    /// Notes what is under way, until the answer is dropped.
    fn hold(&self, message: &wit::Message) -> Result<Hold, wit::Error> {
        let bytes = message.data.len() + message.kind.len() + message.key.as_ref().map_or(0, String::len);
        self.gate.hold(bytes).map_err(|closed| wit::Error::Unavailable(closed.to_string()))
    }
}

struct Glue;

impl HasData for Glue {
    type Data<'a> = &'a mut PushState;
}

/// Links `weft:push/pusher`.
///
/// # Errors
/// If it is linked already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    state: fn(&mut T) -> &mut PushState,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, Glue>(linker, state)?;
    pusher::add_to_linker::<T, Glue>(linker, state)
}

impl wit::Host for &mut PushState {}
impl pusher::Host for &mut PushState {}

impl<T: Send + 'static> pusher::HostWithStore<T> for Glue {
    async fn to_user(
        accessor: &Accessor<T, Self>,
        user: String,
        message: wit::Message,
    ) -> Result<wit::Pushed, wit::Error> {
        let (hub, _held) = accessor.with(|mut access| {
            let state = access.get();
            let channel = user_channel(&user).map_err(|error| wit::Error::Invalid(error.to_string()))?;
            Ok((state.enter(&channel)?, state.hold(&message)?))
        })?;
        let message = looked_at(&message)?;
        hub.to_user(&user, message).await.map(pushed).map_err(refused)
    }

    async fn to_channel(
        accessor: &Accessor<T, Self>,
        channel: String,
        message: wit::Message,
    ) -> Result<wit::Pushed, wit::Error> {
        let hub = accessor.with(|mut access| access.get().enter(&channel))?;
        let message = looked_at(&message)?;
        hub.to_channel(&channel, message).map(pushed).map_err(refused)
    }

    async fn present(accessor: &Accessor<T, Self>, channel: String) -> Result<wit::Presence, wit::Error> {
        let hub = accessor.with(|mut access| access.get().enter(&channel))?;
        let presence = hub.presence(&channel).map_err(refused)?;
        Ok(wit::Presence { connections: presence.connections, users: presence.users })
    }
}

fn looked_at(message: &wit::Message) -> Result<NewMessage, wit::Error> {
    NewMessage::new(&message.kind, message.key.as_deref(), &message.data).map_err(refused)
}

fn pushed(pushed: weft_core::push::Pushed) -> wit::Pushed {
    wit::Pushed { id: pushed.id, connections: pushed.connections }
}

fn refused(error: PushError) -> wit::Error {
    let message = error.to_string();
    match error {
        PushError::Invalid(_) => wit::Error::Invalid(message),
        PushError::TooLarge(_) => wit::Error::TooLarge(message),
        PushError::Full(_) => wit::Error::Full(message),
        PushError::TooMany(_) | PushError::TooManyOfUser(_) | PushError::Closing | PushError::Unavailable(_) => {
            wit::Error::Unavailable(message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(gate: Gate) -> PushState {
        let channels = ["user:*", "course:7"].map(|pattern| pattern.parse().unwrap());
        PushState::new(None, channels.into(), gate, "tell".into())
    }

    #[test]
    fn what_is_not_granted_is_denied_with_the_line_to_add() {
        let state = state(Gate::default());
        let denied = |channel: &str| match state.enter(channel) {
            Err(wit::Error::Denied(message)) => message,
            other => panic!("{other:?}"),
        };
        assert!(denied("course:8").contains("add it to `push` in [component.tell.tool.weft]"));
        assert!(matches!(state.enter("user:ada"), Err(wit::Error::Unsupported(_))));
        assert!(matches!(state.enter("course:7"), Err(wit::Error::Unsupported(_))));
    }

    #[test]
    fn projections_and_code_between_steps_push_nothing() {
        for gate in [Gate::of_projection(), Gate::new(true)] {
            assert!(matches!(state(gate).enter("user:ada"), Err(wit::Error::Denied(_))));
        }
    }
}
