//! Which component serves which method of which path on which hosts, and for whom: the triggers and the table
//! `[application.tool.weft.routes]` put together. Which route a request finds is in [`super::lookup`]; serving belongs to the gateway.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::Manifest;
use super::behind;
use super::diagnostic::Located;
use super::gateway::{DEFAULT_REQUEST_TIMEOUT_MS, Priority};
use super::host::{self, HostPattern};
use super::limits::DEADLINE_MS;
use super::names;
use super::pattern::RoutePattern;
use super::rate_limit;
use super::section::{Entry, Section};
use super::source::Files;
use super::static_response::StaticResponse;
use super::transform::Transform;
use super::trigger::{HttpTrigger, Middleware, TriggerTarget};

/// What stands for users in a route's `callers`.
const USERS: &str = "users";
/// Entries of a route's `callers`.
const MAX_CALLERS: usize = 64;
/// Routes of one entry of the table, which differ in their hosts.
const MAX_OF_ENTRY: usize = 64;

/// A method of HTTP, or any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Reads the header alone.
    Head,
    /// Does what the function says.
    Post,
    /// Replaces.
    Put,
    /// Changes a part.
    Patch,
    /// Deletes.
    Delete,
    /// Asks what may be done.
    Options,
    /// Every method that has no route of its own on the path; written `*`.
    Any,
}

/// An unknown method. Client fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a method is GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS or `*`, in capitals")]
pub struct MethodError;

/// Who may use a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone. A token that is sent all the same is verified, and its identity reaches the function.
    Public,
    /// Those who show who they are, and who are among these.
    Authenticated(Callers),
}

impl Access {
    /// Whether the application's policies have to permit it as well.
    #[must_use]
    pub fn asks_policies(&self) -> bool {
        matches!(self, Self::Authenticated(callers) if callers.policies)
    }
}

/// Whom a route is for that is not for everyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callers {
    /// Whether users are, by token or API key.
    pub users: bool,
    /// A user needs one of these roles; any role will do if there are none.
    pub roles: Vec<Arc<str>>,
    /// All of these permissions are needed, of services too.
    pub permissions: Vec<Arc<str>>,
    /// Services that are, by their own tokens: names, or beginnings of names with `*`.
    pub services: Vec<Arc<str>>,
    /// Whether the application's policies have to permit it as well.
    pub policies: bool,
}

/// Whether a service can be called so: words joined by `-`, but for the one that stands for users.
#[must_use]
pub fn is_service_name(name: &str) -> bool {
    names::is_kebab(name) && name != USERS
}

impl Default for Callers {
    /// Every user, and no service.
    fn default() -> Self {
        Self { users: true, roles: Vec::new(), permissions: Vec::new(), services: Vec::new(), policies: false }
    }
}

impl Callers {
    /// Whether a service is on the list.
    #[must_use]
    pub fn has_service(&self, name: &str) -> bool {
        self.services.iter().any(|pattern| names::covers(pattern, name))
    }

    /// Whether there is anybody with a valid token who is not let in.
    #[must_use]
    pub fn excludes_some(&self) -> bool {
        *self != Self { services: vec!["*".into()], ..Self::default() }
    }
}

/// What an `Idempotency-Key` means on a route, for POST, PATCH, PUT and DELETE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyUse {
    /// Nothing to the gateway: the function gets it as it is.
    #[default]
    Ignored,
    /// A repeated request gets the answer of the first, if it is known who calls.
    OfCallers,
    /// So does one of nobody that is known, for whom its address stands.
    OfAll,
    /// As [`KeyUse::OfAll`], and a request without one is refused.
    Required,
}

impl KeyUse {
    /// Whose repeated requests get the answer of the first, for a person.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ignored => "none",
            Self::OfCallers => "callers",
            Self::OfAll => "all",
            Self::Required => "required",
        }
    }
}

/// Whether the function of a route waits long on purpose: how long it takes then says nothing of how busy the host is, and while it
/// waits it keeps nobody from running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waits {
    /// It does not.
    #[default]
    Never,
    /// For clients that want it to, by `Prefer: wait` (RFC 7240).
    Asked,
    /// It does.
    Always,
}

