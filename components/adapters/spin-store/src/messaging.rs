//! `weft:messaging/producer`.

use adapter_store::Outgoing;
use adapter_store::bindings::weft::messaging::types::Error;
use adapter_store::bindings::weft::sql::types::OutgoingEvent;

use crate::SpinStore;
use crate::bindings::exports::weft::messaging::producer as wit;
use crate::instance::with;

impl wit::Guest for SpinStore {
    async fn publish(event: wit::Outgoing) -> Result<String, Error> {
        let ids = publish(vec![event])?;
        ids.into_iter().next().ok_or_else(|| Error::Unavailable("the event got no id".to_owned()))
    }

    async fn publish_all(events: Vec<wit::Outgoing>) -> Result<Vec<String>, Error> {
        publish(events)
    }
}

fn publish(events: Vec<wit::Outgoing>) -> Result<Vec<String>, Error> {
    let events: Vec<Outgoing> = events.into_iter().map(outgoing).collect();
    let unavailable = |error| Error::Unavailable(adapter_store::describe(&error));
    with(|store| store.publish(&events)).map_err(unavailable)?
}

fn outgoing(event: wit::Outgoing) -> Outgoing {
    Outgoing {
        id: event.id,
        event: OutgoingEvent {
            topic: event.topic,
            type_: event.type_,
            subject: event.subject,
            ordering_key: event.ordering_key,
            correlation_id: event.correlation_id,
            delay_ms: event.delay_ms,
            ttl_ms: event.ttl_ms,
            priority: event.priority,
            dataschema: event.dataschema,
            data: event.data,
        },
    }
}
