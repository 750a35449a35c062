//! Whether the closed forms for Spin are granted what they need there: a component composed with its providers has the
//! grants of Spin's own keys alone, so these must cover what `tool.weft` grants to any of them, and what the adapters
//! need besides.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Manifest;
use super::component::Component;
use super::diagnostic::{Diagnostic, Located};
use super::grants::Grants;

/// Where the adapters for Spin keep every context, journal, message and key-value store.
const ADAPTER_DATABASE: &str = "default";
/// How one closed form reaches another.
const CHAINING: &str = "http://*.spin.internal";

impl Manifest {
    /// What Spin's keys lack for the closed forms; nothing for an application that has none.
    #[must_use]
    pub fn closed_form_problems(&self) -> Vec<Diagnostic> {
        let with_closed_form =
            self.running().filter(|component| component.closed_form.is_some() && component.split_from.is_none());
        with_closed_form.flat_map(|component| self.lacks(component)).collect()
    }

    /// The paths that a component answers under Spin: those of its triggers.
    pub fn paths_of<'m>(&'m self, component: &'m str) -> impl Iterator<Item = &'m super::RoutePattern> {
        let own = self.triggers.iter().filter(move |trigger| trigger.is_of(component));
        own.filter_map(|trigger| trigger.pattern.as_ref())
    }

    fn lacks(&self, component: &Component) -> Vec<Diagnostic> {
        let Some(spin) = &component.closed_form_grants else { return Vec::new() };
        let parts = self.composed(component);
        let grants = || parts.iter().map(|part| &part.grants);
        let is_front = self.closed_forms.is_some() && self.paths_of(&component.id).next().is_some();
        let mut databases: BTreeSet<&str> = labels(grants(), |grants| &grants.sqlite_databases);
        if is_front || parts.iter().any(|part| part.durable || uses_adapter(&part.grants)) {
            databases.insert(ADAPTER_DATABASE);
        }
        let mut hosts = hosts(grants());
        let mut variables: BTreeSet<&str> =
            grants().flat_map(|grants| grants.variables.keys()).map(|name| &**name).collect();
        if is_front && let Some(forms) = &self.closed_forms {
            hosts.extend(forms.timer.is_some().then_some(CHAINING));
            variables.extend(forms.public_key.as_ref().map(|name| &*name.value));
        }
        let own_variables = spin.variables.keys().map(|name| &**name).collect();
        [
            ("sqlite_databases", databases, labels([spin], |grants| &grants.sqlite_databases)),
            ("allowed_outbound_hosts", hosts, self::hosts([spin])),
            ("variables", variables, own_variables),
        ]
        .into_iter()
        .filter_map(|(key, needed, own)| self.lack(component, key, &needed, &own))
        .collect()
    }

    fn lack(
        &self,
        component: &Component,
        key: &str,
        needed: &BTreeSet<&str>,
        own: &BTreeSet<&str>,
    ) -> Option<Diagnostic> {
        let missing: Vec<_> = needed.difference(own).collect();
        let all: Vec<_> = needed.union(own).collect();
        let id = &component.id;
        let message = format!("component {:?}: its closed form for Spin needs {key} = {missing:?}", &**id);
        (!missing.is_empty()).then(|| {
            self.problem(component.line, message).with_help(format!("write in [component.{id}]: {key} = {all:?}"))
        })
    }

    /// The component and all that runs in its closed form with it: what it calls, what serves other methods of its paths,
    /// and what those call in turn.
    fn composed<'m>(&'m self, component: &'m Component) -> Vec<&'m Component> {
        let mut parts: Vec<&Component> = vec![component];
        if self.closed_forms.is_some() {
            let paths: Vec<_> = self.paths_of(&component.id).map(|pattern| pattern.below(&self.base)).collect();
            let served = self.routes.iter().filter(|route| paths.contains(&route.pattern));
            parts.extend(
                served
                    .filter(|route| route.component != component.id)
                    .filter_map(|route| self.components.get(&route.component)),
            );
        }
        let mut next = 0;
        while let Some(part) = parts.get(next) {
            next += 1;
            let callees = part.grants.calls.values().filter_map(|callee| self.components.get(&callee.value));
            let fresh: Vec<_> = callees.filter(|callee| parts.iter().all(|part| part.id != callee.id)).collect();
            parts.extend(fresh);
        }
        parts
    }
}

fn labels<'g>(
    grants: impl IntoIterator<Item = &'g Grants>,
    list: impl Fn(&'g Grants) -> &'g Vec<Located<Arc<str>>>,
) -> BTreeSet<&'g str> {
    grants.into_iter().flat_map(list).map(|label| &*label.value).collect()
}

fn hosts<'g>(grants: impl IntoIterator<Item = &'g Grants>) -> BTreeSet<&'g str> {
    grants.into_iter().flat_map(|grants| &grants.allowed_outbound_hosts).map(|host| host.as_str()).collect()
}

fn uses_adapter(grants: &Grants) -> bool {
    grants.context.is_some()
        || !grants.topics.is_empty()
        || !grants.push.is_empty()
        || !grants.sagas.is_empty()
        || !grants.key_value_stores.is_empty()
}