/// One method of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, the application's base included.
    pub pattern: RoutePattern,
    /// The hosts that it is for, sorted; for all if there are none.
    pub hosts: Vec<HostPattern>,
    /// The trigger's route as it is written, without the base.
    pub written: Arc<str>,
    /// The component that serves it; the trigger's id where none does.
    pub component: Arc<str>,
    /// What the host answers by itself.
    pub static_response: Option<Arc<StaticResponse>>,
    /// Who may use it.
    pub access: Access,
    /// How long the function may take to answer, in milliseconds: what the route says, else what the component says,
    /// else the gateway's `request_timeout_ms`.
    pub deadline_ms: u32,
    /// The names of the rate limits that hold for it.
    pub limits: Vec<Arc<str>>,
    /// Whether those of its caller's tier do.
    pub is_tiered: bool,
    /// How much it matters when not everything can be served.
    pub priority: Priority,
    /// Whether its function waits long on purpose.
    pub waits: Waits,
    /// The rules that change its requests and answers, in the order in which they are applied.
    pub transforms: Vec<Arc<Transform>>,
    /// What an `Idempotency-Key` means on it.
    pub idempotency: KeyUse,
    /// The line it stands on: in the routes table, or that of the trigger.
    pub line: usize,
}

impl Route {
    /// A public route about which nothing else is said, for a component that answers in the time that the gateway gives by default.
    #[must_use]
    pub fn new(method: Method, pattern: RoutePattern, component: Arc<str>) -> Self {
        Self {
            method,
            written: pattern.to_string().into(),
            pattern,
            hosts: Vec::new(),
            component,
            static_response: None,
            access: Access::Public,
            deadline_ms: DEFAULT_REQUEST_TIMEOUT_MS,
            limits: Vec::new(),
            is_tiered: false,
            priority: Priority::default(),
            waits: Waits::default(),
            transforms: Vec::new(),
            idempotency: KeyUse::default(),
            line: 0,
        }
    }

    /// The order of [`Manifest::routes`]: by path as [`RoutePattern`] has it, and in one path by method and hosts, those for
    /// all hosts last.
    #[must_use]
    pub fn precedence(&self, other: &Self) -> Ordering {
        let key = |route: &Self| (route.method, route.hosts.is_empty());
        let by_path = self.pattern.cmp(&other.pattern);
        by_path.then_with(|| key(self).cmp(&key(other))).then_with(|| self.hosts.cmp(&other.hosts))
    }
}

/// A host that stands in both lists; of two without any, all.
pub(super) fn shared_host<'h>(own: &'h [HostPattern], other: &[HostPattern]) -> Option<Option<&'h HostPattern>> {
    if own.is_empty() && other.is_empty() {
        return Some(None);
    }
    own.iter().find(|host| other.contains(host)).map(Some)
}

impl Method {
    /// As it stands in a request and in the manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Any => "*",
        }
    }
}

impl Method {
    /// Whether requests of it may change something, so that it matters how often they are done.
    #[must_use]
    pub fn is_unsafe(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch | Self::Delete | Self::Any)
    }
}

impl FromStr for Method {
    type Err = MethodError;

