//! External services: requests of functions to them over the network, checks of whether their instances are there, and what is kept of
//! those that were registered. Which instance is asked, how often and under which policies, is the mesh's business.

mod body;
mod checks;
mod kept;
mod requests;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;

use weft_capability::outbound::{Outbound, OutboundError, Resolve};
use weft_core::Clock;
use weft_core::outbound::OutboundHosts;
use weft_engine::Value;
use weft_mesh::Mesh;

pub use kept::KeepError;

/// The external services of one application. Cheap to clone.
#[derive(Clone)]
pub struct ExternalServices {
    inner: Arc<Inner>,
}

struct Inner {
    mesh: Mesh<Value>,
    clock: Arc<dyn Clock>,
    resolver: Arc<dyn Resolve>,
    /// By the service's name, and whether an instance may have a private address: what may be reached differs.
    clients: Mutex<HashMap<(Arc<str>, bool), Outbound>>,
    /// Connections are shared: they belong where all functions are, wherever the one that asks runs.
    runtime: Handle,
    /// What is kept of registered instances.
    file: PathBuf,
    /// One change of it after the other.
    changing: tokio::sync::Mutex<()>,
}

impl ExternalServices {
    /// In the runtime that this is called in, the services of `mesh`; what is registered is kept in the data directory `data`.
    #[must_use]
    pub fn new(mesh: Mesh<Value>, clock: Arc<dyn Clock>, resolver: Arc<dyn Resolve>, data: &std::path::Path) -> Self {
        let inner = Inner {
            mesh,
            clock,
            resolver,
            clients: Mutex::default(),
            runtime: Handle::current(),
            file: data.join("services.json"),
            changing: tokio::sync::Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl Inner {
    /// The client for instances of a service.
    fn client(&self, service: &Arc<str>, may_be_private: bool) -> Result<Outbound, OutboundError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (service.clone(), may_be_private);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        // Those of services that are gone are dropped when another comes.
        let known: BTreeSet<Arc<str>> = self.mesh.registry().services().into_iter().map(|view| view.name).collect();
        clients.retain(|(name, _), _| known.contains(name));
        let hosts = if may_be_private { OutboundHosts::everything() } else { OutboundHosts::public() };
        let client = Outbound::new(hosts, self.resolver.clone(), self.clock.clone())?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}
