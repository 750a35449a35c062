//! The embedded hub keeps the contract, and gives back what it no longer needs.

use weft_core::clock::ManualClock;

use super::*;
use crate::push::conformance::{self, Bounds, Harness};

struct Folder {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Folder {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), clock: Arc::new(ManualClock::at_ms(1_700_000_000_000)) }
    }

    fn open_with(&self, options: PushOptions) -> Embedded {
        Embedded::open(&self.dir.path().join("push.db"), self.clock.clone(), options).unwrap()
    }
}

impl Harness for Folder {
    fn open(&self) -> Arc<dyn PushHub> {
        Arc::new(self.open_with(PushOptions {
            connections: Bounds::CONNECTIONS,
            connections_per_user: Bounds::OF_USER,
            channels_per_connection: Bounds::CHANNELS,
            pending_bytes: Bounds::PENDING_BYTES,
            ring: Bounds::RING,
            retention: Duration::from_secs(Bounds::RETENTION_S),
            inbox: Bounds::INBOX,
            inbox_retention: Duration::from_secs(Bounds::INBOX_RETENTION_S),
            ..PushOptions::default()
        }))
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

#[tokio::test]
async fn keeps_the_contract() {
    conformance::run(Folder::new).await;
}

fn message(text: &str) -> NewMessage {
    NewMessage::new("told", None, format!("{text:?}").as_bytes()).unwrap()
}

#[tokio::test]
async fn bounds_change_and_nobody_is_cut_off() {
    let folder = Folder::new();
    let hub = folder.open_with(PushOptions::default());
    let connect = |user: &str| {
        let new = NewConnection { user: user.into(), channels: Vec::new(), resume: None, transport: "events" };
        hub.connect(new)
    };
    let open = [connect("ada").await.unwrap(), connect("ada").await.unwrap()];
    for number in 0..3 {
        hub.to_user("bob", message(&number.to_string())).await.unwrap();
    }
    let bounds = PushBounds {
        connections: 3,
        connections_per_user: 1,
        channels_per_connection: 1,
        pending_bytes: 65 << 10,
        retention: Duration::from_secs(1),
        inbox: 2,
        inbox_retention: Duration::from_hours(48),
    };
    hub.set_bounds(bounds);
    assert_eq!(hub.status(0).connections, open.len(), "more than one of a user");
    assert!(matches!(connect("ada").await, Err(PushError::TooManyOfUser(_))));
    hub.to_user("bob", message("the last")).await.unwrap();
    let bob = connect("bob").await.unwrap();
    assert_eq!(bob.unread, 2, "as many as are kept now");
    assert!(matches!(connect("eve").await, Err(PushError::TooMany(_))));
    hub.set_bounds(PushBounds { connections: 4, ..bounds });
    assert!(connect("eve").await.is_ok());
}

#[tokio::test]
async fn channels_and_what_is_kept_of_them_are_bounded() {
    let folder = Folder::new();
    let hub = folder.open_with(PushOptions { channels: 10, kept_bytes: 4_000, ..PushOptions::default() });
    for number in 0..100 {
        hub.to_channel(&format!("course:{number}"), message("x")).unwrap();
        let status = hub.status(0);
        assert!(status.channels <= 10 && status.kept_bytes <= 4_000, "{status:?}");
    }
    assert!(hub.status(0).kept > 0);
    folder.clock.advance(Duration::from_mins(11));
    let status = hub.status(0);
    assert_eq!((status.channels, status.kept, status.kept_bytes), (0, 0, 0));
}

#[tokio::test]
async fn inboxes_together_are_bounded() {
    let folder = Folder::new();
    let hub = folder.open_with(PushOptions { inbox_bytes: 1 << 20, ..PushOptions::default() });
    let text = "x".repeat(60_000);
    let mut taken = 0;
    let refusal = loop {
        match hub.to_user(&format!("user-{taken}"), message(&text)).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 20, "1 MiB has more room than it should");
    };
    assert!(matches!(refusal, PushError::Full(_)));
    hub.mark_read("user-0", Which::Through(u64::MAX)).await.unwrap();
    assert!(hub.to_user("user-0", message("short")).await.is_ok(), "what is read gives its room back");
}