    fn from_str(text: &str) -> Result<Self, MethodError> {
        let all = [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Options, Self::Any];
        all.into_iter().find(|method| method.as_str() == text).ok_or(MethodError)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One route of the routes table, not yet joined to its trigger.
#[derive(Debug)]
pub(super) struct Rule {
    method: Method,
    pattern: RoutePattern,
    hosts: Vec<HostPattern>,
    pub(super) component: Located<Arc<str>>,
    pub(super) access: Access,
    deadline_ms: Option<u32>,
    /// The rate limits that hold for it, in place of those that cover its component.
    pub(super) limits: Option<Vec<Located<Arc<str>>>>,
    priority: Priority,
    waits: Waits,
    /// The sets of rules that change it, in place of those that cover its component.
    pub(super) transforms: Option<Vec<Located<Arc<str>>>>,
    /// What stands in front of it, in the place of what stands in front of all.
    pub(super) middleware: Option<Vec<Middleware>>,
    idempotency: Option<KeyUse>,
    pub(super) line: usize,
}

/// What requests a rule is about, by which it is told from others.
pub(super) type Served = (Method, RoutePattern, Vec<HostPattern>);

impl Rule {
    /// About which nothing is said but the component.
    fn plain(method: Method, pattern: RoutePattern, component: Located<Arc<str>>, line: usize) -> Self {
        Self {
            method,
            pattern,
            hosts: Vec::new(),
            component,
            access: Access::Authenticated(Callers::default()),
            deadline_ms: None,
            limits: None,
            priority: Priority::default(),
            waits: Waits::default(),
            transforms: None,
            middleware: None,
            idempotency: None,
            line,
        }
    }

    /// The method, the path and the hosts of requests.
    pub(super) fn served(&self, base: &RoutePattern) -> Served {
        (self.method, self.pattern.below(base), self.hosts.clone())
    }

    /// The route that it is on, for messages.
    fn name(&self, host: Option<&HostPattern>) -> String {
        let host = host.map_or_else(String::new, |host| format!(" on {host}"));
        format!("{} {}{host}", self.method, self.pattern)
    }
}

impl Route {
    /// What requests it serves.
    pub(super) fn served(&self) -> Served {
        (self.method, self.pattern.clone(), self.hosts.clone())
    }
}

/// The routes of `[application.tool.weft.routes]`: one of each entry, or one of each place of its list.
pub(super) fn read(section: &Section<'_>, files: &Files) -> Vec<Rule> {
    section.entries().into_iter().flat_map(|(key, entry)| rules(&key, entry, files)).collect()
}

fn rules(key: &Located<Arc<str>>, entry: Entry<'_>, files: &Files) -> Vec<Rule> {
    let Some((method, path)) = key.split_once(' ') else {
        entry.report_with_help("is not a method and a path", "write it as \"GET /api/courses\"");
        return Vec::new();
    };
    let method = method.parse().map_err(|error| entry.report(format!("names no method: {error}"))).ok();
    let pattern = path.parse().map_err(|error| entry.report(format!("names no path: {error}"))).ok();
    if !entry.is_list() {
        return rule((method, pattern), entry, key.line, files).into_iter().collect();
    }
    let items = entry.items().unwrap_or_default();
    if items.is_empty() || items.len() > MAX_OF_ENTRY {
        let help = "write [{ component = \"...\", hosts = [\"a.example\"] }, { component = \"...\" }]";
        entry.report_with_help(format!("has 1 to {MAX_OF_ENTRY} routes, which differ in their hosts"), help);
    }
    let of_item = |item: Entry<'_>| {
        let line = item.line;
        rule((method, pattern.clone()), item, line, files)
    };
    items.into_iter().filter_map(of_item).collect()
}

fn rule(
    (method, pattern): (Option<Method>, Option<RoutePattern>),
    entry: Entry<'_>,
    line: usize,
    files: &Files,
) -> Option<Rule> {
    if entry.is_string() {
        let component = entry.string()?;
        return Some(Rule::plain(method?, pattern?, component, line));
    }
    let section = entry.section()?;
    let component = section.required_string("component");
    let hosts = host::read(&section);
    let access = access(&section);
    let deadline_ms = section.get("deadline_ms").and_then(|entry| entry.number(&DEADLINE_MS));
    let is_given = section.get("limits").is_some();
    let limits = is_given.then(|| section.names("limits", names::is_label, "the name of a rate limit"));
    let idempotency = section.get("idempotency").and_then(|entry| key_use(&entry));
    if let Some(safe) = method.filter(|method| idempotency.is_some() && !method.is_unsafe()) {
        let message = format!("`idempotency` means nothing for {safe}, which changes nothing");
        section.report_with_help(section.line, message, "remove it; it is for POST, PATCH, PUT and DELETE");
    }
    let priority = priority(&section);
    let waits = section.get("waits").and_then(|entry| waits(&entry)).unwrap_or_default();
    let is_given = section.get("transforms").is_some();
    let transforms = is_given.then(|| section.names("transforms", names::is_label, "the name of a set of rules"));
    let middleware = behind::read(&section, files);
    section.finish();
    Some(Rule {
        hosts,
        access,
        deadline_ms,
        limits,
        priority,
        waits,
        transforms,
        middleware,
        idempotency,
        ..Rule::plain(method?, pattern?, component?, line)
    })
}

fn priority(section: &Section<'_>) -> Priority {
    let Some(written) = section.string("priority") else { return Priority::Normal };
    written.parse().unwrap_or_else(|error| {
        section.report(written.line, format!("`{}`: {error}, not {:?}", section.name("priority"), &*written.value));
        Priority::Normal
    })
}

fn waits(entry: &Entry<'_>) -> Option<Waits> {
    if !entry.is_string() {
        return entry.flag().map(|flag| if flag { Waits::Always } else { Waits::Never });
    }
    let asked = entry.string().is_some_and(|text| &*text.value == "asked");
    if !asked {
        entry.report_with_help("is no way to wait", "write true, false or \"asked\"");
    }
    asked.then_some(Waits::Asked)
}

fn key_use(entry: &Entry<'_>) -> Option<KeyUse> {
    if !entry.is_string() {
        return entry.flag().map(|flag| if flag { KeyUse::OfAll } else { KeyUse::Ignored });
    }
    let required = entry.string().is_some_and(|text| &*text.value == "required");
    if !required {
        entry.report_with_help("is no way to use a key", "write true, false or \"required\"");
    }
    required.then_some(KeyUse::Required)
}

/// What routes do that do not say.
fn default_key_use(manifest: &Manifest) -> KeyUse {
    if manifest.gateway.idempotency.enabled { KeyUse::OfCallers } else { KeyUse::Ignored }
}

fn access(section: &Section<'_>) -> Access {
    let words = |key| {
        let names = section.names(key, |name| !name.is_empty() && name.len() <= 128, "a name of 1 to 128 bytes");
        names.into_iter().map(|name| name.value).collect::<Vec<_>>()
    };
    let (roles, permissions) = (words("roles"), words("permissions"));
    let callers = section.get("callers").is_some().then(|| callers(section));
    let policies = section.flag("policies", false);
    if section.flag("public", false) {
        if !roles.is_empty() || !permissions.is_empty() || callers.is_some() || policies {
            section.report_with_help(
                section.line,
                "a public route asks for no roles, permissions, callers and policies",
                "remove `public`, or `roles`, `permissions`, `callers` and `policies`",
            );
        }
        return Access::Public;
    }
    let (users, services) = callers.unwrap_or((true, Vec::new()));
    if !users && !roles.is_empty() {
        section.report_with_help(
            section.line,
            "roles are asked of users, who are not among the `callers`",
            "add \"users\" to `callers`, or remove `roles`",
        );
    }
    Access::Authenticated(Callers { users, roles, permissions, services, policies })
}

/// Whether users are among a route's callers, and which services.
fn callers(section: &Section<'_>) -> (bool, Vec<Arc<str>>) {
    let what = "`users`, the name of a service, or the beginning of names and a `*`";
    let named = section.names("callers", |name| name == "*" || names::is_pattern(name), what);
    if named.is_empty() || named.len() > MAX_CALLERS {
        let message = format!("`{}` has 1 to {MAX_CALLERS} entries", section.name("callers"));
        section.report_with_help(section.line, message, "write such as [\"users\", \"grading\", \"reports-*\"]");
    }
    let (users, services): (Vec<_>, Vec<_>) =
        named.into_iter().map(|name| name.value).partition(|name| &**name == USERS);
    (!users.is_empty(), services)
}

/// Joins triggers and rules, and answers the routes in the order of precedence.
pub(super) fn assemble(manifest: &Manifest, rules: Vec<Rule>, problems: &super::problems::Problems) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        let triggers = manifest.triggers.iter().filter_map(|trigger| trigger.pattern.as_ref());
        if !triggers.clone().any(|pattern| *pattern == rule.pattern) {
            no_trigger(rule, triggers, problems);
        }
        let earlier = rules.iter().take(number);
        let same = |other: &&Rule| other.method == rule.method && other.pattern == rule.pattern;
        let twin = |other: &'_ Rule| Some((other.line, shared_host(&rule.hosts, &other.hosts)?));
        if let Some((line, host)) = earlier.filter(same).find_map(twin) {
            let message = format!("{} has a route on line {line} already", rule.name(host));
            problems.report_with_help(rule.line, message, "remove one of them");
        }
        routes.push(of_rule(manifest, rule));
    }
    for trigger in &manifest.triggers {
        let Some(pattern) = &trigger.pattern else { continue };
        let is_replaced = trigger.component().is_some_and(|id| manifest.is_replaced(&id.value));
        if is_replaced || rules.iter().any(|rule| rule.pattern == *pattern) {
            continue;
        }
        routes.push(of_trigger(manifest, trigger, pattern));
    }
    routes.sort_by(Route::precedence);
    routes
}

