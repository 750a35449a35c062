//! What every hub has to pass. It panics at the first broken rule, as a test does.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test suite that other crates run")]

mod resume;

use std::sync::Arc;

use futures::future::poll_fn;

use weft_core::clock::ManualClock;
use weft_core::push::{
    CloseReason, Cursor, Delivery, NewConnection, NewMessage, Opened, Presence, PushError, PushHub, USER, Which,
};

/// A backend with data of its own that can be opened again and again.
pub trait Harness {
    /// Opens the hub on the data, with the bounds that the suite goes by: [`Bounds`].
    fn open(&self) -> Arc<dyn PushHub>;
    /// The clock that the hub goes by.
    fn clock(&self) -> &ManualClock;
}

/// The bounds of a hub under test.
pub struct Bounds;

impl Bounds {
    /// Connections at once.
    pub const CONNECTIONS: usize = 20;
    /// Connections of one user.
    pub const OF_USER: usize = 3;
    /// Channels of one connection.
    pub const CHANNELS: usize = 4;
    /// What may be pending for one connection, in bytes.
    pub const PENDING_BYTES: usize = 16 << 10;
    /// Messages of one channel that are kept.
    pub const RING: usize = 8;
    /// How long, in seconds.
    pub const RETENTION_S: u64 = 60;
    /// Unread messages of one user.
    pub const INBOX: usize = 12;
    /// How long, in seconds: more than a day.
    pub const INBOX_RETENTION_S: u64 = 100_000;
}

/// Runs the whole suite; `harness` gives a backend without data for each part.
///
/// # Panics
/// If the backend breaks a rule.
pub async fn run<H: Harness>(harness: impl Fn() -> H) {
    messages_reach_who_has_joined(&harness()).await;
    what_is_no_message_is_refused(&harness()).await;
    bounds_are_kept(&harness()).await;
    a_slow_connection_ends_alone(&harness()).await;
    a_known_key_is_pushed_once(&harness()).await;
    what_is_read_is_told_and_gone(&harness()).await;
    closing_ends_all(&harness()).await;
    resume::unread_outlive_a_restart(&harness()).await;
    resume::a_gap_is_told(&harness()).await;
    resume::an_old_inbox_has_a_gap(&harness()).await;
    for seed in 0..40 {
        resume::exactly_what_was_missed(&harness(), seed).await;
    }
}

fn message(text: &str) -> NewMessage {
    NewMessage::new("told", None, format!("{{\"text\": {text:?}}}").as_bytes()).unwrap()
}

fn keyed(key: &str) -> NewMessage {
    NewMessage::new("told", Some(key), b"1").unwrap()
}

async fn connect(hub: &dyn PushHub, user: &str, channels: &[&str], resume: Option<Cursor>) -> Opened {
    try_connect(hub, user, channels, resume).await.unwrap()
}

async fn try_connect(
    hub: &dyn PushHub,
    user: &str,
    channels: &[&str],
    resume: Option<Cursor>,
) -> Result<Opened, PushError> {
    let channels = channels.iter().map(|name| (*name).into()).collect();
    hub.connect(NewConnection { user: user.into(), channels, resume, transport: "test" }).await
}

/// What comes next, however long that takes.
async fn next(opened: &mut Opened) -> Delivery {
    poll_fn(|context| opened.connection.poll_next(context)).await
}

/// The channel and the text of the message that comes next, with the cursor after it.
async fn next_message(opened: &mut Opened) -> (String, String, Cursor) {
    match next(opened).await {
        Delivery::Message { cursor, message } => {
            let json: serde_json::Value = serde_json::from_str(&format!("{{{}", message.members())).unwrap();
            let text = json["data"]["text"].as_str().unwrap_or_default().to_owned();
            (message.channel().to_string(), text, cursor)
        }
        other => panic!("{other:?} in the place of a message"),
    }
}

/// Whether nothing comes now.
fn is_quiet(opened: &mut Opened) -> bool {
    let waker = std::task::Waker::noop();
    opened.connection.poll_next(&mut std::task::Context::from_waker(waker)).is_pending()
}

