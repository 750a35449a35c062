//! Asks the instances of services whether they are there. When each is asked, and what follows from its answer, is up to the registry.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use weft_capability::outbound::{Destination, Outbound};
use weft_mesh::Check;

use super::{ExternalServices, Inner, requests};

/// Instances that are asked at the same time.
const MAX_CHECKS: usize = 64;
/// So much of an answer is read, so that its connection can be used again.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// How long nothing is looked at if there is nothing to look at, and nothing changes.
const LONG: Duration = Duration::from_hours(1);
/// Between two looks at least: many small times are met together.
const SHORT: Duration = Duration::from_millis(10);

impl ExternalServices {
    /// Asks instances, and takes those out that are given up, for as long as it is polled.
    pub async fn check_instances(&self) {
        let (registry, inner) = (self.inner.mesh.registry(), &self.inner);
        let places = Arc::new(Semaphore::new(MAX_CHECKS));
        let mut under_way = JoinSet::new();
        loop {
            // Before what there is to do is looked at, so that no change is missed.
            let index = registry.index();
            for check in registry.due() {
                let (inner, places) = (inner.clone(), places.clone());
                under_way.spawn(async move {
                    // The semaphore is never closed; without a place it is asked all the same.
                    let _place = places.acquire_owned().await;
                    let found = inner.ask(&check).await;
                    inner.mesh.registry().checked(&check, found);
                });
            }
            if registry.sweep()
                && let Err(error) = self.keep_what_there_is().await
            {
                tracing::error!(%error, "an instance that was given up comes back with the next start");
            }
            let idle = registry.idle_for().unwrap_or(LONG).max(SHORT);
            tokio::select! {
                // Fails for services alone, and none is named.
                _ = registry.changed(None, index, idle) => {}
                Some(_) = under_way.join_next() => {}
            }
        }
    }
}

impl Inner {
    /// Whether an instance is there, or why it seems not to be.
    async fn ask(&self, check: &Check) -> Result<(), String> {
        let client = self.client(check.service(), check.may_be_private()).map_err(|error| error.to_string())?;
        let time = Duration::from_millis(check.policy().timeout_ms.into());
        let asked = async {
            match &check.policy().path {
                Some(path) => get(&client, check, path, time).await,
                None => connect(&client, check).await,
            }
        };
        tokio::select! {
            found = asked => found,
            () = self.clock.sleep(time) => Err(format!("no answer within {} ms", time.as_millis())),
        }
    }
}

async fn connect(client: &Outbound, check: &Check) -> Result<(), String> {
    let address = &check.instance.address;
    let to = Destination::new(address.scheme(), address.host(), address.port());
    client.dialer().tcp(&to).await.map(drop).map_err(|error| error.to_string())
}

async fn get(client: &Outbound, check: &Check, path: &str, time: Duration) -> Result<(), String> {
    let target: Uri = path.parse().map_err(|_| format!("{path} is no path"))?;
    let uri = requests::at(&check.instance.address, &target).ok_or_else(|| format!("{path} is no path"))?;
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = Request::get(uri).header(http::header::USER_AGENT, "weft-health").body(body);
    let request = request.map_err(|error| error.to_string())?;
    let response = client.forward(request, time).await.map_err(|error| error.to_string())?;
    let status = response.status();
    // The status is the answer; a longer body costs its connection and no more.
    let _ = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    if status.is_success() { Ok(()) } else { Err(format!("it answers {}", status.as_u16())) }
}
