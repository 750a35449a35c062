//! Deploying a manifest into a host: first all that may fail, then all that may not. Until the second nothing has changed, so that a manifest
//! which is refused leaves no trace. When a manifest is deployed, and what of it the gateway serves, is up to [`crate::reload`].

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::OwnedMutexGuard;

use weft_capability::schema::Plan;
use weft_core::Generation;
use weft_core::manifest::{Diagnostic, Manifest, Variables};
use weft_core::push::PushBounds;
use weft_core::shared_limits::SharedLimits;
use weft_engine::{FunctionSet, FunctionSpec};
use weft_mesh::CalleeSet;

use super::{Host, Parts};
use crate::assemble::SharedCounts;
use crate::edge::Behind;
use crate::inside::Inside;
use crate::specs::{self, Made};
use crate::versions::{self, Versions};
use crate::{assemble, composing, guest_files, restart, schemas};

/// What is deployed, and what it takes to deploy something else.
pub(super) struct Deployed {
    pub manifest: ArcSwap<Manifest>,
    /// What requests that begin now run on.
    pub generation: ArcSwap<Generation>,
    /// Where rate limits are counted for several hosts together.
    pub shared_counts: ArcSwapOption<SharedCounts>,
    /// The manifest that the host was started with, by which its databases and its logs were opened.
    pub started: Arc<Manifest>,
    /// One at a time; versions too.
    pub changing: Arc<tokio::sync::Mutex<()>>,
}

/// A manifest whose functions, callees and schemas are ready. As long as it is held nothing else is deployed; dropped, it was nothing.
pub struct Prepared {
    manifest: Manifest,
    functions: FunctionSet,
    callees: CalleeSet,
    triggered: Arc<BTreeSet<Arc<str>>>,
    schemas: Plan,
    generation: Generation,
    shared_counts: Option<Arc<SharedCounts>>,
    alone: OwnedMutexGuard<()>,
}

impl Prepared {
    /// What is to be deployed.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What is to stand behind the gateway then.
    #[must_use]
    pub fn behind(&self) -> Behind {
        behind(&self.generation, self.shared_counts.as_ref())
    }
}

impl Deployed {
    /// The first of a host.
    ///
    /// # Errors
    /// As [`Host::prepare`].
    pub fn first(
        parts: &Parts,
        versions: &Versions,
        manifest: Manifest,
        variables: &Variables,
    ) -> anyhow::Result<Self> {
        let changing = Arc::<tokio::sync::Mutex<()>>::default();
        let started = Arc::new(manifest.clone());
        let alone = changing.clone().blocking_lock_owned();
        let prepared = prepare(parts, versions, manifest, variables, None, alone)?;
        let generation = ArcSwap::from_pointee(prepared.generation.clone());
        let shared_counts = ArcSwapOption::new(prepared.shared_counts.clone());
        let (manifest, _alone) = commit(parts, prepared)?;
        let manifest = ArcSwap::from_pointee(manifest);
        Ok(Self { manifest, generation, shared_counts, started, changing })
    }
}

impl Host {
    /// Makes all of a manifest ready. Blocks; to be called off the runtime's threads.
    ///
    /// # Errors
    /// Components that are missing or refused, and what is there only after a start of the host, with their places in the manifest; schemas
    /// that may not change so.
    pub fn prepare(&self, manifest: Manifest, variables: &Variables) -> anyhow::Result<Prepared> {
        let alone = self.deployed.changing.clone().blocking_lock_owned();
        let refused = restart::refused(&self.deployed.started, &manifest);
        if !refused.is_empty() {
            return Err(assemble::refused(refused));
        }
        let known = self.deployed.shared_counts.load_full();
        prepare(&self.parts, &self.versions, manifest, variables, known, alone)
    }

    /// Makes it the application: what is asked of the host from now on runs on it, and requests that came before on what was there then. The
    /// gateway is to be told by the caller. Blocks; to be called inside a runtime, off its threads.
    ///
    /// # Errors
    /// If its schemas cannot be registered; nothing has changed then.
    pub fn commit(&self, prepared: Prepared) -> anyhow::Result<()> {
        let (generation, shared_counts) = (prepared.generation.clone(), prepared.shared_counts.clone());
        let (manifest, _alone) = commit(&self.parts, prepared)?;
        self.deployed.generation.store(Arc::new(generation));
        self.deployed.shared_counts.store(shared_counts);
        self.deployed.manifest.store(Arc::new(manifest));
        self.drop_overtaken();
        Ok(())
    }

