//! A version that is tried on a growing share of calls: where it stands, and the task that looks at it every second and carries it on,
//! to all calls or back to none. The judgement is the mesh's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use weft_mesh::{CanaryPlan, Judgement, Sample, judge};
use weft_telemetry::AuditLog;
use weft_telemetry::audit::Action;

use super::{Version, VersionError, give};
use crate::host::Host;

/// How often a canary is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// In whose name it is carried on.
const ACTOR: &str = "weft";

/// How a version is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// The shares that it has one after the other, of [`weft_mesh::WHOLE`].
    pub steps: Vec<u32>,
    /// Calls that each of the two versions has to have had in a step.
    pub min_calls: u64,
    /// How long a step lasts at least, in milliseconds.
    pub step_ms: u64,
    /// Its 95th percentile may be so many hundredths of the other version's.
    pub max_latency_percent: u64,
    /// Which of the steps it is at.
    pub step: usize,
    /// What became of it.
    pub state: State,
}

/// What became of a canary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is", content = "why")]
pub enum State {
    /// It goes on.
    Running,
    /// The version serves all calls.
    Promoted,
    /// It serves none, and why.
    Aborted(String),
}

impl State {
    /// As it is shown.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Promoted => "promoted",
            Self::Aborted(_) => "aborted",
        }
    }
}

impl Canary {
    /// Whether it goes on.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }

    fn plan(&self) -> CanaryPlan {
        CanaryPlan {
            steps: self.steps.clone(),
            min_calls: self.min_calls,
            min_time: Duration::from_millis(self.step_ms),
            max_latency_percent: self.max_latency_percent,
        }
    }
}

/// When the step of a canary began, and what both versions had done until then. After a restart the step begins anew.
struct Step {
    digest: Arc<str>,
    step: usize,
    since: Duration,
    old: Sample,
    new: Sample,
}

/// Carries canaries on until `stop`.
pub async fn run(host: Arc<Host>, audit: AuditLog, stop: CancellationToken) {
    let mut steps: HashMap<Arc<str>, Step> = HashMap::new();
    loop {
        tokio::select! {
            () = host.parts().clock.sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
        for version in host.versions().all() {
            if version.canary.as_ref().is_some_and(Canary::is_running) {
                look(&host, &audit, &version, &mut steps).await;
            }
        }
    }
}

async fn look(host: &Arc<Host>, audit: &AuditLog, version: &Version, steps: &mut HashMap<Arc<str>, Step>) {
    let Some(canary) = &version.canary else { return };
    let samples = host.parts().mesh.versions(&version.component);
    let of = |name: &str| samples.iter().find(|(known, _)| **known == *name).map(|(_, sample)| sample.clone());
    let (Some(old), Some(new)) = (of(&version.component), of(&version.function())) else { return };
    let now = host.parts().clock.monotonic();
    let is_same = |step: &Step| step.digest == version.digest && step.step == canary.step;
    if !steps.get(&version.component).is_some_and(is_same) {
        let step = Step { digest: version.digest.clone(), step: canary.step, since: now, old, new };
        steps.insert(version.component.clone(), step);
        return;
    }
    let Some(began) = steps.get(&version.component) else { return };
    let lasted = now.saturating_sub(began.since);
    let next = match judge(&canary.plan(), &old.since(&began.old), &new.since(&began.new), lasted) {
        Judgement::TooEarly => return,
        Judgement::Fine => None,
        Judgement::Worse(why) => Some(why),
    };
    carry_on(host, audit, version, next).await;
}

/// The next step, or the end.
async fn carry_on(host: &Arc<Host>, audit: &AuditLog, version: &Version, worse: Option<String>) {
    let (component, digest, step) = (version.component.clone(), version.digest.clone(), version.canary.clone());
    let changed = host.clone().change_shares(move |versions| {
        let is_it = |other: &Version| other.component == component && other.digest == digest;
        let Some(found) = versions.iter_mut().find(|version| is_it(version)) else { return Ok(None) };
        // An operator may have been faster.
        let Some(canary) = found.canary.as_mut().filter(|canary| Some(&**canary) == step.as_ref()) else {
            return Ok(None);
        };
        let weight = advance(canary, worse);
        let canary = canary.clone();
        give(versions, &component, &digest, weight);
        Ok::<_, VersionError>(Some((canary, weight)))
    });
    match changed.await {
        Ok(None) => {}
        Ok(Some((canary, weight))) => tell(audit, version, &canary, weight).await,
        Err(error) => tracing::error!(component = %version.component, %error, "a canary cannot be carried on"),
    }
}

/// Where a canary goes from here; answers the version's share then.
fn advance(canary: &mut Canary, worse: Option<String>) -> u32 {
    if let Some(why) = worse {
        canary.state = State::Aborted(why);
        return 0;
    }
    canary.step += 1;
    canary.steps.get(canary.step).copied().unwrap_or_else(|| {
        canary.state = State::Promoted;
        weft_mesh::WHOLE
    })
}

async fn tell(audit: &AuditLog, version: &Version, canary: &Canary, weight: u32) {
    let (component, name, state) = (&version.component, version.name(), canary.state.as_str());
    let why = if let State::Aborted(why) = &canary.state { why.as_str() } else { "" };
    tracing::info!(%component, version = name, state, percent = weight / 100, why, "a canary was carried on");
    if canary.is_running() {
        return;
    }
    let action = Action {
        actor: ACTOR.to_owned(),
        action: format!("canary {state}"),
        detail: format!("{component} {name}"),
        reason: why.to_owned(),
        outcome: "done".to_owned(),
        ..Action::default()
    };
    let audit = audit.clone();
    let written = tokio::task::spawn_blocking(move || audit.append(&action)).await;
    if !matches!(written, Ok(Ok(()))) {
        tracing::error!(?written, "the audit log cannot be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_goes_through_its_steps_to_all_calls_or_to_none() {
        let new = Canary {
            steps: vec![500, 5_000],
            min_calls: 1,
            step_ms: 1,
            max_latency_percent: 125,
            step: 0,
            state: State::Running,
        };
        let mut canary = new.clone();
        assert_eq!((advance(&mut canary, None), canary.step, canary.is_running()), (5_000, 1, true));
        assert_eq!((advance(&mut canary, None), canary.state), (10_000, State::Promoted));
        let mut canary = new;
        assert_eq!(advance(&mut canary, Some("it fails".to_owned())), 0);
        let kept = serde_json::to_value(&canary.state).unwrap();
        assert_eq!(kept, serde_json::json!({ "is": "aborted", "why": "it fails" }));
    }
}