fn no_trigger<'a>(rule: &Rule, triggers: impl Iterator<Item = &'a RoutePattern>, problems: &super::problems::Problems) {
    let paths: Vec<String> = triggers.map(ToString::to_string).collect();
    let path = rule.pattern.to_string();
    let near = names::nearest(&path, paths.iter().map(String::as_str));
    let help = near.map_or_else(
        || format!("add [[trigger.http]] with route = {path:?} and component = {:?}", &*rule.component.value),
        |near| format!("did you mean {near:?}? Otherwise add a [[trigger.http]] with route = {path:?}"),
    );
    problems.report_with_help(rule.line, format!("no [[trigger.http]] has the route {path:?}"), help);
}

fn of_rule(manifest: &Manifest, rule: &Rule) -> Route {
    let trigger = manifest.triggers.iter().find(|trigger| trigger.pattern.as_ref() == Some(&rule.pattern));
    // The trigger's component under its own middleware, if the rule means that component.
    let half = trigger.and_then(HttpTrigger::component).and_then(|id| manifest.components.get(&id.value));
    let half = half.filter(|half| half.split_from.as_ref() == Some(&rule.component.value));
    let component = half.map_or_else(|| rule.component.value.clone(), |half| half.id.clone());
    let (limits, is_tiered) = rate_limit::of_route(manifest, Some(rule), &rule.component.value);
    Route {
        method: rule.method,
        pattern: rule.pattern.below(&manifest.base),
        hosts: rule.hosts.clone(),
        written: trigger.map_or_else(|| rule.pattern.to_string().into(), |trigger| trigger.written.clone()),
        deadline_ms: rule.deadline_ms.unwrap_or_else(|| deadline_ms(manifest, &component)),
        component,
        static_response: None,
        access: rule.access.clone(),
        limits,
        is_tiered,
        priority: rule.priority,
        waits: rule.waits,
        transforms: transforms(manifest, Some(rule), &rule.component.value),
        idempotency: rule.idempotency.unwrap_or_else(|| default_key_use(manifest)),
        line: rule.line,
    }
}

