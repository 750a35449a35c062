//! How a running host answers what its control socket is asked about the registry.

use futures::future::BoxFuture;
use hyper::StatusCode;

use weft_mesh::{InstanceFilter, RegistryError};
use weft_telemetry::audit::Action;

use super::super::api::{Act, InstanceEntry, Problem, RegisterInstance, ServiceDetail, ServiceEntry, ServiceList};
use super::super::server::{ServiceOperations, Since, problem};
use super::Running;
use super::audited::{audited, to_its_end};
use crate::host::Host;
use crate::services::KeepError;

impl ServiceOperations for Running {
    fn list(&self, since: Option<Since>) -> BoxFuture<'_, Result<ServiceList, Problem>> {
        Box::pin(async move {
            let registry = self.host.parts().mesh.registry();
            if let Some(Since { index, wait }) = since {
                registry.changed(None, index, wait).await.map_err(explained)?;
            }
            // Before the services: what changes in between is told again.
            let index = registry.index();
            let services = registry.services().into_iter().map(ServiceDetail::from);
            let functions = registry.functions().into_iter().map(ServiceDetail::from);
            let services = services.chain(functions).map(ServiceEntry::from).collect();
            Ok(ServiceList { index, services })
        })
    }

    fn discover(
        &self,
        name: String,
        filter: InstanceFilter,
        since: Option<Since>,
    ) -> BoxFuture<'_, Result<ServiceDetail, Problem>> {
        Box::pin(async move {
            let registry = self.host.parts().mesh.registry();
            if let Some(Since { index, wait }) = since {
                registry.changed(Some(&name), index, wait).await.map_err(explained)?;
            }
            if let Some(function) = registry.function(&name) {
                return Ok(filtered(function.into(), &filter));
            }
            Ok(registry.discover(&name, &filter).map_err(explained)?.into())
        })
    }

    fn register(&self, name: String, register: RegisterInstance) -> BoxFuture<'_, Result<InstanceEntry, Problem>> {
        let (host, audit) = (self.host.clone(), self.audit.clone());
        to_its_end(async move {
            let detail = format!("{name} {}", register.address);
            let (actor, reason) = (register.actor.clone(), register.reason.clone());
            let action = Action { actor, action: "register instance".to_owned(), detail, reason, ..Action::default() };
            let done = registered(&host, &name, &register).await;
            audited(&audit, action, done).await
        })
    }

    fn deregister(&self, name: String, id: String, act: Act) -> BoxFuture<'_, Result<(), Problem>> {
        let (host, audit) = (self.host.clone(), self.audit.clone());
        to_its_end(async move {
            let done = match not_a_function(&host, &name) {
                Ok(()) => host.parts().external.deregister(&name, &id).await.map(drop).map_err(not_kept),
                Err(problem) => Err(problem),
            };
            let Act { actor, reason } = act;
            let (action, detail) = ("deregister instance".to_owned(), format!("{name} {id}"));
            audited(&audit, Action { actor, action, detail, reason, ..Action::default() }, done).await
        })
    }

    fn renew(&self, name: String, id: String) -> BoxFuture<'_, Result<(), Problem>> {
        Box::pin(async move { self.host.parts().mesh.registry().renew(&name, &id).map_err(explained) })
    }
}

async fn registered(host: &Host, name: &str, register: &RegisterInstance) -> Result<InstanceEntry, Problem> {
    not_a_function(host, name)?;
    let instance = register.instance().map_err(|error| problem(StatusCode::BAD_REQUEST, error))?;
    let id = instance.id.clone();
    host.parts().external.register(name, instance).await.map_err(not_kept)?;
    let service = host.parts().mesh.registry().discover(name, &InstanceFilter::default()).map_err(explained)?;
    let view = service.instances.into_iter().find(|view| view.instance.id == id);
    let gone = || problem(StatusCode::CONFLICT, "the instance was taken out at once by somebody else");
    view.map(InstanceEntry::from).ok_or_else(gone)
}

fn not_a_function(host: &Host, name: &str) -> Result<(), Problem> {
    if !host.manifest().components.contains_key(name) {
        return Ok(());
    }
    let text =
        format!("{name:?} is a function of the application: the manifest says what it is, and versions are deployed");
    Err(problem(StatusCode::CONFLICT, text))
}

fn filtered(mut function: ServiceDetail, filter: &InstanceFilter) -> ServiceDetail {
    function.instances.retain(|instance| {
        (filter.version.is_none() || filter.version == instance.version)
            && filter.tags.is_empty()
            && (!filter.healthy || instance.healthy)
    });
    function
}

fn not_kept(error: KeepError) -> Problem {
    match error {
        KeepError::Refused(error) => explained(error),
        KeepError::Kept { .. } => problem(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

fn explained(error: RegistryError) -> Problem {
    let status = match error {
        RegistryError::NoService(_) | RegistryError::NoInstance(..) => StatusCode::NOT_FOUND,
        RegistryError::Declared(..)
        | RegistryError::NoTtl(..)
        | RegistryError::Private(..)
        | RegistryError::TooMany(_) => StatusCode::CONFLICT,
    };
    problem(status, error.to_string())
}
