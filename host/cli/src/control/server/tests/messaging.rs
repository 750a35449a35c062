//! Events and schemas over the real socket.

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use hyper::StatusCode;

use weft_capability::messaging::{DeadLetterFilter, EventFilter, ReadFrom};
use weft_capability::schema::Mode;

use super::super::{DeadLetterAct, MessagingOperations, SchemaOperations, SubscriptionAct, problem};
use super::{Fake, Server};
use crate::control::api::{
    DeadLetterEntry, DeadLetterOrder, Deprecate, EventEntry, EventList, NewEvent, Problem, Publish, Published, Reached,
    RegisterSchema, SchemaEntry, SetMode, SubscriptionEntry, SubscriptionOrder,
};
use crate::control::client::query;
use crate::exit::UsageError;

impl MessagingOperations for Fake {
    fn history(
        &self,
        before: ReadFrom,
        filter: EventFilter,
        limit: usize,
    ) -> BoxFuture<'_, Result<EventList, Problem>> {
        self.note(format!(
            "history before {before:?} of {:?} {limit}",
            filter.topic.map(|topic| topic.as_str().to_owned())
        ));
        Box::pin(async { Ok(EventList { items: Vec::new(), next: 3, end: true }) })
    }

    fn tail(&self, from: ReadFrom, filter: EventFilter) -> BoxStream<'static, EventEntry> {
        self.note(format!("tail from {from:?} of {:?}", filter.kind));
        let entry = |position| EventEntry { position, event: serde_json::json!({ "data": "x".repeat(100_000) }) };
        futures::stream::iter((1..=2).map(entry)).boxed()
    }

    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, Problem>> {
        self.note(format!("publish {} by {}", publish.events.len(), publish.actor));
        Box::pin(async move {
            let ids = publish.events.into_iter().map(|event| event.id.unwrap_or_default()).collect();
            Ok(Published { ids })
        })
    }

    fn subscriptions(&self) -> Vec<SubscriptionEntry> {
        Vec::new()
    }

    fn subscription(&self, act: SubscriptionAct, order: SubscriptionOrder) -> BoxFuture<'_, Result<Reached, Problem>> {
        self.note(format!("{act:?} {} by {}: {}", order.subscription, order.actor, order.reason));
        Box::pin(async { Ok(Reached { count: 1 }) })
    }

    fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetterEntry>, Problem>> {
        self.note(format!("dead letters of {:?} {limit}", filter.subscription));
        Box::pin(async { Ok(Vec::new()) })
    }

    fn dead_letter(&self, id: i64) -> BoxFuture<'_, Result<DeadLetterEntry, Problem>> {
        Box::pin(async move { Err(problem(StatusCode::NOT_FOUND, format!("there is no dead letter {id}"))) })
    }

    fn dead_letter_act(
        &self,
        act: DeadLetterAct,
        actor: String,
        reason: String,
    ) -> BoxFuture<'_, Result<Reached, Problem>> {
        self.note(format!("{act:?} by {actor}: {reason}"));
        Box::pin(async { Ok(Reached { count: 2 }) })
    }
}

impl SchemaOperations for Fake {
    fn list(&self) -> Vec<SchemaEntry> {
        Vec::new()
    }

    fn schema(&self, _kind: &str, version: u32) -> Result<serde_json::Value, Problem> {
        Ok(version.into())
    }

    fn asyncapi(&self) -> serde_json::Value {
        serde_json::json!({ "asyncapi": "3.0.0" })
    }

    fn register(&self, register: RegisterSchema) -> BoxFuture<'_, Result<SchemaEntry, Problem>> {
        Box::pin(async move { Err(problem(StatusCode::CONFLICT, format!("{} may not change so", register.kind))) })
    }

    fn set_mode(&self, set: SetMode) -> BoxFuture<'_, Result<SchemaEntry, Problem>> {
        self.note(format!("{} {}", set.kind, set.mode));
        let (kind, mode) = (set.kind, set.mode);
        let entry =
            SchemaEntry { kind, mode, versions: Vec::new(), deprecated_at_ms: None, deprecated_fields: Vec::new() };
        Box::pin(async { Ok(entry) })
    }

    fn deprecate(&self, deprecate: Deprecate) -> BoxFuture<'_, Result<SchemaEntry, Problem>> {
        Box::pin(async move { Err(problem(StatusCode::NOT_FOUND, deprecate.pointer)) })
    }
}

