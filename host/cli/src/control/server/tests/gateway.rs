//! Rate limits and API keys over the socket.

use weft_core::push::PushStatus;

use super::*;
use crate::control::api::{
    Act, ApiKeyEntry, LimitReport, MadeApiKey, MadeServiceToken, NewApiKey, NewServiceToken, OverloadReport,
};

impl GatewayOperations for Fake {
    fn limits(&self, callers: usize) -> Vec<LimitReport> {
        self.note(format!("limits {callers}"));
        Vec::new()
    }

    fn overload(&self) -> OverloadReport {
        let (classes, routes) = (Vec::new(), Vec::new());
        let (min, max, running, waiting, ratio_percent) = (10, 1_000, 3, 2, 120);
        OverloadReport { enabled: true, limit: 50, min, max, running, waiting, ratio_percent, classes, routes }
    }

    fn push(&self, entries: usize) -> PushStatus {
        self.note(format!("push {entries}"));
        PushStatus::default()
    }

    fn api_keys(&self) -> Result<Vec<ApiKeyEntry>, Problem> {
        Err(problem(StatusCode::CONFLICT, "the application takes no API keys"))
    }

    fn create_api_key(&self, wanted: NewApiKey) -> BoxFuture<'_, Result<MadeApiKey, Problem>> {
        self.note(format!("key of {} by {}", wanted.owner, wanted.actor));
        let entry = ApiKeyEntry { id: "k1".to_owned(), owner: wanted.owner, ..ApiKeyEntry::default() };
        Box::pin(async { Ok(MadeApiKey { key: "weft_x".to_owned(), entry }) })
    }

    fn revoke_api_key(&self, id: String, revoke: Act) -> BoxFuture<'_, Result<ApiKeyEntry, Problem>> {
        self.note(format!("revoke {id} by {}", revoke.actor));
        Box::pin(async { Ok(ApiKeyEntry::default()) })
    }

    fn create_service_token(&self, wanted: NewServiceToken) -> BoxFuture<'_, Result<MadeServiceToken, Problem>> {
        self.note(format!("token of {} by {}", wanted.service, wanted.actor));
        let expires_ms = wanted.expires_in_ms.unwrap_or_default();
        Box::pin(async move { Ok(MadeServiceToken { token: wanted.service, expires_ms }) })
    }

    fn void_service_tokens(&self, service: String, void: Act) -> BoxFuture<'_, Result<(), Problem>> {
        self.note(format!("void {service} by {}", void.actor));
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn limits_and_keys_are_asked_for_and_keys_made_and_ended() {
    let server = Server::start().await;
    let client = server.client().await;
    client.limits(7).await.unwrap();
    assert_eq!(client.overload().await.unwrap().limit, 50);
    client.push(3).await.unwrap();
    let none = client.api_keys().await.unwrap_err();
    assert_eq!(none.to_string(), "the application takes no API keys");
    let mut wanted = NewApiKey {
        actor: "ada@local".to_owned(),
        reason: String::new(),
        name: String::new(),
        owner: "u1".to_owned(),
        role: String::new(),
        permissions: Vec::new(),
        tier: None,
        tenant: None,
        expires_in_ms: None,
    };
    let made = client.create_api_key(&wanted).await.unwrap();
    assert_eq!((made.key.as_str(), made.entry.owner.as_str()), ("weft_x", "u1"));
    let mut revoke = Act { actor: "ada@local".to_owned(), reason: String::new() };
    client.revoke_api_key("k/1", &revoke).await.unwrap();
    assert_eq!(server.asked(), ["limits 7", "push 3", "key of u1 by ada@local", "revoke k/1 by ada@local"]);
    // Whoever does it has to say who they are.
    (wanted.actor, revoke.actor) = (String::new(), String::new());
    assert!(client.create_api_key(&wanted).await.err().is_some_and(|error| error.is::<UsageError>()));
    assert!(client.revoke_api_key("k", &revoke).await.unwrap_err().is::<UsageError>());
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn tokens_of_services_are_made_and_voided() {
    let server = Server::start().await;
    let client = server.client().await;
    let mut wanted = NewServiceToken {
        actor: "ada@local".to_owned(),
        reason: String::new(),
        service: "grading".to_owned(),
        permissions: Vec::new(),
        expires_in_ms: Some(5_000),
    };
    let made = client.create_service_token(&wanted).await.unwrap();
    assert_eq!((made.token.as_str(), made.expires_ms), ("grading", 5_000));
    let mut void = Act { actor: "ada@local".to_owned(), reason: String::new() };
    client.void_service_tokens("a/b", &void).await.unwrap();
    assert_eq!(server.asked(), ["token of grading by ada@local", "void a/b by ada@local"]);
    (wanted.actor, void.actor) = (String::new(), String::new());
    assert!(client.create_service_token(&wanted).await.err().is_some_and(|error| error.is::<UsageError>()));
    assert!(client.void_service_tokens("grading", &void).await.unwrap_err().is::<UsageError>());
    assert_eq!(server.asked(), Vec::<String>::new());
}
