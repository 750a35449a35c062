//! Versions of components over the control socket.

use serde::{Deserialize, Serialize};

use weft_mesh::{MirrorView, Sample, WHOLE};

use crate::versions::Version;
use crate::versions::canary::{Canary, State};

/// One entry of `GET /v1/versions`: a version of a component that has several.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct VersionEntry {
    /// The component.
    pub component: String,
    /// The version's name; `manifest` for the one that the manifest names.
    pub version: String,
    /// SHA-256 of its file, in hex.
    pub digest: String,
    /// How much it serves, in percent.
    pub percent: f64,
    /// Of how many calls that others serve it gets a copy, in percent.
    #[serde(default)]
    pub mirror_percent: f64,
    /// What became of the copies that it got; nothing if it is to get none and never got one.
    #[serde(default)]
    pub mirrored: Option<MirrorEntry>,
    /// Whether it stands in the manifest.
    #[serde(default)]
    pub declared: bool,
    /// Headers by which it is asked for, as `name=value`.
    pub headers: Vec<String>,
    /// Calls that it has had since it is beside another, or since the host started.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// What 95 of 100 calls did not take longer than, in microseconds.
    pub p95_us: Option<u64>,
    /// `running`, `promoted` or `aborted`, if it is or was tried.
    pub canary: Option<String>,
    /// Why it was aborted.
    pub why: Option<String>,
}

/// Copies of calls that a version got, since it is beside another or since the host started.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct MirrorEntry {
    /// Copies that came to an end.
    pub calls: u64,
    /// Those that had no answer, or one of 500 and above.
    pub failures: u64,
    /// Those with another answer than the call; of HTTP, with another status.
    pub differ: u64,
    /// Copies that were not made, since too many ran or the request was too large.
    pub skipped: u64,
}

impl From<MirrorView> for MirrorEntry {
    fn from(MirrorView { calls, failures, differ, skipped }: MirrorView) -> Self {
        Self { calls, failures, differ, skipped }
    }
}

fn percent(weight: u32) -> f64 {
    f64::from(weight) * 100.0 / f64::from(WHOLE)
}

impl VersionEntry {
    /// A version with its counts.
    #[must_use]
    pub fn of(version: &Version, sample: &Sample, mirrored: MirrorView) -> Self {
        let is_mirrored = version.mirror > 0 || mirrored != MirrorView::default();
        let state = version.canary.as_ref().map(|canary| &canary.state);
        let why = state.and_then(|state| if let State::Aborted(why) = state { Some(why.clone()) } else { None });
        Self {
            version: version.name().to_owned(),
            headers: version.headers.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            mirror_percent: percent(version.mirror),
            mirrored: is_mirrored.then(|| mirrored.into()),
            declared: version.declared.is_some(),
            canary: state.map(|state| state.as_str().to_owned()),
            why,
            ..Self::counted(&version.component, &version.digest, version.weight, sample)
        }
    }

    /// What any version has.
    #[must_use]
    pub fn counted(component: &str, digest: &str, weight: u32, sample: &Sample) -> Self {
        let p95 = sample.percentile(95);
        Self {
            component: component.to_owned(),
            version: "manifest".to_owned(),
            digest: digest.to_owned(),
            percent: percent(weight),
            calls: sample.calls,
            failures: sample.failures,
            p95_us: p95.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
            ..Self::default()
        }
    }
}

/// `POST /v1/versions`: a version is put beside the manifest's. Its file is in the data directory, by its digest.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DeployVersion {
    /// Who does it, such as `ada@local`.
    pub actor: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// The component.
    pub component: String,
    /// SHA-256 of its file, in hex.
    pub digest: String,
    /// Requests with one of these headers are served by it: names in lower case, and values.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Of so many calls that others serve it gets a copy, of [`WHOLE`].
    #[serde(default)]
    pub mirror: u32,
}

/// What is done to a version.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "order")]
pub enum VersionOrder {
    /// Try it on a growing share of calls.
    Canary(Trial),
    /// Let it serve all calls.
    Promote {
        /// A path that it has to answer with success before.
        #[serde(default)]
        check: Option<String>,
    },
    /// Take it away.
    Abort,
    /// Let it serve so much, of [`WHOLE`].
    Weight {
        /// The share.
        weight: u32,
    },
    /// Copy so many calls that others serve to it, of [`WHOLE`].
    Mirror {
        /// The share.
        share: u32,
    },
}

/// How a version is tried.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The shares that it has one after the other, of [`WHOLE`].
    pub steps: Vec<u32>,
    /// Calls that each of the two versions has to have had in a step.
    pub min_calls: u64,
    /// How long a step lasts at least, in milliseconds.
    pub step_ms: u64,
    /// Its 95th percentile may be so many hundredths of the other version's.
    pub max_latency_percent: u64,
}

impl Trial {
    /// The canary that it is the plan of, from now on.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn canary(&self, now_ms: u64) -> Result<Canary, String> {
        let Self { steps, min_calls, step_ms, max_latency_percent } = self.clone();
        let rises = steps.windows(2).all(|pair| matches!(pair, [one, next] if one < next));
        if steps.is_empty() || steps.len() > 100 || !rises || steps.iter().any(|step| !(1..WHOLE).contains(step)) {
            return Err("the steps are 1 to 100 shares that rise, above 0 and below 100 percent".to_owned());
        }
        if !(20..=1_000_000_000).contains(&min_calls) {
            return Err("a step needs 20 to a billion calls: fewer say nothing".to_owned());
        }
        if step_ms > 7 * 24 * 60 * 60 * 1000 {
            return Err("a step lasts a week at most".to_owned());
        }
        if !(100..=100_000).contains(&max_latency_percent) {
            return Err("the latency may be 100 to 100,000 percent of the other version's".to_owned());
        }
        Ok(Canary { steps, min_calls, step_ms, max_latency_percent, began_ms: now_ms, step: 0, state: State::Running })
    }
}

/// `POST /v1/versions/{component}`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct OrderVersion {
    /// Who does it.
    pub actor: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// The version, if the component has several beside the manifest's.
    #[serde(default)]
    pub version: Option<String>,
    /// What is done.
    #[serde(flatten)]
    pub order: VersionOrder,
}
