//! The words of the saga engine in the types of the WIT interfaces, and back.

use weft_durable::SagaError;

use super::wit;

impl From<SagaError> for wit::Error {
    fn from(error: SagaError) -> Self {
        match error {
            SagaError::KeyReused => Self::KeyReused,
            SagaError::NotFound => Self::NotFound,
            SagaError::LeaseLost => Self::LeaseLost,
            SagaError::Mismatch(text) => Self::Mismatch(text),
            SagaError::TooLarge(text) => Self::TooLarge(text),
            SagaError::Conflict(text) => Self::Conflict(text),
            SagaError::Unavailable(text) => Self::Unavailable(text),
        }
    }
}

impl From<wit::Phase> for weft_durable::Phase {
    fn from(phase: wit::Phase) -> Self {
        match phase {
            wit::Phase::Do => Self::Do,
            wit::Phase::Undo => Self::Undo,
        }
    }
}

impl From<weft_durable::Phase> for wit::Phase {
    fn from(phase: weft_durable::Phase) -> Self {
        match phase {
            weft_durable::Phase::Do => Self::Do,
            weft_durable::Phase::Undo => Self::Undo,
        }
    }
}

impl From<wit::StepOptions> for weft_durable::StepOptions {
    fn from(options: wit::StepOptions) -> Self {
        let wit::RetryPolicy { max_attempts, base_ms, factor_percent, cap_ms } = options.retry;
        let retry = weft_durable::RetryPolicy { max_attempts, base_ms, factor_percent, cap_ms };
        let limit = |used: wit::LimitUse| weft_durable::LimitUse { name: used.name, key: used.key };
        Self {
            timeout_ms: options.timeout_ms,
            retry,
            limits: options.limits.into_iter().map(limit).collect(),
            occurrence: options.occurrence,
        }
    }
}

impl From<wit::AttemptResult> for weft_durable::AttemptResult {
    fn from(result: wit::AttemptResult) -> Self {
        match result {
            wit::AttemptResult::Success(payload) => Self::Success(payload),
            wit::AttemptResult::Error(payload) => Self::Error(payload),
            wit::AttemptResult::Failed((maybe_ran, retry_after_ms, payload)) => {
                Self::Failed { maybe_ran, retry_after_ms, payload }
            }
        }
    }
}

impl From<weft_durable::Recording> for wit::Recording {
    fn from(recording: weft_durable::Recording) -> Self {
        let outcome = match recording.outcome {
            weft_durable::Outcome::Success => wit::Outcome::Success,
            weft_durable::Outcome::Error => wit::Outcome::Error,
            weft_durable::Outcome::Unknown => wit::Outcome::Unknown,
        };
        let weft_durable::Recording { payload, at_ms, cancelled, .. } = recording;
        Self { outcome, payload, at_ms, cancelled }
    }
}

impl From<weft_durable::Status> for wit::Status {
    fn from(status: weft_durable::Status) -> Self {
        match status {
            weft_durable::Status::Running => Self::Running,
            weft_durable::Status::Paused => Self::Paused,
            weft_durable::Status::Completed => Self::Completed,
            weft_durable::Status::Compensating => Self::Compensating,
            weft_durable::Status::Compensated => Self::Compensated,
            weft_durable::Status::NeedsAttention => Self::NeedsAttention,
        }
    }
}

impl From<weft_durable::SagaView> for wit::SagaView {
    fn from(view: weft_durable::SagaView) -> Self {
        Self {
            key: view.key,
            name: view.name,
            status: view.status.into(),
            correlation_id: view.correlation_id,
            input: view.input,
            result: view.result,
            error: view.error,
            started_at_ms: view.started_at_ms,
            ended_at_ms: view.ended_at_ms,
            attributes: view.attributes,
            steps: view.steps.into_iter().map(wit::StepView::from).collect(),
        }
    }
}

impl From<weft_durable::StepView> for wit::StepView {
    fn from(step: weft_durable::StepView) -> Self {
        Self {
            name: step.name,
            phase: step.phase.into(),
            status: step.status.to_owned(),
            attempts: step.attempts,
            started_at_ms: step.started_at_ms,
            ended_at_ms: step.ended_at_ms,
            error: step.error,
        }
    }
}

impl From<wit::EventKind> for weft_durable::EventKind {
    fn from(kind: wit::EventKind) -> Self {
        match kind {
            wit::EventKind::Do => Self::Do,
            wit::EventKind::Undo => Self::Undo,
            wit::EventKind::Timer => Self::Timer,
            wit::EventKind::Signal => Self::Signal,
            wit::EventKind::Child => Self::Child,
        }
    }
}
