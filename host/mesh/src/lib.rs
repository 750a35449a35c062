//! Policy on calls: who may call what, for how long, how many at a time, what becomes of calls that fail and of callees that
//! fail too often. Knows neither values nor instances.

mod breaker;
mod bulkhead;
mod call;
mod callee;
mod canary;
mod faults;
mod mirror;
mod policy;
mod retry;
mod versions;
mod window;

pub use breaker::{BreakerState, BreakerView};
pub use bulkhead::{Bulkhead, Permit};
pub use call::{Asked, Mesh, OrderError};
pub use callee::{BreakerOrder, CalleeView, Passage};
pub use canary::{CanaryPlan, Judgement, judge};
pub use faults::{Random, TooManyFaults};
pub use mirror::{MAX_MIRRORED, Mirror, MirrorView};
pub use policy::{BreakerPolicy, CalleePolicy, FailurePolicy, RetryPolicy};
pub use versions::{Chosen, Sample, Share, Split, WHOLE};
