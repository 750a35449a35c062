//! What the manifest says about calls to one function.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Policy on calls to one function.
#[derive(Clone, Debug)]
pub struct CalleePolicy {
    /// The function's id in the manifest.
    pub component: Arc<str>,
    /// Functions that may call it. The gateway, subscriptions, recovery and operators are not callers in this sense.
    pub callers: BTreeSet<Arc<str>>,
    /// How long a call may take where the caller has no step open (default 10 s). A shorter remaining deadline of the
    /// caller wins.
    pub deadline: Duration,
    /// Calls that run at the same time (default 100).
    pub max_concurrent: usize,
    /// Calls that wait for one of those to end (default 100). Past it a call fails at once.
    pub max_pending: usize,
    /// Whether a call goes on when its caller gives up.
    pub durable: bool,
}
