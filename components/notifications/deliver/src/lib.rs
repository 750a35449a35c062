//! The notifications context's subscription: writes what users are told of the events of other contexts, and takes it back
//! when a saga does. However often an event is delivered, it is written once. Events about one thing come in order, so
//! that nothing is told after it was taken back. Who is connected is told at once as well.

mod live;
mod sms;

use notifications_domain::{Effect as Told, Notification, from_event};
use weft_guest::messaging::{Delivery, Refusal};
use weft_guest::operation::{Effect, operation};
use weft_guest::sql::sql;
use weft_guest::{ids, params};

async fn handle(delivery: Delivery) -> Result<(), Refusal> {
    let Delivery { event, subscription, .. } = delivery;
    let Some(told) = from_event(&event.topic, &event.data).map_err(Refusal::Reject)? else { return Ok(()) };
    let about = event.subject.clone().unwrap_or_default();
    let written: Option<String> = operation(&subscription, &event.id, &event.data, async || {
        let notification = match told.clone() {
            Told::Tell(notification) => notification,
            Told::TakeBack(kind) => {
                let delete = "DELETE FROM notifications_notifications WHERE about = $1 AND kind = $2";
                return Ok(Effect::answer(None).then(sql(delete, params![about, kind])));
            }
        };
        let id = ids::uuid();
        let sent = sms::tell(&event.id, &notification).await?;
        let Notification { audience, kind, title, body } = notification;
        let insert = "INSERT INTO notifications_notifications (id, audience, kind, title, body, about, created_at) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let row = params![&id, audience, kind, title, body, about, event.time.clone()];
        let effect = Effect::answer(Some(id.clone())).then(sql(insert, row));
        Ok::<_, Refusal>(match sent {
            Some(sent) => effect.then(sent.record(&id)),
            None => effect,
        })
    })
    .await?;
    match (written, &told) {
        (Some(id), Told::Tell(notification)) => live::tell(&event.id, &event.time, &id, notification).await,
        _ => Ok(()),
    }
}

weft_guest::subscription!(handle);
