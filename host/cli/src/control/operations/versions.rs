//! How a running host answers what its control socket is asked about versions of components.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::HeaderName;
use http_body_util::{BodyExt as _, Empty};
use hyper::StatusCode;

use weft_core::{CallContext, id};
use weft_engine::FunctionBody;
use weft_mesh::{MirrorView, Sample, WHOLE};
use weft_telemetry::audit::Action;

use super::super::api::{DeployVersion, OrderVersion, Problem, VersionEntry, VersionOrder};
use super::super::server::{VersionOperations, problem};
use super::Running;
use super::audited::{audited, to_its_end};
use crate::host::Host;
use crate::versions::canary::{Canary, State};
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
                VersionOrder::Mirror { .. } => "mirror to version",
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
    if deploy.mirror > WHOLE {
        return bad("a share is 0 to 100 percent".to_owned());
    }
    let headers = deploy.headers.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
    let (component, digest): (Arc<str>, Arc<str>) = (deploy.component.into(), deploy.digest.into());
    let version = host.clone().deploy_version(component, digest, deploy.mirror, headers).await.map_err(explained)?;
    Ok(VersionEntry::of(&version, &Sample::default(), MirrorView::default()))
}

async fn ordered(host: &Arc<Host>, component: &str, order: OrderVersion) -> Result<(), Problem> {
    let OrderVersion { version: name, order, .. } = order;
    let is_declared = |version: &Version| &*version.component == component && name.as_deref() == Some(version.name());
    if host.declared_versions().iter().any(is_declared) {
        let text = "that version stands in the manifest: change its share there, or remove it";
        return Err(problem(StatusCode::CONFLICT, text.to_owned()));
    }
    let found = |all: &mut [Version]| versions::find(all, component, name.as_deref()).map(|version| version.clone());
    match order {
        VersionOrder::Canary(trial) => {
            let canary = trial.canary(host.parts().clock.now_ms());
            let canary = canary.map_err(|text| problem(StatusCode::BAD_REQUEST, text))?;
            let first = canary.steps.first().copied().unwrap_or_default();
            weigh(host, component, name, first, Told::Begin(canary)).await
        }
        VersionOrder::Promote { check } => {
            let version = found(&mut host.versions().all().to_vec()).map_err(|error| explained(error.into()))?;
            if let Some(path) = check {
                is_well(host, &version, &path).await?;
            }
            weigh(host, component, Some(version.name().to_owned()), WHOLE, Told::End).await
        }
        VersionOrder::Weight { weight } if weight <= WHOLE => weigh(host, component, name, weight, Told::Nothing).await,
        VersionOrder::Mirror { share } if share <= WHOLE => {
            let component = component.to_owned();
            let change = move |all: &mut Vec<Version>| {
                versions::find(all, &component, name.as_deref())?.mirror = share;
                Ok(())
            };
            host.clone().change_shares(change).await.map_err(|error| explained(error.into()))
        }
        VersionOrder::Weight { .. } | VersionOrder::Mirror { .. } => {
            Err(problem(StatusCode::BAD_REQUEST, "a share is 0 to 100 percent".to_owned()))
        }
        VersionOrder::Abort => {
            let version = found(&mut host.versions().all().to_vec()).map_err(|error| explained(error.into()))?;
            host.clone().remove_version(version).await.map_err(explained)
        }
    }
}

/// What a new share has to do with a canary.
enum Told {
    /// One begins.
    Begin(Canary),
    /// That of the version is at its end.
    End,
    Nothing,
}

/// Gives a version a share. While a canary runs, none of its component's shares is changed but by its own promotion.
async fn weigh(
    host: &Arc<Host>,
    component: &str,
    name: Option<String>,
    weight: u32,
    told: Told,
) -> Result<(), Problem> {
    let component = component.to_owned();
    let change = move |all: &mut Vec<Version>| {
        let meant = versions::find(all, &component, name.as_deref())?.clone();
        let is_running = |version: &&Version| version.canary.as_ref().is_some_and(Canary::is_running);
        let running = all.iter().filter(|version| *version.component == *component).find(is_running);
        let ends_it = matches!(told, Told::End) && running.is_some_and(|version| version.digest == meant.digest);
        if let Some(version) = running.filter(|_| !ends_it) {
            let text = format!("a canary of {component} is running already, with version {}", version.name());
            return Err(VersionError::Conflict(text));
        }
        let version = versions::find(all, &component, Some(meant.name()))?;
        match told {
            Told::Begin(canary) => version.canary = Some(canary),
            Told::End => version.canary.iter_mut().for_each(|canary| canary.state = State::Promoted),
            Told::Nothing => {}
        }
        versions::give(all, &component, &meant.digest, weight);
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
    let context = CallContext { trace: Some(trace), ..CallContext::of_host(deadline) };
    let answer = parts.engine.serve(&version.function(), request, context, ()).await;
    let why = match answer {
        Ok(response) if response.status().is_success() => return Ok(()),
        Ok(response) => format!("it answers {path} with {}", response.status().as_u16()),
        Err(failure) => format!("it does not answer {path}: {}", failure.message),
    };
    Err(problem(StatusCode::CONFLICT, format!("{} {} is not well: {why}", version.component, version.name())))
}

/// By component: the manifest's own version, those by hand, and those that stand in the manifest.
fn entries(host: &Host, of: Option<&str>) -> Vec<VersionEntry> {
    let mut all = Vec::clone(&host.versions().all());
    all.extend(host.declared_versions());
    let mut components: Vec<Arc<str>> = all.iter().map(|version| version.component.clone()).collect();
    components.sort();
    components.dedup();
    let mut entries = Vec::new();
    for component in components.iter().filter(|component| of.is_none_or(|of| of == &***component)) {
        let mesh = &host.parts().mesh;
        let (samples, mirrored) = (mesh.versions(component), mesh.mirrored(component));
        let sample = |name: &str| of_name(&samples, name).unwrap_or_default();
        let mut left = WHOLE;
        let mut beside = Vec::new();
        for version in all.iter().filter(|version| version.component == *component) {
            let serves = version.weight.min(left);
            left -= serves;
            let name = version.function();
            let mirrored = of_name(&mirrored, &name).unwrap_or_default();
            beside.push(VersionEntry::of(&Version { weight: serves, ..version.clone() }, &sample(&name), mirrored));
        }
        let digest = host.parts().engine.digest(component).unwrap_or_default();
        entries.push(VersionEntry::counted(component, &digest, left, &sample(component)));
        entries.extend(beside);
    }
    entries
}

fn of_name<T: Clone>(named: &[(Arc<str>, T)], name: &str) -> Option<T> {
    named.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.clone())
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
