//! The HTTP edge of the house: listeners, a stack that every request goes down (request id, trace, limits, route,
//! token, deadline), and problem details for whatever goes wrong on the way. What stands behind it is a tower service;
//! the gateway knows nothing of components but their names.
//!
//! Start at [`Gateway::serve`]; the stack is in `stack/mod.rs`.

mod auth;
mod body;
mod chained;
mod compressed;
mod connection;
mod conversation;
mod deadline;
mod deployment;
mod door;
mod health;
mod idempotency;
mod limit;
mod listen;
pub mod openapi;
mod overload;
mod policy;
mod problem;
mod push;
mod record;
mod route;
mod server;
mod settings;
mod shared;
mod stack;
mod tls;
mod transform;

pub use auth::{
    ApiKey, ApiKeys, AuthError, AuthSettings, ClaimNames, FetchKeys, Identity, KeyError, KeySet, Policies, RemoteKeys,
    Revocations, TOKEN_BYTES, api_key_hash, is_service, service_subject,
};
pub use body::{Answer, BodyError, BoxError, RequestBody, ResponseBody, full};
pub use chained::chained;
pub use deployment::{ConfigError, Deployment};
pub use health::HealthCheck;
pub use limit::{LimitReport, LimitedCaller};
pub use listen::{BindError, Listeners, bind};
pub use overload::{OverloadClass, OverloadReport, OverloadRoute};
pub use policy::Policy;
pub use problem::Problem;
pub use route::{RouteMatch, RouteTable};
pub use server::{Drained, Gateway};
pub use settings::{About, Limits, Settings};
pub use stack::Upstream;
pub use tls::{CertificateError, Tls};

/// What of a manifest makes no sense to the gateway: schemas, and policies.
#[must_use]
pub fn problems(manifest: &weft_core::manifest::Manifest) -> Vec<weft_core::manifest::Diagnostic> {
    openapi::problems(manifest).into_iter().chain(auth::policies::problems(manifest)).collect()
}
