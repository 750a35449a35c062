//! How a running host answers what its control socket is asked about versions of components.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::HeaderName;
use http_body_util::{BodyExt as _, Empty};
use hyper::StatusCode;

use weft_core::{CallContext, id};
use weft_engine::FunctionBody;
use weft_mesh::{Sample, WHOLE};
use weft_telemetry::audit::Action;

use super::super::api::{DeployVersion, OrderVersion, Problem, VersionEntry, VersionOrder};
use super::super::server::{VersionOperations, problem};
use super::Running;
use super::audited::{audited, to_its_end};
use crate::host::Host;
use crate::versions::canary::State;
use crate::versions::{self, MAX_HEADERS, Version, VersionError};

/// How long a version may take to say that it is well.
const CHECK: Duration = Duration::from_secs(5);

impl VersionOperations for Running {
    fn list(&self) -> BoxFuture<'_, Result<Vec<VersionEntry>, Problem>> {
        Box::pin(async { Ok(entries(&self.host, None)) })
    }

    fn deploy(&self, deploy: DeployVersion) -> BoxFuture<'_, Result<VersionEntry, Problem>> {
        let (host, audit) = (self.host.clone(), self.audit.clone());
        to_its_end(async move {
            let action = Action {
                actor: deploy.actor.clone(),
                action: "deploy version".to_owned(),
                detail: format!("{} {}", deploy.component, deploy.digest),
                reason: deploy.reason.clone(),
                ..Action::default()
            };
            let done = deployed(host, deploy).await;
            audited(&audit, action, done).await
        })
    }

    fn order(&self, component: String, order: OrderVersion) -> BoxFuture<'_, Result<Vec<VersionEntry>, Problem>> {
        let (host, audit) = (self.host.clone(), self.audit.clone());
        to_its_end(async move {
            let name = match order.order {
                VersionOrder::Canary(_) => "start canary",
                VersionOrder::Promote { .. } => "promote version",
                VersionOrder::Abort => "abort version",
                VersionOrder::Weight { .. } => "weigh version",
            };
            let action = Action {
                actor: order.actor.clone(),
                action: name.to_owned(),
                detail: format!("{component} {}", order.version.as_deref().unwrap_or_default()),
                reason: order.reason.clone(),
                ..Action::default()
            };
            let done = ordered(&host, &component, order).await;
            audited(&audit, action, done.map(|()| entries(&host, Some(&component)))).await
        })
    }
}

async fn deployed(host: Arc<Host>, deploy: DeployVersion) -> Result<VersionEntry, Problem> {
    let bad = |text: String| Err(problem(StatusCode::BAD_REQUEST, text));
    let is_digest = deploy.digest.len() == 64 && deploy.digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !is_digest {
        return bad(format!("{:?} is no SHA-256 in lower-case hex", deploy.digest));
    }
    if deploy.headers.len() > MAX_HEADERS {
        return bad(format!("a version is asked for by {MAX_HEADERS} headers at most"));
    }
    for (name, _) in &deploy.headers {
        if name.parse::<HeaderName>().map_or(true, |parsed| parsed.as_str() != name) {
            return bad(format!("{name:?} is no name of a header in lower case"));
        }
    }
    let headers = deploy.headers.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
    let (component, digest): (Arc<str>, Arc<str>) = (deploy.component.into(), deploy.digest.into());
    let version = host.clone().deploy_version(component, digest, headers).await.map_err(explained)?;
    Ok(VersionEntry::of(&version, &Sample::default()))
}