async fn messages_reach_who_has_joined(harness: &dyn Harness) {
    let hub = harness.open();
    let mut ada = connect(&*hub, "ada", &["course:1", "course:1"], None).await;
    assert_eq!((ada.unread, ada.presence.len()), (0, 1));
    let mut bob = connect(&*hub, "bob", &["course:1", "course:2"], None).await;
    assert_eq!(bob.presence[0], ("course:1".into(), Presence { connections: 2, users: 2 }));
    assert_eq!(hub.to_channel("course:1", message("both")).unwrap().connections, 2);
    assert_eq!(hub.to_channel("course:2", message("bob")).unwrap().connections, 1);
    assert_eq!(hub.to_channel("course:3", message("nobody")).unwrap().connections, 0);
    assert_eq!(hub.to_user("ada", message("ada")).await.unwrap().connections, 1);
    let first = next_message(&mut ada).await;
    assert_eq!((&*first.0, &*first.1), ("course:1", "both"));
    let second = next_message(&mut ada).await;
    assert_eq!((&*second.0, &*second.1), ("user:ada", "ada"));
    assert!(second.2.inbox > first.2.inbox && second.2.channels == first.2.channels);
    assert_eq!(next_message(&mut bob).await.1, "both");
    assert_eq!(next_message(&mut bob).await.1, "bob");
    assert!(is_quiet(&mut ada) && is_quiet(&mut bob));

    assert_eq!(bob.connection.subscribe("course:3").unwrap(), Presence { connections: 1, users: 1 });
    assert_eq!(bob.connection.subscribe("course:3").unwrap(), Presence { connections: 1, users: 1 });
    assert!(bob.connection.unsubscribe("course:2") && !bob.connection.unsubscribe("course:2"));
    hub.to_channel("course:2", message("left")).unwrap();
    hub.to_channel("course:3", message("joined")).unwrap();
    assert_eq!(next_message(&mut bob).await.1, "joined");
    assert_eq!(hub.presence("user:bob").unwrap(), Presence { connections: 1, users: 1 });
    drop(bob);
    assert_eq!(hub.presence("user:bob").unwrap(), Presence::default());
    assert_eq!(hub.presence("course:3").unwrap(), Presence::default());
    assert_eq!(hub.presence("course:1").unwrap().connections, 1);
}

async fn what_is_no_message_is_refused(harness: &dyn Harness) {
    let hub = harness.open();
    for wrong in ["", "a b", "course:*", "user:ada"] {
        assert!(matches!(hub.to_channel(wrong, message("x")), Err(PushError::Invalid(_))), "{wrong}");
    }
    for wrong in ["", "a b", "*"] {
        assert!(matches!(hub.to_user(wrong, message("x")).await, Err(PushError::Invalid(_))), "{wrong}");
        assert!(matches!(try_connect(&*hub, wrong, &[], None).await, Err(PushError::Invalid(_))), "{wrong}");
    }
    assert!(matches!(hub.to_channel("course:1", keyed("k")), Err(PushError::Invalid(_))));
    let of_others = try_connect(&*hub, "ada", &[&format!("{USER}bob")], None).await;
    assert!(matches!(of_others, Err(PushError::Invalid(_))));
}

