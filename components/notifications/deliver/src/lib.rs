//! The notifications context's subscription: writes what users are told of the events of other contexts, and takes it back
//! when a saga does. However often an event is delivered, it is written once. Events about one thing come in order, so
//! that nothing is told after it was taken back.

use notifications_domain::{Effect as Told, Notification, from_event};
use weft_guest::messaging::{Delivery, Refusal};
use weft_guest::operation::{Effect, operation};
use weft_guest::sql::sql;
use weft_guest::{ids, params};

async fn handle(delivery: Delivery) -> Result<(), Refusal> {
    let Delivery { event, subscription, .. } = delivery;
    let Some(told) = from_event(&event.topic, &event.data).map_err(Refusal::Reject)? else { return Ok(()) };
    let about = event.subject.clone().unwrap_or_default();
    operation(&subscription, &event.id, &event.data, async || {
        let statement = match told {
            Told::Tell(Notification { audience, kind, title, body }) => sql(
                "INSERT INTO notifications_notifications (id, audience, kind, title, body, about, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
                params![ids::uuid(), audience, kind, title, body, about, event.time.clone()],
            ),
            Told::TakeBack(kind) => {
                sql("DELETE FROM notifications_notifications WHERE about = $1 AND kind = $2", params![about, kind])
            }
        };
        Ok(Effect::answer(()).then(statement))
    })
    .await
}

weft_guest::subscription!(handle);
