//! The HTTP edge of the house: a listener, a stack that every request goes down (request id, trace, limits, route,
//! token, deadline), and problem details for whatever goes wrong on the way. What stands behind it is a tower service;
//! the gateway knows nothing of components but their names.
//!
//! Start at [`Gateway::serve`]; the stack is in `stack/mod.rs`.

mod auth;
mod body;
mod chained;
mod connection;
mod deadline;
mod health;
mod limit;
mod problem;
mod record;
mod route;
mod server;
mod settings;
mod shared;
mod stack;

pub use auth::{
    ApiKey, ApiKeys, AuthError, AuthSettings, ClaimNames, Identity, KeyError, KeySet, Revocations, api_key_hash,
};
pub use body::{Answer, BodyError, BoxError, RequestBody, ResponseBody, full};
pub use chained::chained;
pub use health::HealthCheck;
pub use limit::{LimitReport, LimitedCaller};
pub use problem::Problem;
pub use route::{RouteMatch, RouteTable};
pub use server::{BindError, ConfigError, Drained, Gateway, bind};
pub use settings::{About, Limits, Settings};
pub use stack::Upstream;
