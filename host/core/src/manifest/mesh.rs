//! Policy on calls from function to function: when a callee is left alone, when a call is made again, what is made to fail on
//! purpose. Keeping to it belongs to the mesh.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::access::{self, AccessRule, WrittenRule};
use super::diagnostic::Located;
use super::names;
use super::section::{Entry, Section};
use super::service::{self, Service};
use crate::Reason;

/// The longest time of any of these policies, in milliseconds.
const MAX_MS: u32 = 600_000;
/// Functions of one callee that may be declared idempotent.
const MAX_IDEMPOTENT: usize = 256;
/// Faults that may be declared.
const MAX_FAULTS: usize = 64;

/// `[application.tool.weft.mesh]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mesh {
    /// For calls to the components that do not say otherwise.
    pub calls: CallPolicy,
    /// What fails on purpose, in the order in which it is tried.
    pub faults: Vec<Located<FaultRule>>,
    /// External services by name.
    pub services: BTreeMap<Arc<str>, Service>,
}

/// `[component.<id>.tool.weft.mesh]`, policy on calls to that component; and what the application says for all. A table here
/// stands for the whole of the application's table of that name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallPolicy {
    /// When it is left alone.
    pub breaker: Option<Breaker>,
    /// When a call to it is made again.
    pub retry: Option<Retry>,
    /// When a second call is made beside the first.
    pub hedge: Option<Hedge>,
    /// Which calls of those that may call it are let through; a component's own alone.
    pub rules: Vec<WrittenRule>,
}

/// `mesh.breaker`: calls to a callee that mostly fails are refused at once for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Whether there is one; there is by default.
    pub enabled: bool,
    /// Whether HTTP requests from the gateway are its calls as well: not by default, since whoever may send requests that make
    /// a function fail could then close it to everybody.
    pub http: bool,
    /// It opens at no fewer failures within the window: 1 to 100,000, 5 by default.
    pub failure_threshold: u32,
    /// It closes after so many successes in a row: 1 to 1,000, 3 by default.
    pub success_threshold: u32,
    /// It opens at no fewer calls within the window: 1 to 100,000, 10 by default.
    pub volume_threshold: u32,
    /// It opens when at least so many of a hundred calls within the window failed: 1 to 100, 50 by default.
    pub error_rate_percent: u32,
    /// The window, in milliseconds: 100 to 600,000, 10,000 by default.
    pub window_ms: u32,
    /// How long it is open before a call is let through to see, in milliseconds: 1 to 600,000, 30,000 by default.
    pub reset_after_ms: u32,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            enabled: true,
            http: false,
            failure_threshold: 5,
            success_threshold: 3,
            volume_threshold: 10,
            error_rate_percent: 50,
            window_ms: 10_000,
            reset_after_ms: 30_000,
        }
    }
}

impl Breaker {
    fn read(section: Section<'_>) -> Self {
        let default = Self::default();
        let breaker = Self {
            enabled: section.flag("enabled", default.enabled),
            http: section.flag("http", default.http),
            failure_threshold: section.number("failure_threshold", 1..=100_000, default.failure_threshold),
            success_threshold: section.number("success_threshold", 1..=1_000, default.success_threshold),
            volume_threshold: section.number("volume_threshold", 1..=100_000, default.volume_threshold),
            error_rate_percent: section.number("error_rate_percent", 1..=100, default.error_rate_percent),
            window_ms: section.number("window_ms", 100..=MAX_MS, default.window_ms),
            reset_after_ms: section.number("reset_after_ms", 1..=MAX_MS, default.reset_after_ms),
        };
        section.finish();
        breaker
    }
}

/// `mesh.retry`: a call that failed is made again after a wait, if that may help and can do no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often at most: 0 to 100, 3 by default.
    pub max_retries: u32,
    /// The longest first wait, in milliseconds: 0 to 600,000, 100 by default.
    pub base_ms: u32,
    /// By how much the longest wait grows each time, in percent: 100 to 1,000, 200 by default.
    pub factor_percent: u32,
    /// The longest wait, in milliseconds: 0 to 600,000, 5,000 by default.
    pub cap_ms: u32,
    /// Calls made again within ten seconds, in percent of those that were made: 0 to 1,000, 20 by default.
    pub budget_percent: u32,
    /// How long one attempt may take, in milliseconds: 1 to 600,000; none by default, so that one may take all the time there is.
    pub attempt_timeout_ms: Option<u32>,
    /// Functions that may be called again though the first call may have had its effect, as `interface#function` or `*` for all.
    /// Those whose first parameter is an idempotency key need not stand here. Of a service: methods, beside those that are
    /// idempotent by themselves.
    pub idempotent: Vec<Located<Arc<str>>>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_retries: 3,
            base_ms: 100,
            factor_percent: 200,
            cap_ms: 5_000,
            budget_percent: 20,
            attempt_timeout_ms: None,
            idempotent: Vec::new(),
        }
    }
}

