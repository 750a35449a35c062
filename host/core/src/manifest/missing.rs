//! Words for a grant that a component turns out to need: found by those who read its imports, said here, where the
//! manifest's syntax is known.

use super::Manifest;
use super::component::Component;
use super::diagnostic::Diagnostic;

/// A grant that a component needs and does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingGrant<'a> {
    /// It imports `weft:sql` and names no context.
    Context,
    /// It imports this interface of another component and names none in `calls`.
    Call {
        /// Such as `education:courses/seats@1.0.0`.
        interface: &'a str,
        /// The component that exports it, where one is known.
        provider: Option<&'a str>,
    },
    /// It imports `weft:messaging/producer` and names no topics.
    Topics,
    /// It imports `weft:durable/handles` and names no sagas.
    Sagas,
    /// It exports or imports what durable components have and is not declared as one.
    Durable,
    /// It exports `weft:messaging/handler` and has no subscription.
    Subscription,
    /// It imports an interface of Weft that no grant gives.
    Unknown {
        /// Such as `weft:nothing/of-ours@0.1.0`.
        interface: &'a str,
    },
}

impl Manifest {
    /// What is missing, where it would stand, and the line to add.
    #[must_use]
    pub fn missing_grant(&self, component: &Component, missing: MissingGrant<'_>) -> Diagnostic {
        let (what, line) = match missing {
            MissingGrant::Context => {
                let mut contexts = self.contexts.keys();
                let context = match (contexts.next(), contexts.next()) {
                    (Some(only), None) => only,
                    _ => "<context>",
                };
                ("imports weft:sql without a context".to_owned(), Some(format!("context = {context:?}")))
            }
            MissingGrant::Call { interface, provider } => {
                let call = format!("{interface:?} = {:?}", provider.unwrap_or("<component that exports it>"));
                let line = if component.grants.calls.is_empty() { format!("calls = {{ {call} }}") } else { call };
                (format!("imports {interface} without a grant"), Some(line))
            }
            MissingGrant::Topics => (
                "imports weft:messaging/producer without a topic".to_owned(),
                Some("topics = [\"<topic or pattern>\"]".to_owned()),
            ),
            MissingGrant::Sagas => (
                "imports weft:durable/handles without a saga to see".to_owned(),
                Some("sagas = [\"<durable component>\"]".to_owned()),
            ),
            MissingGrant::Durable => {
                ("is a saga and not declared as one".to_owned(), Some("durable = true".to_owned()))
            }
            MissingGrant::Subscription => (
                "exports weft:messaging/handler without a subscription".to_owned(),
                Some("subscriptions = [{ topic = \"<topic or pattern>\", name = \"<name>\" }]".to_owned()),
            ),
            MissingGrant::Unknown { interface } => {
                (format!("imports {interface}, which this host does not have"), None)
            }
        };
        let at = component.weft_line.unwrap_or(component.line);
        let problem = self.problem(at, format!("component {:?}: {what}", &*component.id));
        let is_further_call = matches!(missing, MissingGrant::Call { .. }) && !component.grants.calls.is_empty();
        let table = if is_further_call { "tool.weft.calls" } else { "tool.weft" };
        match line {
            Some(line) => problem.with_help(format!("add to [component.{}.{table}]: {line}", component.id)),
            None => problem,
        }
    }

    /// The components that run, or are composed into one that does, and whose file is not there; optional ones may be
    /// absent.
    #[must_use]
    pub fn missing_sources(&self) -> Vec<Diagnostic> {
        let whole = self.components.values().filter(|component| component.split_from.is_none());
        let wanted = whole.filter(|component| !self.is_replaced(&component.id));
        let wanted: Vec<&Component> = wanted.collect();
        let absent = wanted.iter().copied().filter(|component| !component.optional && !component.source.is_file());
        let problem = |component: &Component| {
            let file = component.source.display();
            let problem =
                self.problem(component.source.line, format!("component {:?}: there is no file {file}", &*component.id));
            problem.with_help("run `weft build`")
        };
        let versions =
            wanted.iter().flat_map(|component| component.versions.iter().map(move |version| (component, version)));
        let absent_versions = versions.filter(|(_, version)| !version.source.is_file()).map(|(component, version)| {
            let (name, file) = (&version.name, version.source.display());
            let message = format!("version {name} of component {:?}: there is no file {file}", &*component.id);
            self.problem(version.source.line, message).with_help("run `weft build`")
        });
        absent.map(problem).chain(absent_versions).collect()
    }
}
