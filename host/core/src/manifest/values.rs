//! The values of application variables: from overrides, the environment or the defaults, and what component variables
//! and outbound hosts make of them. Declarations belong to [`super::variable`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::outbound::{AllowedHost, EndpointAddress, OutboundHosts};

use super::Manifest;
use super::component::Component;
use super::diagnostic::Diagnostic;
use super::service::{DeclaredEndpoint, Service};

/// The application's variables with their values. Debug output shows names alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables {
    values: BTreeMap<Arc<str>, Value>,
}

#[derive(Clone, PartialEq, Eq)]
struct Value {
    text: Arc<str>,
    secret: bool,
}

/// One component's variables with their values. Debug output shows names alone, since a value may hold a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ComponentVariables {
    values: BTreeMap<Arc<str>, Arc<str>>,
}

impl Variables {
    /// The value of each variable: from `overrides`, else from `environment` under `SPIN_VARIABLE_<NAME>`, else the
    /// default.
    ///
    /// # Errors
    /// Every required variable without a value, and every override that names no variable.
    pub fn resolve(
        manifest: &Manifest,
        environment: &dyn Fn(&str) -> Option<String>,
        overrides: &BTreeMap<String, String>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let mut values = BTreeMap::new();
        for variable in manifest.variables.values() {
            let from_environment = || environment(&variable.environment_name()).map(Arc::from);
            let given = overrides.get(&*variable.name).map(|text| Arc::from(text.as_str())).or_else(from_environment);
            match given.or_else(|| variable.default.clone()) {
                Some(text) => drop(values.insert(variable.name.clone(), Value { text, secret: variable.secret })),
                None => problems.push(
                    manifest
                        .problem(variable.line, format!("variable `{}` is required and has no value", variable.name))
                        .with_help(format!("set {}=...", variable.environment_name())),
                ),
            }
        }
        for name in overrides.keys().filter(|name| !manifest.variables.contains_key(name.as_str())) {
            let problem = manifest.problem(0, format!("there is no variable `{name}` to give a value to"));
            problems.push(problem.with_help(format!("declare it: [variables] {name} = {{ default = \"\" }}")));
        }
        if problems.is_empty() { Ok(Self { values }) } else { Err(problems) }
    }

    /// The value of the variable `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| &*value.text)
    }

    /// Whether the variable `name` is secret.
    #[must_use]
    pub fn is_secret(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| value.secret)
    }

    /// The component's variables, their templates expanded.
    ///
    /// # Errors
    /// A template that names a variable which is not there; a manifest that loaded has none.
    pub fn of_component(
        &self,
        manifest: &Manifest,
        component: &Component,
    ) -> Result<ComponentVariables, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let mut values = BTreeMap::new();
        for (name, template) in &component.grants.variables {
            match template.expand(|variable| self.get(variable)) {
                Ok(text) => drop(values.insert(name.clone(), text.into())),
                Err(missing) => problems.push(undeclared(manifest, component, template.line, missing)),
            }
        }
        if problems.is_empty() { Ok(ComponentVariables { values }) } else { Err(problems) }
    }

    /// The hosts that the component may reach, their templates expanded.
    ///
    /// # Errors
    /// Entries that are no hosts once their variables have values. The message names the entry as written, since the
    /// value may be secret.
    pub fn outbound_hosts(&self, manifest: &Manifest, component: &Component) -> Result<OutboundHosts, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let mut hosts: Vec<AllowedHost> = Vec::new();
        for template in &component.grants.allowed_outbound_hosts {
            match template.expand(|variable| self.get(variable)) {
                Err(missing) => problems.push(undeclared(manifest, component, template.line, missing)),
                // An endpoint that may be left out: Spin skips what a template leaves empty.
                Ok(text) if !template.is_literal() && ["", "http://", "https://"].contains(&&*text) => {}
                Ok(text) => match text.parse() {
                    Ok(host) => hosts.push(host),
                    Err(_) => problems.push(manifest.problem(
                        template.line,
                        format!(
                            "component {:?}: the allowed host {:?} is no host with the values that its variables have",
                            &*component.id,
                            template.as_str()
                        ),
                    )),
                },
            }
        }
        if problems.is_empty() { Ok(OutboundHosts::new(hosts)) } else { Err(problems) }
    }
}

impl Variables {
    /// Where the declared instances of a service are, their templates expanded; those whose address is left empty by a
    /// variable are left out.
    ///
    /// # Errors
    /// Addresses that are none once their variables have values. The message names the entry as written.
    pub fn endpoints<'s>(
        &self,
        manifest: &Manifest,
        service: &'s Service,
    ) -> Result<Vec<(EndpointAddress, &'s DeclaredEndpoint)>, Vec<Diagnostic>> {
        let mut endpoints: Vec<(EndpointAddress, &DeclaredEndpoint)> = Vec::new();
        let (mut problems, name) = (Vec::new(), &*service.name);
        for endpoint in &service.endpoints {
            let template = &endpoint.value.address;
            let mut report = |message: String| {
                problems.push(manifest.problem(endpoint.line, format!("service {name:?}: {message}")));
            };
            match template.expand(|variable| self.get(variable)) {
                Err(missing) => report(format!("there is no variable `{missing}`")),
                Ok(text) if text.is_empty() && !template.is_literal() => {}
                Ok(text) => match text.parse::<EndpointAddress>() {
                    Ok(address) if endpoints.iter().any(|(other, _)| other.is_same_place(&address)) => {
                        report(format!("{:?} is the address of another instance too", template.as_str()));
                    }
                    Ok(address) => endpoints.push((address, &endpoint.value)),
                    Err(_) => {
                        let as_written = template.as_str();
                        report(format!("{as_written:?} is no address with the values that its variables have"));
                    }
                },
            }
        }
        if problems.is_empty() { Ok(endpoints) } else { Err(problems) }
    }
}

fn undeclared(manifest: &Manifest, component: &Component, line: usize, name: &str) -> Diagnostic {
    manifest.problem(line, format!("component {:?}: there is no variable `{name}`", &*component.id))
}

impl ComponentVariables {
    /// The value of the variable `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|text| &**text)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, text)| (&**name, &**text))
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl fmt::Debug for ComponentVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}