/// What `preset` may say.
const PRESETS: [(&str, u32, u32, u32, u32); 3] =
    [("database", 5, 500, 200, 10_000), ("http", 3, 1_000, 200, 15_000), ("messaging", 10, 2_000, 150, 60_000)];

/// Whose calls a policy is on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Functions,
    Service,
}

impl Retry {
    fn read(section: Section<'_>, of: Of) -> Self {
        let default = section.string("preset").map_or_else(Self::default, |preset| {
            let known = PRESETS.iter().find(|(name, ..)| *name == &*preset.value);
            if known.is_none() {
                let message = format!("`{}`: there is no preset {:?}", section.name("preset"), &*preset.value);
                section.report_with_help(preset.line, message, "database, http and messaging are those that there are");
            }
            known.map_or_else(Self::default, |&(_, max_retries, base_ms, factor_percent, cap_ms)| Self {
                max_retries,
                base_ms,
                factor_percent,
                cap_ms,
                ..Self::default()
            })
        });
        let idempotent = match of {
            Of::Functions => {
                let is_one = |text: &str| text == "*" || is_function(text);
                section.names("idempotent", is_one, "a function as interface#function, or *")
            }
            Of::Service => {
                let is_one = |text: &str| text == "*" || (is_upper(text) && names::is_token(text));
                section.names("idempotent", is_one, "a method such as POST, or *")
            }
        };
        if idempotent.len() > MAX_IDEMPOTENT {
            section.report(section.line, format!("at most {MAX_IDEMPOTENT} functions are declared idempotent"));
        }
        let retry = Self {
            max_retries: section.number("max_retries", 0..=100, default.max_retries),
            base_ms: section.number("base_ms", 0..=MAX_MS, default.base_ms),
            factor_percent: section.number("factor_percent", 100..=1_000, default.factor_percent),
            cap_ms: section.number("cap_ms", 0..=MAX_MS, default.cap_ms),
            budget_percent: section.number("budget_percent", 0..=1_000, default.budget_percent),
            attempt_timeout_ms: section.get("attempt_timeout_ms").and_then(|entry| entry.number(&(1..=MAX_MS))),
            idempotent,
        };
        section.finish();
        retry
    }
}

/// `mesh.hedge`: if there is no answer after a while, the call is made a second time, and the first answer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hedge {
    /// After so long, in milliseconds: 1 to 600,000.
    pub after_ms: u32,
}

impl Hedge {
    fn read(section: Section<'_>) -> Option<Self> {
        let after_ms = section.get("after_ms").and_then(|entry| entry.number(&(1..=MAX_MS)));
        if section.get("after_ms").is_none() {
            let help = "add after_ms = 50, or what nine of ten calls take";
            section.report_with_help(section.line, format!("`{}` is missing", section.name("after_ms")), help);
        }
        section.finish();
        after_ms.map(|after_ms| Self { after_ms })
    }
}

impl CallPolicy {
    fn of(section: &Section<'_>, of: Of) -> Self {
        Self {
            breaker: section.section("breaker").map(Breaker::read),
            retry: section.section("retry").map(|retry| Retry::read(retry, of)),
            hedge: section.section("hedge").and_then(Hedge::read),
            rules: Vec::new(),
        }
    }

    pub(super) fn of_service(section: &Section<'_>) -> Self {
        let rules = access::read(section);
        for function in rules.iter().flat_map(|rule| &rule.functions) {
            let message = format!("a rule on the function {:?} fits no request to a service", &*function.value);
            section.report_with_help(function.line, message, "name `methods` or `headers`, or callers alone");
        }
        Self { rules, ..Self::of(section, Of::Service) }
    }

