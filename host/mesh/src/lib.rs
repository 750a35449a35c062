//! Policy on calls: who may call what, for how long, how many at a time, what becomes of calls that fail and of callees that
//! fail too often; which instance of a service is asked, and which instances there are. Knows neither values nor instances of functions, nor
//! a network.

mod attempts;
mod balance;
mod breaker;
mod bulkhead;
mod call;
mod callee;
mod canary;
mod faults;
mod functions;
mod health;
mod mirror;
mod outlier;
mod policy;
mod pool;
mod registry;
mod retry;
mod service;
mod versions;
mod window;

pub use attempts::Failing;
pub use breaker::{BreakerState, BreakerView};
pub use bulkhead::{Bulkhead, Permit};
pub use call::{Asked, CalleeSet, Mesh, OrderError};
pub use callee::{BreakerEvent, BreakerOrder, CalleeDetail, CalleeView, Passage};
pub use canary::{CanaryPlan, Judgement, judge};
pub use faults::{Random, TooManyFaults};
pub use functions::{FunctionVersion, FunctionView};
pub use health::HealthState;
pub use mirror::{MAX_MIRRORED, Mirror, MirrorView};
pub use policy::{BreakerPolicy, CalleePolicy, FailurePolicy, Kind, Policies, RetryPolicy, ServicePolicy};
pub use pool::{Instance, InstanceView};
pub use registry::{Check, InstanceFilter, Registry, RegistryError, ServiceView};
pub use service::{Ask, Destination, Serving};
pub use versions::{Chosen, Sample, Share, Split, WHOLE};
