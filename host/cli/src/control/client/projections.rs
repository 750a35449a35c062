//! What the client asks about projections.

use hyper::Method;

use super::super::api::{ProjectionEntry, ProjectionOrder};
use super::{ANSWER_TIMEOUT, Client, escaped_id};

impl Client {
    /// How all projections stand, by id.
    ///
    /// # Errors
    /// If the host does not answer.
    pub async fn projections(&self) -> anyhow::Result<Vec<ProjectionEntry>> {
        self.get("/v1/projections").await
    }

    /// Does something to a projection: `pause`, `resume`, `rebuild` or `abandon`. Answers how it stands then.
    ///
    /// # Errors
    /// If there is none, it refuses, or no answer.
    pub async fn order_projection(
        &self,
        id: &str,
        order: &str,
        ordered: &ProjectionOrder,
    ) -> anyhow::Result<ProjectionEntry> {
        let path = format!("/v1/projections/{}/{order}", escaped_id(id));
        self.exchange(Method::POST, &path, serde_json::to_vec(ordered)?, ANSWER_TIMEOUT).await
    }
}
