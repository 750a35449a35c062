//! What is asked of the registry.

use std::time::Duration;

use weft_mesh::InstanceFilter;

use super::*;
use crate::control::api::{Act, InstanceEntry, RegisterInstance, ServiceDetail, ServiceList};

impl ServiceOperations for Fake {
    fn list(&self, since: Option<Since>) -> BoxFuture<'_, Result<ServiceList, Problem>> {
        self.note(format!("list {since:?}"));
        Box::pin(async { Ok(ServiceList { index: 7, services: Vec::new() }) })
    }

    fn discover(
        &self,
        name: String,
        filter: InstanceFilter,
        since: Option<Since>,
    ) -> BoxFuture<'_, Result<ServiceDetail, Problem>> {
        self.note(format!("{name} {:?} {:?} {} {}", filter.version, filter.tags, filter.healthy, since.is_some()));
        Box::pin(async { Ok(ServiceDetail { name, kind: "service".to_owned(), index: 7, instances: Vec::new() }) })
    }

    fn register(&self, name: String, register: RegisterInstance) -> BoxFuture<'_, Result<InstanceEntry, Problem>> {
        self.note(format!("register {} at {name} by {}", register.address, register.actor));
        Box::pin(async { Ok(InstanceEntry::default()) })
    }

    fn deregister(&self, name: String, id: String, act: Act) -> BoxFuture<'_, Result<(), Problem>> {
        self.note(format!("deregister {id} of {name} by {}", act.actor));
        Box::pin(async { Ok(()) })
    }

    fn renew(&self, name: String, id: String) -> BoxFuture<'_, Result<(), Problem>> {
        self.note(format!("renew {id} of {name}"));
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn instances_are_registered_and_found() {
    let server = Server::start().await;
    let client = server.client().await;
    let register: RegisterInstance =
        serde_json::from_str(r#"{ "actor": "ada", "address": "http://10.0.0.1:8080" }"#).unwrap();
    client.register_instance("pay", &register).await.unwrap();
    client.renew_instance("pay", "10.0.0.1:8080").await.unwrap();
    let act = Act { actor: "ada".to_owned(), reason: String::new() };
    client.deregister_instance("pay", "10.0.0.1:8080", &act).await.unwrap();
    let tags = ["eu".to_owned(), "large".to_owned()];
    let since = Some((6, Duration::from_secs(1)));
    assert_eq!(client.service("pay", Some("1.0.0"), &tags, true, since).await.unwrap().index, 7);
    assert_eq!(client.services(None).await.unwrap().index, 7);
    let expected = [
        "register http://10.0.0.1:8080 at pay by ada",
        "renew 10.0.0.1:8080 of pay",
        "deregister 10.0.0.1:8080 of pay by ada",
        "pay Some(\"1.0.0\") [\"eu\", \"large\"] true true",
        "list None",
    ];
    assert_eq!(*server.asked(), expected);
}

#[tokio::test]
async fn what_makes_no_sense_is_not_asked() {
    let server = Server::start().await;
    let client = server.client().await;
    let register: RegisterInstance = serde_json::from_str(r#"{ "actor": "ada", "address": "10.0.0.1" }"#).unwrap();
    assert!(client.register_instance("pay", &register).await.unwrap_err().to_string().contains("no address"));
    let nobody = RegisterInstance { actor: String::new(), address: "http://a".to_owned(), ..register };
    assert!(client.register_instance("pay", &nobody).await.unwrap_err().to_string().contains("actor"));
    let for_ever = Some((1, Duration::from_hours(1)));
    assert!(client.services(for_ever).await.unwrap_err().to_string().contains("wait_ms"));
    assert!(server.asked().is_empty());
}
