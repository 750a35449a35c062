//! Policy on calls: who may call whom, how long it may take, how many run at once. The mesh implements
//! [`weft_core::Call`] over any [`weft_core::Runner`]; it knows nothing of instances, values or HTTP.

mod bulkhead;
mod call;
mod policy;

pub use bulkhead::{Bulkhead, Permit};
pub use call::{CallStats, Mesh};
pub use policy::CalleePolicy;
