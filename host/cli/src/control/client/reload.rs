//! What the client asks about the manifest that runs.

use std::time::Duration;

use anyhow::Context as _;
use hyper::{Method, StatusCode};

use super::super::api::{Act, Problem, Reloaded};
use super::{Client, ok, whole};

/// How long a reload may take: it compiles what is new.
const RELOAD_TIMEOUT: Duration = Duration::from_mins(10);

impl Client {
    /// Has the host take up its manifest as the file is now; answers the problem if it is refused.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn reload(&self, act: &Act) -> anyhow::Result<Result<Reloaded, Problem>> {
        let exchange = async {
            let response = self.send(Method::POST, "/v1/reload", serde_json::to_vec(act)?).await?;
            let is_refused = response.status() == StatusCode::UNPROCESSABLE_ENTITY;
            let bytes = if is_refused { whole(response).await? } else { whole(ok(response).await?).await? };
            let answer = if is_refused {
                serde_json::from_slice(&bytes).map(Err)
            } else {
                serde_json::from_slice(&bytes).map(Ok)
            };
            answer.context("the host's answer is not understood; is it of another version?")
        };
        self.within(RELOAD_TIMEOUT, exchange).await
    }
}
