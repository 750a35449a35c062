//! The notifications context's subscription: writes what users are told of the events of other contexts. However often
//! an event is delivered, it is written once.

use notifications_domain::{Notification, from_event};
use weft_guest::messaging::{Delivery, Refusal};
use weft_guest::operation::{Effect, operation};
use weft_guest::sql::sql;
use weft_guest::{ids, params};

async fn handle(delivery: Delivery) -> Result<(), Refusal> {
    let Delivery { event, subscription, .. } = delivery;
    let Some(notification) = from_event(&event.topic, &event.data).map_err(Refusal::Reject)? else { return Ok(()) };
    let Notification { user_id, kind, title, body } = notification;
    operation(&subscription, &event.id, &event.data, async || {
        let insert = sql(
            "INSERT INTO notifications_notifications (id, user_id, kind, title, body, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
            params![ids::uuid(), user_id, kind, title, body, event.time.clone()],
        );
        Ok(Effect::answer(()).then(insert))
    })
    .await
}

weft_guest::subscription!(handle);
