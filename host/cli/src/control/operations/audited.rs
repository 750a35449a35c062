//! What is done to a running host by hand: it is carried through to its end whether or not the client stays, and is in
//! the audit log, with what became of it, before it is answered.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper::StatusCode;

use weft_telemetry::AuditLog;
use weft_telemetry::audit::Action;

use super::super::api::Problem;
use super::super::server::problem;

/// Runs `work` also if nobody waits for it any more.
pub(super) fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> BoxFuture<'static, Result<T, Problem>> {
    let ended = tokio::spawn(work);
    let cut_short = |error: tokio::task::JoinError| problem(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
    async move { ended.await.map_err(cut_short)? }.boxed()
}

/// Writes an action down with what became of it, then answers that.
pub(super) async fn audited<T>(audit: &AuditLog, action: Action, result: Result<T, Problem>) -> Result<T, Problem> {
    let outcome = match &result {
        Ok(_) => "done".to_owned(),
        Err(problem) => format!("refused: {}", problem.detail),
    };
    let (audit, action) = (audit.clone(), Action { outcome, ..action });
    let written = tokio::task::spawn_blocking(move || audit.append(&action)).await;
    let written = written.map_err(|error| error.to_string()).and_then(|done| done.map_err(|error| error.to_string()));
    if let Err(error) = written {
        tracing::error!(error, "the audit log cannot be written");
        let became = if result.is_ok() { "it was done" } else { "it was refused" };
        let text = format!("{became}, but the audit log cannot be written: {error}");
        return Err(problem(StatusCode::SERVICE_UNAVAILABLE, text));
    }
    result
}