fn order(id: Option<i64>, data: Option<serde_json::Value>) -> DeadLetterOrder {
    DeadLetterOrder { actor: "ada@local".to_owned(), reason: "why".to_owned(), subscription: None, id, data }
}

#[tokio::test]
async fn events_are_asked_for_and_published() {
    let server = Server::start().await;
    let client = server.client().await;
    let asked = query(&[("topic", Some("order.#".to_owned())), ("before", Some("9".to_owned()))]);
    assert!(client.events(&asked).await.unwrap().end);
    let mut positions = Vec::new();
    let asked = query(&[("from", Some("2026-01-01T00:00:00Z".to_owned())), ("type", Some("T".to_owned()))]);
    let collect = |entry: EventEntry| {
        positions.push(entry.position);
        Ok(())
    };
    client.tail_events(&asked, collect).await.unwrap();
    assert_eq!(positions, [1, 2]);
    let event =
        NewEvent { id: Some("7".to_owned()), topic: "a".to_owned(), kind: "T".to_owned(), ..NewEvent::default() };
    let publish = Publish { actor: "ada@local".to_owned(), events: vec![event] };
    assert_eq!(client.publish(&publish).await.unwrap().ids, ["7"]);
    let expected = [
        "history before Position(9) of Some(\"order.#\") 50",
        "tail from TimeMs(1767225600000) of Some(\"T\")",
        "publish 1 by ada@local",
    ];
    assert_eq!(server.asked(), expected);
    for wrong in ["?topic=a..b", "?limit=0", "?limit=5000"] {
        assert!(client.events(wrong).await.unwrap_err().is::<UsageError>(), "{wrong}");
    }
    let nobody = Publish { actor: String::new(), events: Vec::new() };
    assert!(client.publish(&nobody).await.unwrap_err().is::<UsageError>());
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn subscriptions_and_dead_letters_are_told() {
    let server = Server::start().await;
    let client = server.client().await;
    let to = |to: Option<&str>| SubscriptionOrder {
        actor: "ada@local".to_owned(),
        reason: "why".to_owned(),
        subscription: "a/b".to_owned(),
        to: to.map(ToOwned::to_owned),
    };
    client.order_subscription("pause", &to(None)).await.unwrap();
    client.order_subscription("seek", &to(Some("earliest"))).await.unwrap();
    for (act, wrong) in
        [("seek", to(None)), ("pause", to(Some("latest"))), ("dance", to(None)), ("seek", to(Some("x")))]
    {
        assert!(client.order_subscription(act, &wrong).await.unwrap_err().is::<UsageError>(), "{act}");
    }
    assert_eq!(client.order_dead_letters("replay", &order(Some(7), None)).await.unwrap().count, 2);
    client.order_dead_letters("edit", &order(Some(7), Some(serde_json::json!([1])))).await.unwrap();
    for (act, wrong) in
        [("edit", order(None, None)), ("purge", order(None, Some(1.into()))), ("dance", order(None, None))]
    {
        assert!(client.order_dead_letters(act, &wrong).await.unwrap_err().is::<UsageError>(), "{act}");
    }
    assert_eq!(client.dead_letter(9).await.unwrap_err().to_string(), "there is no dead letter 9");
    let expected = [
        "Pause a/b by ada@local: why",
        "Seek(Earliest) a/b by ada@local: why",
        "Replay(DeadLetterFilter { subscription: None, id: Some(7) }) by ada@local: why",
        "Edit(7, Array [Number(1)]) by ada@local: why",
    ];
    assert_eq!(server.asked(), expected);
}

#[tokio::test]
async fn schemas_are_told() {
    let server = Server::start().await;
    let client = server.client().await;
    let set =
        SetMode { actor: "a".to_owned(), reason: String::new(), kind: "t".to_owned(), mode: Mode::FullTransitive };
    assert_eq!(client.set_schema_mode(&set).await.unwrap().mode, Mode::FullTransitive);
    let register = RegisterSchema {
        actor: "a".to_owned(),
        reason: String::new(),
        kind: "t".to_owned(),
        version: 2,
        schema: true.into(),
    };
    assert_eq!(client.register_schema(&register).await.unwrap_err().to_string(), "t may not change so");
    assert_eq!(server.asked(), ["t FULL_TRANSITIVE"]);
}