async fn ordered(host: &Arc<Host>, component: &str, order: OrderVersion) -> Result<(), Problem> {
    let OrderVersion { version: name, order, .. } = order;
    let found = |all: &mut [Version]| versions::find(all, component, name.as_deref()).map(|version| version.clone());
    match order {
        VersionOrder::Canary(trial) => {
            let canary = trial.canary().map_err(|text| problem(StatusCode::BAD_REQUEST, text))?;
            let first = canary.steps.first().copied().unwrap_or_default();
            let component = component.to_owned();
            let change = move |all: &mut Vec<Version>| {
                let running = |version: &Version| version.canary.as_ref().is_some_and(|canary| canary.is_running());
                if all.iter().any(|version| *version.component == *component && running(version)) {
                    return Err(VersionError::Conflict(format!("a canary of {component} is running already")));
                }
                let version = versions::find(all, &component, name.as_deref())?;
                version.canary = Some(canary);
                let digest = version.digest.clone();
                versions::give(all, &component, &digest, first);
                Ok(())
            };
            host.clone().change_shares(change).await.map_err(|error| explained(error.into()))
        }
        VersionOrder::Promote { check } => {
            let version = found(&mut host.versions().all()).map_err(|error| explained(error.into()))?;
            if let Some(path) = check {
                is_well(host, &version, &path).await?;
            }
            weigh(host, version, WHOLE, Some(State::Promoted)).await
        }
        VersionOrder::Weight { weight } if weight <= WHOLE => {
            let version = found(&mut host.versions().all()).map_err(|error| explained(error.into()))?;
            let is_tried = version.canary.as_ref().is_some_and(|canary| canary.is_running());
            if is_tried {
                let text = format!("a canary of {component} is running: promote or abort it");
                return Err(problem(StatusCode::CONFLICT, text));
            }
            weigh(host, version, weight, None).await
        }
        VersionOrder::Weight { .. } => Err(problem(StatusCode::BAD_REQUEST, "a share is 0 to 100 percent")),
        VersionOrder::Abort => {
            let version = found(&mut host.versions().all()).map_err(|error| explained(error.into()))?;
            host.clone().remove_version(version).await.map_err(explained)
        }
    }
}

async fn weigh(host: &Arc<Host>, version: Version, weight: u32, state: Option<State>) -> Result<(), Problem> {
    let change = move |all: &mut Vec<Version>| {
        let name = version.name().to_owned();
        let found = versions::find(all, &version.component, Some(&name))?;
        if let (Some(canary), Some(state)) = (&mut found.canary, state) {
            canary.state = state;
        }
        versions::give(all, &version.component, &version.digest, weight);
        Ok(())
    };
    host.clone().change_shares(change).await.map_err(|error| explained(error.into()))
}

/// Asks the version itself, beside the mesh: it serves nobody yet.
async fn is_well(host: &Host, version: &Version, path: &str) -> Result<(), Problem> {
    let parts = host.parts();
    let body: FunctionBody = Empty::new().map_err(|never| match never {}).boxed_unsync();
    // As a path alone would not do: a handler may ask for the whole.
    let request = http::Request::get(format!("http://localhost{path}")).body(body);
    let request = request.map_err(|_| problem(StatusCode::BAD_REQUEST, format!("{path:?} is no path")))?;
    let trace = weft_core::Trace { trace_id: id::new_trace_id(), span_id: id::new_span_id() };
    let deadline = parts.clock.monotonic() + CHECK;
    let context = CallContext { caller: None, deadline, trace: Some(trace), depth: 0, step: None };
    let answer = parts.engine.serve(&version.function(), request, context, ()).await;
    let why = match answer {
        Ok(response) if response.status().is_success() => return Ok(()),
        Ok(response) => format!("it answers {path} with {}", response.status().as_u16()),
        Err(failure) => format!("it does not answer {path}: {}", failure.message),
    };
    Err(problem(StatusCode::CONFLICT, format!("{} {} is not well: {why}", version.component, version.name())))
}

fn entries(host: &Host, of: Option<&str>) -> Vec<VersionEntry> {
    let all = host.versions().all();
    let mut components: Vec<Arc<str>> = all.iter().map(|version| version.component.clone()).collect();
    components.sort();
    components.dedup();
    let mut entries = Vec::new();
    for component in components.iter().filter(|component| of.is_none_or(|of| of == &***component)) {
        let samples = host.parts().mesh.versions(component);
        let sample = |name: &str| {
            let found = samples.iter().find(|(known, _)| **known == *name);
            found.map(|(_, sample)| sample.clone()).unwrap_or_default()
        };
        let others = || all.iter().filter(|version| version.component == *component);
        let left = WHOLE.saturating_sub(others().map(|version| version.weight).sum());
        let digest = host.parts().engine.digest(component).unwrap_or_default();
        entries.push(VersionEntry::counted(component, &digest, left, &sample(component)));
        entries.extend(others().map(|version| VersionEntry::of(version, &sample(&version.function()))));
    }
    entries
}

fn explained(error: anyhow::Error) -> Problem {
    let status = match error.downcast_ref::<VersionError>() {
        Some(VersionError::Missing(_)) => StatusCode::NOT_FOUND,
        Some(VersionError::Conflict(_)) => StatusCode::CONFLICT,
        Some(VersionError::Kept { .. }) => StatusCode::SERVICE_UNAVAILABLE,
        // What the engine refuses.
        None => StatusCode::CONFLICT,
    };
    problem(status, format!("{error:#}"))
}