    /// What stands behind the gateway for requests that begin now.
    #[must_use]
    pub fn behind(&self) -> Behind {
        behind(&self.deployed.generation.load(), self.deployed.shared_counts.load().as_ref())
    }

    /// The manifest that it was started with.
    #[must_use]
    pub fn started_with(&self) -> &Manifest {
        &self.deployed.started
    }
}

fn behind(generation: &Generation, shared_counts: Option<&Arc<SharedCounts>>) -> Behind {
    let shared_limits = shared_counts.map(|counts| -> Arc<dyn SharedLimits> { counts.limits.clone() });
    Behind { generation: generation.clone(), shared_limits }
}

fn prepare(
    parts: &Parts,
    versions: &Versions,
    manifest: Manifest,
    variables: &Variables,
    known: Option<Arc<SharedCounts>>,
    alone: OwnedMutexGuard<()>,
) -> anyhow::Result<Prepared> {
    let functions = functions_of(parts, &manifest, variables).map_err(assemble::refused)?;
    let policies = specs::policies(&manifest, variables).map_err(assemble::refused)?;
    let shared_counts = assemble::shared_counts(&manifest, variables, &parts.resolver, &parts.clock, known);
    let shared_counts = shared_counts.map_err(|problem| assemble::refused(vec![problem]))?;
    let schemas = schemas::planned(&parts.schemas, &manifest)?;
    let beside = beside(versions, &manifest, &functions, parts);
    let functions = parts.engine.prepare(functions, beside, &specs::named_functions(&manifest));
    let functions = functions.map_err(|error| assemble::engine_refused(&manifest, error))?;
    let callees = parts.mesh.prepare(policies);
    let triggered = Inside::triggered(&manifest);
    let generation = Generation::new(functions.part(), callees.part(), triggered.clone());
    Ok(Prepared { manifest, functions, callees, triggered, schemas, generation, shared_counts, alone })
}

/// The versions that stand beside the manifest's by hand. One that no longer fits is left out: what was tried by hand must not keep a host
/// from starting.
fn beside(versions: &Versions, manifest: &Manifest, functions: &[FunctionSpec], parts: &Parts) -> Vec<FunctionSpec> {
    let mut beside = Vec::new();
    for version in &*versions.all() {
        match versions::functions(version, manifest, functions, &parts.place.data) {
            Ok(functions) => beside.extend(functions),
            Err(error) => {
                let version = version.function();
                tracing::error!(%version, %error, "a version does not fit what stands before it and is dropped");
            }
        }
    }
    beside
}

/// Answers the manifest, and what keeps others from deploying until it is known.
fn commit(parts: &Parts, prepared: Prepared) -> anyhow::Result<(Manifest, OwnedMutexGuard<()>)> {
    let Prepared { manifest, functions, callees, triggered, schemas, generation: _, shared_counts: _, alone } =
        prepared;
    schemas::register(&parts.schemas, schemas, &manifest)?;
    for (spec, error) in functions.left_out() {
        tracing::error!(version = %spec.name(), %error, "a version does not fit beside the others and is dropped");
    }
    parts.engine.publish(functions);
    parts.mesh.publish(callees);
    parts.inside.serve(triggered);
    parts.sagas.limits().set(specs::step_limits(&manifest));
    if let Some(push) = &manifest.gateway.push {
        parts.push.set_bounds(PushBounds::from(push));
    }
    Ok((manifest, alone))
}

/// What the engine is to run of a manifest.
pub(super) fn functions_of(
    parts: &Parts,
    manifest: &Manifest,
    variables: &Variables,
) -> Result<Vec<FunctionSpec>, Vec<Diagnostic>> {
    let problems = weft_gateway::problems(manifest);
    if !problems.is_empty() {
        return Err(problems);
    }
    let composed = composing::composed(manifest)?;
    let files = guest_files::prepare(manifest, &parts.place.data)?;
    specs::functions(manifest, variables, &Made { composed, files })
}
