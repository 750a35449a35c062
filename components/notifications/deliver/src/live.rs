//! Tells who is connected of a notification at once; who is not finds it among what is unread. The notification itself is
//! written by then, so that where nothing is pushed nothing is lost.

use notifications_domain::{ADMINS, Notification};
use serde::Serialize;
use weft_guest::messaging::Refusal;
use weft_guest::push::{self, Error};

/// What a client gets.
#[derive(Serialize)]
struct Live<'a> {
    id: &'a str,
    kind: &'a str,
    title: &'a str,
    body: &'a str,
    created_at: &'a str,
}

/// Pushes a notification that is written with this id. The event's id is the key: an event that comes again is the same
/// message to its user. Admins are told in their channel, once for each delivery.
pub async fn tell(event: &str, time: &str, id: &str, notification: &Notification) -> Result<(), Refusal> {
    const KIND: &str = "notification";
    let Notification { audience, kind, title, body } = notification;
    let live = Live { id, kind, title, body, created_at: time };
    let pushed = if audience == ADMINS {
        push::to_channel(ADMINS, KIND, &live).await
    } else {
        push::to_user(audience, KIND, Some(event), &live).await
    };
    match pushed {
        Ok(_) | Err(Error::Unsupported(_)) => Ok(()),
        Err(Error::Invalid(why) | Error::TooLarge(why)) => Err(Refusal::Reject(why)),
        Err(Error::Denied(why) | Error::Full(why) | Error::Unavailable(why)) => Err(Refusal::Retry(why)),
    }
}