    pub(super) fn read(section: Section<'_>, is_durable: bool) -> Self {
        let policy = Self { rules: access::read(&section), ..Self::of(&section, Of::Functions) };
        for key in ["breaker", "retry", "hedge"] {
            if let Some(entry) = section.get(key).filter(|_| is_durable) {
                let help = "remove it: the saga engine sees to the end of what has begun";
                entry.report_with_help("has no effect on a durable component", help);
            }
        }
        section.finish();
        policy
    }

    /// Which calls of those that may be made at all are let through.
    #[must_use]
    pub fn access_rules(&self) -> Vec<AccessRule> {
        self.rules.iter().map(|written| written.rule.clone()).collect()
    }
}

impl Mesh {
    pub(super) fn read(section: Section<'_>) -> Self {
        let calls = CallPolicy::of(&section, Of::Functions);
        let faults = section.get("faults").and_then(|entry| entry.items()).unwrap_or_default();
        if faults.len() > MAX_FAULTS {
            section.report(section.line, format!("at most {MAX_FAULTS} faults are declared"));
        }
        let faults = faults.into_iter().filter_map(FaultRule::read).collect();
        let services = section.section("services").map(service::read).unwrap_or_default();
        section.finish();
        Self { calls, faults, services }
    }
}

/// One of `[[application.tool.weft.mesh.faults]]`: some calls are delayed, or fail, on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRule {
    /// The component or service that is called; any without it.
    pub callee: Option<Arc<str>>,
    /// The component that calls; anyone without it, the gateway included.
    pub caller: Option<Arc<str>>,
    /// The function that is called, as `interface#function`; any without it.
    pub function: Option<Arc<str>>,
    /// How many of a hundred calls it strikes: 1 to 100.
    pub percent: u32,
    /// How much later those calls begin, in milliseconds: 1 to 600,000.
    pub delay_ms: Option<u32>,
    /// How those calls fail, without being made.
    pub abort: Option<Reason>,
}

/// The failures that can be made on purpose.
pub const ABORTS: [Reason; 4] = [Reason::Unavailable, Reason::Deadline, Reason::Trapped, Reason::Overloaded];

fn is_upper(text: &str) -> bool {
    !text.chars().any(|c| c.is_ascii_lowercase())
}

/// Whether `text` names a function as `interface#function`.
#[must_use]
pub fn is_function(text: &str) -> bool {
    is_functions(text) && !text.ends_with("#*")
}

/// Whether `text` names a function, or all of an interface as `interface#*`.
pub(super) fn is_functions(text: &str) -> bool {
    text.split_once('#').is_some_and(|(interface, function)| !interface.is_empty() && !function.is_empty())
}

/// Finds a failure of [`ABORTS`] by its name.
#[must_use]
pub fn abort(name: &str) -> Option<Reason> {
    ABORTS.into_iter().find(|reason| reason.as_str() == name)
}

impl FaultRule {
    fn read(entry: Entry<'_>) -> Option<Located<Self>> {
        let section = entry.section()?;
        let component = |key| {
            let id = section.string(key)?;
            if !names::is_kebab(&id) {
                section.report(id.line, format!("`{}`: {:?} is no component's id", section.name(key), &*id.value));
            }
            Some(id.value)
        };
        let (callee, caller) = (component("callee"), component("caller"));
        let abort = section.string("abort").and_then(|name| {
            let reason = abort(&name.value);
            if reason.is_none() {
                let known = ABORTS.map(Reason::as_str).join(", ");
                let message = format!("`{}`: {:?} is no failure", section.name("abort"), &*name.value);
                section.report_with_help(name.line, message, format!("one of {known}"));
            }
            reason
        });
        let function = section.string("function");
        if let Some(written) = function.as_ref().filter(|written| !is_function(&written.value)) {
            let message = format!("`{}`: {:?} is no function", section.name("function"), &*written.value);
            section.report_with_help(written.line, message, "write it as interface#function");
        }
        let rule = Self {
            callee,
            caller,
            function: function.map(|function| function.value),
            percent: section.number("percent", 1..=100, 100),
            delay_ms: section.get("delay_ms").and_then(|entry| entry.number(&(1..=MAX_MS))),
            abort,
        };
        if section.get("abort").is_none() && section.get("delay_ms").is_none() {
            let help = "add delay_ms = 200, or abort = \"unavailable\"";
            section.report_with_help(section.line, "a fault delays calls or makes them fail", help);
        }
        let line = section.line;
        section.finish();
        Some(Located::new(rule, line))
    }
}