async fn bounds_are_kept(harness: &dyn Harness) {
    let hub = harness.open();
    let mut of_ada = Vec::new();
    for _ in 0..Bounds::OF_USER {
        of_ada.push(connect(&*hub, "ada", &[], None).await);
    }
    assert!(matches!(try_connect(&*hub, "ada", &[], None).await, Err(PushError::TooManyOfUser(_))));
    of_ada.pop();
    of_ada.push(connect(&*hub, "ada", &[], None).await);
    let names: Vec<String> = (0..=Bounds::CHANNELS).map(|number| format!("course:{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(matches!(try_connect(&*hub, "bob", &names, None).await, Err(PushError::TooMany(_))));
    let mut bob = connect(&*hub, "bob", &names[1..], None).await;
    assert!(matches!(bob.connection.subscribe(names[0]), Err(PushError::TooMany(_))));
    let mut all = Vec::new();
    for number in Bounds::OF_USER + 1..Bounds::CONNECTIONS {
        all.push(connect(&*hub, &format!("user-{number}"), &[], None).await);
    }
    assert!(matches!(try_connect(&*hub, "eve", &[], None).await, Err(PushError::TooMany(_))));
    drop(of_ada);
    connect(&*hub, "eve", &[], None).await;
    let status = hub.status(100);
    assert_eq!((status.connections, status.clients.len()), (all.len() + 1, all.len() + 1));
}

async fn a_slow_connection_ends_alone(harness: &dyn Harness) {
    let hub = harness.open();
    let mut slow = connect(&*hub, "slow", &["course:1"], None).await;
    let mut fast = connect(&*hub, "fast", &["course:1"], None).await;
    let text = "x".repeat(1_000);
    let mut pushed = 0;
    while hub.status(0).totals.cut == 0 {
        hub.to_channel("course:1", message(&text)).unwrap();
        assert_eq!(next_message(&mut fast).await.1, text);
        pushed += 1;
        assert!(pushed * 1_000 <= Bounds::PENDING_BYTES, "more is pending than may be");
    }
    assert!(matches!(next(&mut slow).await, Delivery::Closed(CloseReason::Slow)));
    assert_eq!(poll_fn(|context| slow.connection.poll_closed(context)).await, CloseReason::Slow);
    let cut = hub.status(10).cut;
    assert_eq!((cut.len(), &*cut[0].user), (1, "slow"));
    assert!(cut[0].pending_bytes <= Bounds::PENDING_BYTES);
    assert_eq!(hub.to_channel("course:1", message("on")).unwrap().connections, 1);
    assert_eq!(next_message(&mut fast).await.1, "on");
}

async fn a_known_key_is_pushed_once(harness: &dyn Harness) {
    let hub = harness.open();
    let mut ada = connect(&*hub, "ada", &[], None).await;
    let first = hub.to_user("ada", keyed("k")).await.unwrap();
    let again = hub.to_user("ada", keyed("k")).await.unwrap();
    assert_eq!((first.id, again.connections), (again.id, 0));
    assert_ne!(hub.to_user("bob", keyed("k")).await.unwrap().id, first.id, "another user's");
    hub.mark_read("ada", Which::These(vec![first.id])).await.unwrap();
    assert_eq!(hub.to_user("ada", keyed("k")).await.unwrap().id, first.id, "also once it is read");
    next_message(&mut ada).await;
    assert!(matches!(next(&mut ada).await, Delivery::Read(_)));
    assert!(is_quiet(&mut ada));
}

async fn what_is_read_is_told_and_gone(harness: &dyn Harness) {
    let hub = harness.open();
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(hub.to_user("ada", message(&number.to_string())).await.unwrap().id);
    }
    let mut here = connect(&*hub, "ada", &[], None).await;
    let mut other = connect(&*hub, "bob", &[], None).await;
    assert_eq!(here.unread, 5);
    assert_eq!(hub.mark_read("bob", Which::Through(u64::MAX)).await, Ok(0), "nothing of others");
    assert_eq!(hub.mark_read("ada", Which::These(vec![ids[1], ids[3]])).await, Ok(3));
    let Delivery::Read(notice) = next(&mut here).await else { panic!("no notice") };
    assert_eq!((&notice.which, notice.unread), (&Which::These(vec![ids[1], ids[3]]), 3));
    assert_eq!(hub.mark_read("ada", Which::These(vec![ids[1]])).await, Ok(3), "marked already");
    assert!(is_quiet(&mut here) && is_quiet(&mut other));
    let mut again = connect(&*hub, "ada", &[], Some(Cursor { channels: 0, inbox: 0 })).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(next_message(&mut again).await.1);
    }
    assert_eq!(seen, ["0", "2", "4"]);
    assert_eq!(hub.mark_read("ada", Which::Through(ids[2])).await, Ok(1));
    assert!(matches!(hub.mark_read("ada", Which::These(vec![0; 101])).await, Err(PushError::TooLarge(_))));
}

async fn closing_ends_all(harness: &dyn Harness) {
    let hub = harness.open();
    let mut ada = connect(&*hub, "ada", &["course:1"], None).await;
    hub.to_channel("course:1", message("last")).unwrap();
    hub.close();
    assert!(matches!(next(&mut ada).await, Delivery::Closed(CloseReason::GoingAway)));
    assert!(matches!(try_connect(&*hub, "ada", &[], None).await, Err(PushError::Closing)));
    assert_eq!(hub.to_channel("course:1", message("x")), Err(PushError::Closing));
    assert_eq!(hub.to_user("ada", message("x")).await, Err(PushError::Closing));
    assert_eq!(ada.connection.subscribe("course:2"), Err(PushError::Closing));
}
