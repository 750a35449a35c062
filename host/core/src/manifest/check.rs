//! Checks what one table says against another: every reference leads to something that can serve it.

use std::sync::Arc;

use super::Manifest;
use super::access::WrittenRule;
use super::auth::KeySource;
use super::component::Component;
use super::cycle;
use super::dependency::{Dependency, DependencySource};
use super::diagnostic::Located;
use super::names;
use super::problems::Problems;
use super::projection::ProjectionSource;
use super::rate_limit;
use super::route::{Access, Rule};

/// Reports every reference that leads nowhere.
pub(super) fn references(manifest: &Manifest, rules: &[Rule], problems: &Problems) {
    let check = Check { manifest, problems };
    check.application();
    check.triggers();
    check.rules(rules);
    check.transforms(rules);
    for component in manifest.components.values() {
        check.component(component);
    }
    check.groups();
    rate_limit::check(manifest, rules, problems);
    manifest.gateway.overload.check(manifest, problems);
    cycle::report(manifest, problems);
}

struct Check<'m> {
    manifest: &'m Manifest,
    problems: &'m Problems,
}

impl<'m> Check<'m> {
    /// The component that `id` names; `who` opens the message about its absence.
    fn find(&self, who: &str, id: &Located<Arc<str>>) -> Option<&'m Component> {
        let found = self.manifest.components.get(&id.value);
        if found.is_none() {
            let ids = self.manifest.components.keys().map(|id| &**id);
            let help = names::nearest(id, ids).map_or_else(
                || format!("add [component.{id}] with source = \"file.wasm\""),
                |near| format!("did you mean {near:?}?"),
            );
            self.problems.report_with_help(id.line, format!("{who}: there is no component {:?}", &*id.value), help);
        }
        found
    }

    /// Like [`Self::running`] for a component that the host itself leads to, so that it cannot be absent.
    fn always(&self, who: &str, id: &Located<Arc<str>>) {
        if let Some(component) = self.running(who, id) {
            self.not_optional(who, id, component);
        }
    }

    fn not_optional(&self, who: &str, id: &Located<Arc<str>>, component: &Component) {
        if component.optional {
            let message = format!("{who}: component {:?} is optional, and nothing else could answer", &*id.value);
            self.problems.report_with_help(
                id.line,
                message,
                "remove `optional`, or have it called by another function",
            );
        }
    }

    /// Like [`Self::find`] for a component that Weft has to run.
    fn running(&self, who: &str, id: &Located<Arc<str>>) -> Option<&'m Component> {
        let found = self.find(who, id)?;
        if self.manifest.is_replaced(id) {
            let message = format!("{who}: component {:?} is in `replaced_by_host` and does not run", &*id.value);
            self.problems.report_with_help(id.line, message, "take it out of `replaced_by_host`, or remove this");
        }
        Some(found)
    }

    fn faults(&self) {
        let services = &self.manifest.mesh.services;
        for rule in &self.manifest.mesh.faults {
            let callee = rule.callee.iter().filter(|id| !services.contains_key(*id));
            for id in callee.chain(&rule.caller) {
                self.find("a fault of the mesh", &Located::new(id.clone(), rule.line));
            }
            let of_service =
                rule.callee.as_ref().filter(|callee| services.contains_key(*callee)).zip(rule.function.as_ref());
            if let Some((service, function)) = of_service {
                let message =
                    format!("a fault of the mesh: no request to the service {service:?} is a call of {function}");
                self.problems.report_with_help(rule.line, message, "remove `function`");
            }
        }
    }

    /// A rule whose callers are nobody lets nothing through, or denies nothing.
    fn callers(&self, who: &str, rules: &[WrittenRule]) {
        let ids = || self.manifest.components.keys().map(|id| &**id);
        for caller in rules.iter().flat_map(|rule| &rule.callers) {
            if !names::is_pattern(caller) || ids().any(|id| names::covers(caller, id)) {
                continue;
            }
            let near = match caller.value.strip_suffix('*') {
                None => names::nearest(caller, ids()).map(str::to_owned),
                Some(start) => {
                    let starts = ids().flat_map(|id| id.match_indices('-').filter_map(|(at, _)| id.get(..=at)));
                    names::nearest(start, starts).map(|near| format!("{near}*"))
                }
            };
            let help = near.map_or_else(
                || "name components by their ids, or by the beginnings of these with *".to_owned(),
                |near| format!("did you mean {near:?}?"),
            );
            let message = format!("{who}: {:?} covers no component", &*caller.value);
            self.problems.report_with_help(caller.line, message, help);
        }
    }

    /// Breakers and faults of components and services are told apart by their names.
    fn services(&self) {
        for service in self.manifest.mesh.services.values() {
            let who = format!("service {:?}", &*service.name);
            self.callers(&format!("{who}: rules"), &service.calls.rules);
            if self.manifest.components.contains_key(&service.name) {
                let message = format!("{who}: a component has that name too");
                self.problems.report_with_help(service.line, message, "give the service another name");
            }
            for endpoint in &service.endpoints {
                for name in endpoint.value.address.variables() {
                    self.variable(&who, endpoint.line, name);
                }
            }
        }
    }

    fn application(&self) {
        self.faults();
        self.services();
        for id in &self.manifest.startup {
            self.always("startup", id);
        }
        for id in &self.manifest.replaced_by_host {
            self.find("replaced_by_host", id);
        }
        if let Some(forms) = &self.manifest.closed_forms {
            if let Some(timer) = &forms.timer {
                self.find("spin.timer", timer);
            }
            if let Some(variable) = &forms.public_key {
                self.variable("spin.public_key", variable.line, variable);
            }
        }
        if let Some(variable) = &self.manifest.gateway.shared_limits {
            self.variable("gateway.shared_limits", variable.line, variable);
        }
        let keys = self.manifest.auth.iter().flat_map(|auth| &auth.keys);
        for key in keys {
            if let KeySource::Variable(name) = &key.value {
                self.variable("auth", key.line, name);
            }
        }
    }

    /// Subscriptions of one group read one place in the log, so they have to agree on what they read and how.
    fn groups(&self) {
        let all = self.manifest.components.values().flat_map(|component| &component.subscriptions);
        let grouped: Vec<_> = all.filter_map(|one| Some((one.group.as_ref()?, one))).collect();
        for (number, (group, one)) in grouped.iter().enumerate() {
            let first = grouped.iter().take(number).find(|(other, _)| other == group).map(|(_, first)| first);
            if let Some(first) = first.filter(|first| !first.shares_a_place_with(one)) {
                self.problems.report_with_help(
                    one.line,
                    format!(
                        "this subscription of the group {group:?} has other rules than that on line {}",
                        first.line
                    ),
                    "make them equal in all but `name`, `concurrency` and `prefetch`, or use another group",
                );
            }
        }
    }

    fn triggers(&self) {
        let triggers = &self.manifest.triggers;
        for (number, trigger) in triggers.iter().enumerate() {
            if let Some(id) = trigger.component().filter(|id| !id.is_empty())
                && let Some(component) = self.find("trigger", id)
            {
                self.not_optional("trigger", id, component);
            }
            for middleware in &trigger.middleware {
                self.part("middleware", &middleware.source);
            }
            let Some(pattern) = &trigger.pattern else { continue };
            let same = |other: &&super::HttpTrigger| other.pattern.as_ref().is_some_and(|o| o.same_paths(pattern));
            if let Some(other) = triggers.iter().take(number).find(same) {
                let message = format!("the route {pattern} matches the same paths as that on line {}", other.line);
                self.problems.report_with_help(
                    trigger.line,
                    message,
                    "keep one trigger for the path; [application.tool.weft.routes] tells its methods apart",
                );
            }
        }
    }

    /// Sets of rules are for components and routes that there are.
    fn transforms(&self, rules: &[Rule]) {
        let transforms = &self.manifest.gateway.transforms;
        for transform in transforms {
            for pattern in transform.components.iter().flatten() {
                if !self.manifest.components.keys().any(|id| names::covers(pattern, id)) {
                    let message = format!("transform {:?}: no component is called {:?}", &*transform.name, &**pattern);
                    let near = names::nearest(pattern, self.manifest.components.keys().map(|id| &**id));
                    let help = near.map_or_else(|| "remove it".to_owned(), |near| format!("did you mean {near:?}?"));
                    self.problems.report_with_help(pattern.line, message, help);
                }
            }
        }
        for rule in rules {
            for name in rule.transforms.iter().flatten() {
                let Some(transform) = transforms.iter().find(|one| one.name == name.value) else {
                    let near = names::nearest(name, transforms.iter().map(|one| &*one.name));
                    let help = near.map_or_else(
                        || format!("add [application.tool.weft.gateway.transforms.{name}]"),
                        |near| format!("did you mean {near:?}?"),
                    );
                    let message = format!("route: there are no transforms {:?}", &*name.value);
                    self.problems.report_with_help(name.line, message, help);
                    continue;
                };
                let path = rule.served(&self.manifest.base).1.to_string();
                if let Some(prefix) = transform.path.strip_prefix.as_ref().filter(|prefix| {
                    path.strip_prefix(&*prefix.value).is_none_or(|rest| !(rest.is_empty() || rest.starts_with('/')))
                }) {
                    let message =
                        format!("route: {path} does not begin with {:?}, which {name} takes away", &*prefix.value);
                    self.problems.report_with_help(name.line, message, "name other transforms, or change their `path`");
                }
            }
        }
    }

    fn rules(&self, rules: &[Rule]) {
        for rule in rules {
            self.always("route", &rule.component);
            for layer in rule.middleware.iter().flatten() {
                self.part("route: middleware", &layer.source);
            }
        }
        for layer in &self.manifest.gateway.middleware {
            self.part("gateway: middleware", &layer.source);
        }
        let has_policies = self.manifest.auth.as_ref().is_some_and(|auth| !auth.policies.is_empty());
        if let Some(rule) = rules.iter().find(|rule| rule.access.asks_policies()).filter(|_| !has_policies) {
            let help = "add policies = [\"access.cedar\"] to [application.tool.weft.auth]";
            self.problems.report_with_help(rule.line, "the route asks for policies, and there are none", help);
        }
        let guarded = rules.iter().find(|rule| rule.access != Access::Public);
        if let Some(rule) = guarded.filter(|_| self.manifest.auth.is_none()) {
            self.problems.report_with_help(
                rule.line,
                "the route asks for a token, and there is no [application.tool.weft.auth] to check it by",
                "add that table, or write { component = \"...\", public = true }",
            );
        }
    }

    fn component(&self, component: &Component) {
        let who = format!("component {:?}", &*component.id);
        let grants = &component.grants;
        if let Some(context) = &grants.context {
            self.context(&who, context);
        }
        self.projections(&who, component);
        self.callers(&format!("{who}: mesh.rules"), &component.mesh.rules);
        for dependency in &component.dependencies {
            self.dependency(&who, dependency);
        }
        for callee in grants.calls.values() {
            self.running(&format!("{who}: calls"), callee);
        }
        for saga in &grants.sagas {
            if let Some(target) = self.running(&format!("{who}: sagas"), saga).filter(|target| !target.durable) {
                self.problems.report_with_help(
                    saga.line,
                    format!("{who}: sagas: component {:?} is not durable", &*saga.value),
                    format!("add to [component.{}.tool.weft]: durable = true", target.id),
                );
            }
        }
        for template in grants.variables.values().chain(&grants.allowed_outbound_hosts) {
            for name in template.variables() {
                self.variable(&who, template.line, name);
            }
        }
    }

    fn dependency(&self, who: &str, dependency: &Dependency) {
        self.part(&format!("{who}: dependency {:?}", dependency.name.as_str()), &dependency.source);
    }

    /// What is composed into another has only what that lets it have, so it must need nothing of its own (Spin's rule).
    fn part(&self, who: &str, source: &DependencySource) {
        let DependencySource::Component(id) = source else { return };
        let Some(target) = self.find(who, id) else { return };
        let grants = target.closed_form_grants.as_ref().unwrap_or(&target.grants);
        let own = [
            ("allowed_outbound_hosts", grants.allowed_outbound_hosts.is_empty()),
            ("dependencies", target.dependencies.is_empty()),
            ("environment", grants.environment.is_empty()),
            ("files", grants.files.is_empty()),
            ("key_value_stores", grants.key_value_stores.is_empty()),
            ("sqlite_databases", grants.sqlite_databases.is_empty()),
            ("variables", grants.variables.is_empty()),
        ];
        for (key, _) in own.into_iter().filter(|(_, empty)| !empty) {
            self.problems.report_with_help(
                id.line,
                format!("{who}: component {:?} has `{key}` of its own, which a dependency cannot have", &*id.value),
                format!("give `{key}` to the component that depends on it, and say `inherit_configuration` here"),
            );
        }
    }

    fn context(&self, who: &str, context: &Located<Arc<str>>) {
        if self.manifest.contexts.contains_key(&context.value) {
            return;
        }
        let names = self.manifest.contexts.keys().map(|name| &**name);
        let help = names::nearest(context, names).map_or_else(
            || format!("add [application.tool.weft.contexts.{context}]"),
            |near| format!("did you mean {near:?}?"),
        );
        let message = format!("{who}: there is no context {:?}", &*context.value);
        self.problems.report_with_help(context.line, message, help);
    }

    /// Two projections that wrote one table would undo each other's rebuilds.
    fn projections(&self, who: &str, component: &Component) {
        for projection in &component.projections {
            let who = format!("{who}: projection {:?}", &*projection.name);
            if let ProjectionSource::Store(context) = &projection.source {
                self.context(&who, context);
            }
            let context = |of: &Component| of.grants.context.as_ref().map(|context| context.value.clone());
            let in_context = |other: &&Component| context(other) == context(component);
            let all = self.manifest.components.values().filter(in_context).flat_map(|other| &other.projections);
            for other in all.filter(|other| !std::ptr::eq(*other, projection) && other.line <= projection.line) {
                if let Some(table) = projection.tables.iter().find(|table| other.tables.contains(table)) {
                    let message =
                        format!("{who}: the table {table:?} belongs to the projection on line {}", other.line);
                    self.problems.report_with_help(projection.line, message, "give each projection tables of its own");
                }
            }
        }
    }

    fn variable(&self, who: &str, line: usize, name: &str) {
        if self.manifest.variables.contains_key(name) {
            return;
        }
        let names = self.manifest.variables.keys().map(|name| &**name);
        let help = names::nearest(name, names).map_or_else(
            || format!("add under [variables]: {name} = {{ default = \"\" }}"),
            |near| format!("did you mean `{near}`?"),
        );
        self.problems.report_with_help(line, format!("{who}: there is no variable `{name}`"), help);
    }
}
