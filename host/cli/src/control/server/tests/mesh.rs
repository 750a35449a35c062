//! What is asked of the mesh.

use weft_mesh::BreakerOrder;

use super::*;
use crate::control::api::{Act, AddFault, BreakerChange, BreakerEntry, Cleared, FaultEntry, PolicyEntry};

impl MeshOperations for Fake {
    fn breakers(&self) -> Vec<BreakerEntry> {
        Vec::new()
    }

    fn policies(&self) -> Vec<PolicyEntry> {
        Vec::new()
    }

    fn breaker_changes(&self) -> BoxStream<'static, BreakerChange> {
        let text = |text: &str| text.to_owned();
        let change =
            BreakerChange { time_ms: 1, component: text("courses-seats"), from: text("closed"), to: text("open") };
        futures::stream::iter([change]).boxed()
    }

    fn order_breaker(&self, component: String, order: BreakerOrder, act: Act) -> BoxFuture<'_, Result<(), Problem>> {
        self.note(format!("{order:?} {component} by {}", act.actor));
        Box::pin(async { Ok(()) })
    }

    fn faults(&self) -> Vec<FaultEntry> {
        Vec::new()
    }

    fn add_fault(&self, add: AddFault) -> BoxFuture<'_, Result<(), Problem>> {
        self.note(format!("{:?}", add.fault.rule()));
        Box::pin(async { Ok(()) })
    }

    fn clear_faults(&self, act: Act) -> BoxFuture<'_, Result<Cleared, Problem>> {
        self.note(format!("clear by {}", act.actor));
        Box::pin(async { Ok(Cleared { cleared: 2 }) })
    }
}

#[tokio::test]
async fn breakers_are_ordered_by_component() {
    let server = Server::start().await;
    let client = server.client().await;
    assert!(client.breakers().await.unwrap().is_empty() && client.policies().await.unwrap().is_empty());
    let mut changes = Vec::new();
    let take = |change: BreakerChange| {
        changes.push(change.to);
        Ok(())
    };
    client.watch_breakers(take).await.unwrap();
    assert_eq!(changes, ["open"]);
    let act = Act { actor: "ada@local".to_owned(), reason: String::new() };
    client.order_breaker("courses-seats", "open", &act).await.unwrap();
    assert_eq!(*server.asked(), ["Open courses-seats by ada@local"]);
    let error = client.order_breaker("courses-seats", "polish", &act).await.unwrap_err();
    assert!(error.to_string().contains("there are open, close and reset"), "{error}");
    let nobody = Act { actor: String::new(), ..act };
    assert!(client.order_breaker("c", "open", &nobody).await.unwrap_err().to_string().contains("actor"));
    assert!(server.asked().is_empty(), "what is refused is not asked");
}

#[tokio::test]
async fn faults_that_make_no_sense_are_refused() {
    let server = Server::start().await;
    let client = server.client().await;
    let add = |fault| AddFault { actor: "ada@local".to_owned(), reason: String::new(), fault };
    let fault = FaultEntry { percent: 10, delay_ms: Some(200), ..FaultEntry::default() };
    client.add_fault(&add(fault.clone())).await.unwrap();
    assert_eq!(server.asked().len(), 1);
    for (wrong, says) in [
        (FaultEntry { percent: 0, ..fault.clone() }, "between 1 and 100"),
        (FaultEntry { delay_ms: Some(0), ..fault.clone() }, "milliseconds"),
        (FaultEntry { delay_ms: None, ..fault.clone() }, "delays calls or makes them fail"),
        (FaultEntry { abort: Some("explode".to_owned()), ..fault }, "there are unavailable"),
    ] {
        let error = client.add_fault(&add(wrong)).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    assert!(server.asked().is_empty(), "what is refused is not asked");
    let act = Act { actor: "ada@local".to_owned(), reason: String::new() };
    assert_eq!(client.clear_faults(&act).await.unwrap().cleared, 2);
}
