//! Who may call what of a component, beyond which components may call it at all: by caller, function, method and header. Keeping to it
//! belongs to the mesh.

use std::sync::Arc;

use super::diagnostic::Located;
use super::mesh::is_functions;
use super::names;
use super::section::{Entry, Section};

/// Rules of one component, and entries of each list of a rule.
const MAX_RULES: usize = 64;

/// One of `[[component.<id>.tool.weft.mesh.rules]]`. It fits a call that all its conditions fit; a list fits if one of its entries does, an
/// empty one always. A call that a denying rule fits is refused, and where there are allowing rules, so is a call that none of
/// these fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// Whether it allows what it fits; else it denies that.
    pub allows: bool,
    /// Components that call, or beginnings of their ids with `*`.
    pub callers: Vec<Arc<str>>,
    /// Functions that are called, as `interface#function` or `interface#*`. A rule with these fits no HTTP request.
    pub functions: Vec<Arc<str>>,
    /// Methods of HTTP requests. A rule with these fits no typed call.
    pub methods: Vec<Arc<str>>,
    /// Headers that HTTP requests have: name in lower case, and value. A rule with these fits no typed call.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
}

/// What is asked of a component.
#[derive(Clone, Copy)]
pub enum Operation<'a> {
    /// A typed call.
    Function {
        /// Such as `education:courses/seats@1.0.0`.
        interface: &'a str,
        /// Such as `reserve`.
        function: &'a str,
    },
    /// An HTTP request.
    Request {
        /// Its method.
        method: &'a str,
        /// The value of a header.
        header: &'a (dyn Fn(&str) -> Option<&'a str> + Sync),
    },
}

impl AccessRule {
    /// Whether all its conditions fit.
    #[must_use]
    pub fn fits(&self, caller: &str, operation: Operation<'_>) -> bool {
        let is_one =
            |list: &[Arc<str>], fits: &dyn Fn(&str) -> bool| list.is_empty() || list.iter().any(|one| fits(one));
        let is_operation = match operation {
            Operation::Function { interface, function } => {
                let is_function = |pattern: &str| {
                    pattern
                        .split_once('#')
                        .is_some_and(|(of, named)| of == interface && (named == "*" || named == function))
                };
                self.methods.is_empty() && self.headers.is_empty() && is_one(&self.functions, &is_function)
            }
            Operation::Request { method, header } => {
                self.functions.is_empty()
                    && is_one(&self.methods, &|one| one == method)
                    && self.headers.iter().all(|(name, value)| header(name) == Some(value))
            }
        };
        is_operation && is_one(&self.callers, &|pattern| names::covers(pattern, caller))
    }
}

/// A rule as it stands in the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenRule {
    /// What it says.
    pub rule: AccessRule,
    /// Its callers, with their lines.
    pub callers: Vec<Located<Arc<str>>>,
    /// Its functions, with their lines.
    pub functions: Vec<Located<Arc<str>>>,
}

impl WrittenRule {
    fn read(entry: Entry<'_>) -> Option<Self> {
        let section = entry.section()?;
        let action = section.required_string("action");
        if let Some(action) = action.as_ref().filter(|action| !matches!(&*action.value, "allow" | "deny")) {
            let message = format!("`{}`: {:?} is no action", section.name("action"), &*action.value);
            section.report_with_help(action.line, message, "write allow or deny");
        }
        let list = |key, is_one: fn(&str) -> bool, what| {
            let entries = section.names(key, is_one, what);
            if entries.len() > MAX_RULES {
                section.report(section.line, format!("`{key}` has at most {MAX_RULES} entries"));
            }
            entries
        };
        let callers = list("callers", is_callers, "a component's id, or the beginning of one with *");
        let functions = list("functions", is_functions, "a function as interface#function");
        let methods = list("methods", is_method, "a method in capitals");
        let values = |located: &[Located<Arc<str>>]| located.iter().map(|one| one.value.clone()).collect();
        let rule = AccessRule {
            allows: action.is_some_and(|action| &*action.value == "allow"),
            callers: values(&callers),
            functions: values(&functions),
            methods: values(&methods),
            headers: section.section("headers").map(super::version::headers).unwrap_or_default(),
        };
        if !rule.functions.is_empty() && (!rule.methods.is_empty() || !rule.headers.is_empty()) {
            let help = "a typed call has neither method nor headers: write two rules";
            section.report_with_help(section.line, "a rule on functions and on HTTP requests fits nothing", help);
        }
        section.finish();
        Some(Self { rule, callers, functions })
    }
}

/// Whether the rules of a component let a call through.
#[must_use]
pub fn permits(rules: &[AccessRule], caller: &str, operation: Operation<'_>) -> bool {
    let fits = |rule: &&AccessRule| rule.fits(caller, operation);
    let (allowing, denying): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| rule.allows);
    !denying.iter().any(fits) && (allowing.is_empty() || allowing.iter().any(fits))
}

/// The rules of a component.
pub(super) fn read(section: &Section<'_>) -> Vec<WrittenRule> {
    let entries = section.get("rules").and_then(|entry| entry.items()).unwrap_or_default();
    if entries.len() > MAX_RULES {
        section.report(section.line, format!("a component has at most {MAX_RULES} rules"));
    }
    entries.into_iter().filter_map(WrittenRule::read).collect()
}

fn is_callers(text: &str) -> bool {
    text == "*"
        || names::is_kebab(text.strip_suffix('*').map_or(text, |start| start.strip_suffix('-').unwrap_or(start)))
}

fn is_method(text: &str) -> bool {
    names::is_token(text) && !text.bytes().any(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(
        allows: bool,
        callers: &[&str],
        functions: &[&str],
        methods: &[&str],
        headers: &[(&str, &str)],
    ) -> AccessRule {
        let list = |texts: &[&str]| texts.iter().map(|text| Arc::from(*text)).collect();
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        AccessRule { allows, callers: list(callers), functions: list(functions), methods: list(methods), headers }
    }

    fn call<'a>(function: &'a str) -> Operation<'a> {
        Operation::Function { interface: "a:b/c", function }
    }

    #[test]
    fn denial_outranks_permission_and_what_no_permission_fits_is_refused() {
        let (reads, all) =
            (rule(true, &["web-*"], &["a:b/c#get"], &[], &[]), rule(true, &["admin"], &["a:b/c#*"], &[], &[]));
        let rules = [reads, all, rule(false, &["web-guest"], &[], &[], &[])];
        for (caller, function, expected) in [
            ("web-page", "get", true),
            ("web-page", "set", false),
            ("admin", "set", true),
            ("web-guest", "get", false),
            ("web", "get", false),
            ("other", "get", false),
        ] {
            assert_eq!(permits(&rules, caller, call(function)), expected, "{caller} {function}");
        }
        assert!(permits(&[], "anyone", call("set")));
        assert!(permits(&[rule(false, &["bad"], &[], &[], &[])], "good", call("set")));
    }

    #[test]
    fn requests_are_told_by_method_and_header() {
        let rules = [rule(true, &[], &[], &["GET"], &[("x-tenant", "a")])];
        let request = |method, tenant: &'static str| {
            let header = move |name: &str| (name == "x-tenant").then_some(tenant);
            permits(&rules, "any", Operation::Request { method, header: &header })
        };
        assert!(request("GET", "a"));
        assert!(!request("POST", "a") && !request("GET", "b"));
        assert!(!permits(&rules, "any", call("get")), "a typed call has no method");
        assert!(
            is_callers("*") && is_callers("web-*") && is_callers("web*") && !is_callers("web*x") && !is_callers("")
        );
    }
}