/// Without a rule the path is Spin's: any method. Where tokens are known at all it still takes one, so that nothing is
/// public by being forgotten.
fn of_trigger(manifest: &Manifest, trigger: &HttpTrigger, pattern: &RoutePattern) -> Route {
    let access = match manifest.auth {
        Some(_) => Access::Authenticated(Callers::default()),
        None => Access::Public,
    };
    let (component, static_response) = match &trigger.target {
        TriggerTarget::Component(id) => (id.value.clone(), None),
        TriggerTarget::Static(answer) => (trigger.id.clone(), Some(answer.clone())),
    };
    let (limits, is_tiered) = rate_limit::of_route(manifest, None, &component);
    let transforms = transforms(manifest, None, &component);
    Route {
        written: trigger.written.clone(),
        deadline_ms: deadline_ms(manifest, &component),
        static_response,
        access,
        limits,
        is_tiered,
        transforms,
        idempotency: default_key_use(manifest),
        line: trigger.line,
        ..Route::new(Method::Any, pattern.below(&manifest.base), component)
    }
}

/// The sets of rules that a route names, else those that cover its component.
fn transforms(manifest: &Manifest, rule: Option<&Rule>, component: &str) -> Vec<Arc<Transform>> {
    let all = &manifest.gateway.transforms;
    match rule.and_then(|rule| rule.transforms.as_ref()) {
        Some(named) => {
            let find = |name: &Located<Arc<str>>| all.iter().find(|one| one.name == name.value).cloned();
            named.iter().filter_map(find).collect()
        }
        None => all.iter().filter(|one| one.covers(component)).cloned().collect(),
    }
}

fn deadline_ms(manifest: &Manifest, component: &str) -> u32 {
    let own = manifest.components.get(component).and_then(|component| component.deadline_ms);
    own.unwrap_or(manifest.gateway.request_timeout_ms)
}
