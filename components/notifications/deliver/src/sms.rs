//! The text message that goes with a notification, for who wants one. It adds to what is told in the application and
//! never stands in its way: whatever comes of it is written down beside the notification.

use education::notifications::channel::{self, Error, Message, Receipt};
use notifications_domain::{ADMINS, Notification};
use weft_guest::messaging::Refusal;
use weft_guest::sql::{Statement, query_first, sql};
use weft_guest::{clock, params};

/// What came of it.
pub struct Sent {
    status: &'static str,
    /// What the gateway calls it, or why it was not sent.
    detail: String,
    parts: u32,
}

/// Sends the text message, if the audience wants one. The event's id is the key: an event that comes again, because the
/// commit after this did not happen, is the same message to the gateway.
pub async fn tell(event: &str, notification: &Notification) -> Result<Option<Sent>, Refusal> {
    if notification.audience == ADMINS {
        return Ok(None);
    }
    let select = "SELECT sms_number FROM notifications_preferences WHERE user_id = $1";
    let Some(row) = query_first(select, params![&notification.audience]).await? else { return Ok(None) };
    let Notification { kind, title, body, .. } = notification.clone();
    let sent = channel::send(event, &Message { to: row.text("sms_number")?, kind, title, body });
    Ok(Some(match sent {
        Ok(Receipt { reference, parts, .. }) => Sent { status: "sent", detail: reference, parts },
        Err(Error::Invalid(why) | Error::Refused(why)) => Sent { status: "refused", detail: why, parts: 0 },
        Err(Error::Unavailable(failure)) => Sent { status: "unavailable", detail: failure.message, parts: 0 },
    }))
}

impl Sent {
    /// The delivery's record.
    pub fn record(self, notification: &str) -> Statement {
        let insert = "INSERT INTO notifications_deliveries (notification_id, channel, status, detail, parts, created_at) \
                      VALUES ($1, 'sms', $2, $3, $4, $5)";
        sql(insert, params![notification, self.status, self.detail, self.parts, clock::now_rfc3339()])
    }
}
