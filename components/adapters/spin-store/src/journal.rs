//! `weft:durable/journal`. Limits that steps name are not kept here.

use std::rc::Rc;

use adapter_journal::{AttemptResult, Begun, Entered, EventKind, Left, Phase, RetryPolicy, Run, StepOptions};

use crate::SpinStore;
use crate::bell::wakeable;
use crate::bindings::exports::weft::durable::journal as exports;
use crate::bindings::weft::durable::types as wit;
use crate::sagas::{component_of, journal};

/// The run that has this lease.
fn run(lease: wit::Lease) -> Result<Rc<Run>, wit::Error> {
    Ok(journal()?.run(lease)?)
}

impl exports::Guest for SpinStore {
    async fn begin(function: String, key: String, input: Vec<u8>) -> Result<exports::Begun, wit::Error> {
        let (journal, component) = (journal()?, component_of(&function)?);
        Ok(match journal.begin(&component, &function, &key, &input)? {
            Begun::Finished(answer) => exports::Begun::Finished(answer),
            Begun::Busy => exports::Begun::Busy,
            Begun::Run(run) => {
                let (lease, generation, input) = (run.lease(), run.generation(), run.input().to_vec());
                exports::Begun::Run(exports::Running { lease, generation, input })
            }
        })
    }

    async fn load(key: String) -> Result<(String, Vec<u8>), wit::Error> {
        Ok(journal()?.load(&key)?)
    }

    async fn enter(
        lease: wit::Lease,
        name: String,
        phase: wit::Phase,
        options: wit::StepOptions,
    ) -> Result<wit::Entered, wit::Error> {
        let run = run(lease)?;
        Ok(match wakeable(run.enter(&name, phase_of(phase), options_of(&options))).await? {
            Entered::Recorded(recording) => wit::Entered::Recorded(recording.into()),
            Entered::Execute(execution) => {
                // Beside the attempt, after this has answered.
                if let Some(heartbeat) = run.heartbeat() {
                    wit_bindgen::spawn_local(wakeable(heartbeat));
                }
                wit::Entered::Execute(wit::Execution { attempt: execution.attempt, key: execution.key })
            }
        })
    }

    async fn leave(
        lease: wit::Lease,
        name: String,
        phase: wit::Phase,
        result: wit::AttemptResult,
    ) -> Result<wit::Left, wit::Error> {
        let result = match result {
            wit::AttemptResult::Success(answer) => AttemptResult::Success(answer),
            wit::AttemptResult::Error(answer) => AttemptResult::Error(answer),
            wit::AttemptResult::Failed((maybe_ran, retry_after_ms, payload)) => {
                AttemptResult::Failed { maybe_ran, retry_after_ms, payload }
            }
        };
        let run = run(lease)?;
        Ok(match wakeable(run.leave(&name, phase_of(phase), result)).await? {
            Left::Settled(recording) => wit::Left::Settled(recording.into()),
            Left::Again => wit::Left::Again,
        })
    }

    fn seen(lease: wit::Lease, kind: wit::EventKind, name: String) {
        let kind = match kind {
            wit::EventKind::Do => EventKind::Do,
            wit::EventKind::Undo => EventKind::Undo,
            wit::EventKind::Timer => EventKind::Timer,
            wit::EventKind::Signal => EventKind::Signal,
            wit::EventKind::Child => EventKind::Child,
        };
        // A run that has ended tells nothing more.
        if let Ok(run) = run(lease) {
            run.seen(kind, &name);
        }
    }

    fn now(lease: wit::Lease) -> u64 {
        // Code whose run has ended records nothing more, whatever it takes for the time.
        run(lease).map_or(0, |run| run.now_ms())
    }

    async fn sleep(lease: wit::Lease, name: String, duration_ms: u64) -> Result<wit::Recording, wit::Error> {
        let run = run(lease)?;
        Ok(wakeable(run.sleep(&name, duration_ms)).await?.into())
    }

    async fn signal(lease: wit::Lease, name: String, timeout_ms: Option<u64>) -> Result<wit::Recording, wit::Error> {
        let run = run(lease)?;
        Ok(wakeable(run.signal(&name, timeout_ms)).await?.into())
    }

    async fn child(lease: wit::Lease, name: String, key: String) -> Result<wit::Recording, wit::Error> {
        let run = run(lease)?;
        Ok(wakeable(run.child(&name, &key)).await?.into())
    }

    async fn expose(lease: wit::Lease, name: String, value: Vec<u8>) -> Result<(), wit::Error> {
        Ok(run(lease)?.expose(&name, &value)?)
    }

    async fn set_attributes(lease: wit::Lease, attributes: Vec<(String, String)>) -> Result<(), wit::Error> {
        Ok(run(lease)?.set_attributes(attributes)?)
    }

    async fn set_deadline(lease: wit::Lease, after_ms: u64) -> Result<(), wit::Error> {
        Ok(run(lease)?.set_deadline(after_ms)?)
    }

    async fn continue_as_new(lease: wit::Lease, input: Vec<u8>) -> Result<(), wit::Error> {
        let run = run(lease)?;
        Ok(wakeable(run.continue_as_new(&input)).await?)
    }

    async fn finish(lease: wit::Lease, failed: bool, answer: Vec<u8>) -> Result<(), wit::Error> {
        let run = run(lease)?;
        Ok(wakeable(run.finish(failed, &answer)).await?)
    }

    async fn wait(key: String) -> Result<Vec<u8>, wit::Error> {
        let journal = journal()?;
        Ok(wakeable(journal.wait(&key)).await?)
    }
}

fn phase_of(phase: wit::Phase) -> Phase {
    match phase {
        wit::Phase::Do => Phase::Do,
        wit::Phase::Undo => Phase::Undo,
    }
}

fn options_of(options: &wit::StepOptions) -> StepOptions {
    let wit::RetryPolicy { max_attempts, base_ms, factor_percent, cap_ms } = options.retry;
    let retry = RetryPolicy { max_attempts, base_ms, factor_percent, cap_ms };
    StepOptions { timeout_ms: options.timeout_ms, retry, occurrence: options.occurrence }
}
