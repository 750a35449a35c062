//! How a running host answers what its control socket is asked about its gateway.

use std::sync::Arc;

use futures::future::BoxFuture;
use hyper::StatusCode;

use weft_core::push::PushStatus;
use weft_telemetry::audit::Action;

use super::super::api::{
    Act, ApiKeyEntry, LimitReport, MadeApiKey, MadeServiceToken, NewApiKey, NewServiceToken, OverloadReport, Problem,
};
use super::super::server::{GatewayOperations, problem};
use super::Running;
use super::audited::{audited, to_its_end};
use crate::api_keys::{ApiKeyError, Keyring};
use crate::assemble;
use crate::host::Host;
use crate::keys;
use crate::service_tokens::{ServiceTokenError, ServiceTokens, Wanted};

impl GatewayOperations for Running {
    fn limits(&self, callers: usize) -> Vec<LimitReport> {
        self.edge.rate_limits(callers)
    }

    fn overload(&self) -> OverloadReport {
        self.edge.overload()
    }

    fn push(&self, entries: usize) -> PushStatus {
        self.host.parts().push.status(entries)
    }

    fn api_keys(&self) -> Result<Vec<ApiKeyEntry>, Problem> {
        Ok(self.keyring()?.list())
    }

    fn create_api_key(&self, wanted: NewApiKey) -> BoxFuture<'_, Result<MadeApiKey, Problem>> {
        let (keyring, audit, host) = (self.keyring(), self.audit.clone(), self.host.clone());
        to_its_end(async move {
            let keyring = keyring?;
            let NewApiKey { actor, reason, name, owner, role, permissions, tier, tenant, expires_in_ms } = wanted;
            let now_ms = host.parts().clock.now_ms();
            let expires_ms = expires_in_ms.map(|ms| now_ms.saturating_add(ms));
            let entry = ApiKeyEntry { name, owner, role, permissions, tier, tenant, expires_ms, ..Default::default() };
            let unknown = {
                let manifest = host.manifest();
                let tiers = &manifest.gateway.rate_limits.tiers;
                entry.tier.clone().filter(|tier| !tiers.contains_key(tier.as_str()))
            };
            let shown = told(&entry);
            let made = match unknown {
                Some(tier) => Err(ApiKeyError::Invalid(format!("the manifest has no tier {tier:?}"))),
                None => keyring.create(entry, now_ms).await,
            };
            let detail = match &made {
                Ok((entry, _)) => format!("{} {shown}", entry.id),
                Err(_) => shown,
            };
            let action = Action { actor, action: "create api key".to_owned(), detail, reason, ..Action::default() };
            let (entry, key) = audited(&audit, action, made.map_err(|error| explained(&error))).await?;
            Ok(MadeApiKey { key, entry })
        })
    }

    fn revoke_api_key(&self, id: String, revoke: Act) -> BoxFuture<'_, Result<ApiKeyEntry, Problem>> {
        let (keyring, audit) = (self.keyring(), self.audit.clone());
        to_its_end(async move {
            let Act { actor, reason } = revoke;
            let revoked = keyring?.revoke(&id).await;
            let detail = revoked.as_ref().map_or_else(|_| id.clone(), |entry| format!("{id} {}", told(entry)));
            let action = Action { actor, action: "revoke api key".to_owned(), detail, reason, ..Action::default() };
            audited(&audit, action, revoked.map_err(|error| explained(&error))).await
        })
    }

    fn create_service_token(&self, wanted: NewServiceToken) -> BoxFuture<'_, Result<MadeServiceToken, Problem>> {
        let (host, audit) = (self.host.clone(), self.audit.clone());
        to_its_end(async move {
            let NewServiceToken { actor, reason, service, permissions, expires_in_ms } = wanted;
            let detail = format!("{service:?}, permissions {permissions:?}");
            let wanted = Wanted { service, permissions, expires_in_ms };
            let made = made(host, wanted).await;
            let action =
                Action { actor, action: "create service token".to_owned(), detail, reason, ..Action::default() };
            let (token, expires_s) = audited(&audit, action, made.map_err(|error| token_explained(&error))).await?;
            Ok(MadeServiceToken { token, expires_ms: expires_s.saturating_mul(1000) })
        })
    }

    fn void_service_tokens(&self, service: String, void: Act) -> BoxFuture<'_, Result<(), Problem>> {
        let (host, audit) = (self.host.clone(), self.audit.clone());
        to_its_end(async move {
            let Act { actor, reason } = void;
            let voided = match tokens(&host) {
                Ok(tokens) => tokens.void(&service, host.parts().clock.now_ms()).await,
                Err(error) => Err(error),
            };
            let detail = format!("{service:?}");
            let action =
                Action { actor, action: "void service tokens".to_owned(), detail, reason, ..Action::default() };
            audited(&audit, action, voided.map_err(|error| token_explained(&error))).await
        })
    }
}

fn tokens(host: &Host) -> Result<ServiceTokens, ServiceTokenError> {
    let none = "the application takes no tokens: it has no [application.tool.weft.auth]";
    let auth = host.manifest().auth.clone().ok_or_else(|| ServiceTokenError::Unavailable(none.to_owned()))?;
    Ok(ServiceTokens { auth, store: host.parts().key_value.clone() })
}

async fn made(host: Arc<Host>, wanted: Wanted) -> Result<(String, u64), ServiceTokenError> {
    let tokens = tokens(&host)?;
    let now_ms = host.parts().clock.now_ms();
    // Which reads files.
    let variables = tokio::task::spawn_blocking(move || keys::resolve(&host.manifest(), &host.parts().place)).await;
    let variables = variables.map_err(|error| ServiceTokenError::Unavailable(error.to_string()))?;
    let variables =
        variables.map_err(|errors| ServiceTokenError::Unavailable(assemble::refused(errors).to_string()))?;
    tokens.make(&wanted, &variables, now_ms).await
}

impl Running {
    fn keyring(&self) -> Result<Arc<Keyring>, Problem> {
        let none = "the application takes no API keys: [application.tool.weft.auth] has no api_keys = true";
        self.api_keys.load_full().ok_or_else(|| problem(StatusCode::CONFLICT, none))
    }
}

/// What the audit log says of a key.
fn told(entry: &ApiKeyEntry) -> String {
    let ApiKeyEntry { name, owner, role, permissions, tier, .. } = entry;
    let tier = tier.as_deref().unwrap_or_default();
    format!("{name:?} of {owner:?}, role {role:?}, permissions {permissions:?}, tier {tier:?}")
}

fn token_explained(error: &ServiceTokenError) -> Problem {
    let status = match error {
        ServiceTokenError::Invalid(_) => StatusCode::BAD_REQUEST,
        ServiceTokenError::Unavailable(_) => StatusCode::CONFLICT,
        ServiceTokenError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    problem(status, error.to_string())
}

fn explained(error: &ApiKeyError) -> Problem {
    let status = match error {
        ApiKeyError::Invalid(_) => StatusCode::BAD_REQUEST,
        ApiKeyError::TooMany => StatusCode::CONFLICT,
        ApiKeyError::Unknown(_) => StatusCode::NOT_FOUND,
        ApiKeyError::Random(_) | ApiKeyError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    problem(status, error.to_string())
}
