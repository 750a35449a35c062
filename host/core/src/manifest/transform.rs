//! Rules that change requests on their way to functions and answers on their way back: headers, path, query, and fields of
//! JSON. Applying them belongs to the gateway.

use std::sync::Arc;

use super::diagnostic::Located;
use super::names;
use super::section::{Entry, Section};

/// Most rules of one kind in one table, and most sets of rules.
const MAX_RULES: usize = 64;
/// Longest value of a header and of a parameter, in bytes.
const MAX_VALUE_BYTES: usize = 4 * 1024;
/// Longest pointer, in bytes.
const MAX_POINTER_BYTES: usize = 1024;
/// What we say of a caller, of the way of a request and of limits, and what pages are told by CORS: nobody else's to say.
const OURS: [&str; 6] = ["x-user-", "x-service-", "spin-", "x-ratelimit-", "access-control-", "x-forwarded-"];
/// Of the connection, of the message's frame, or what the gateway itself goes by.
const FIXED: [&str; 22] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "ratelimit",
    "ratelimit-policy",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-api-key",
    "x-real-ip",
    "x-request-id",
];

/// A set of rules, `[application.tool.weft.gateway.transforms.<name>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform {
    /// Its name, by which routes ask for it.
    pub name: Arc<str>,
    /// The components whose routes it holds for, or beginnings of their ids with `*`; those of all without it.
    pub components: Option<Vec<Located<Arc<str>>>>,
    /// The largest body whose JSON is changed, in bytes: 1 to 16 MiB, 1 MiB by default.
    pub max_json_bytes: u32,
    /// How the path is changed.
    pub path: PathChange,
    /// Parameters of the query that are taken away and put there, in this order.
    pub query: Pairs,
    /// Headers of the request.
    pub request_headers: Headers,
    /// Fields of the request's JSON.
    pub request_json: Json,
    /// Headers of the answer.
    pub response_headers: Headers,
    /// Fields of the answer's JSON.
    pub response_json: Json,
    /// The line of the table.
    pub line: usize,
}

/// Changes the beginning of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathChange {
    /// Taken away where the path begins with it; it begins with a slash and does not end in one.
    pub strip_prefix: Option<Located<Arc<str>>>,
    /// Put in front after that; likewise.
    pub add_prefix: Option<Arc<str>>,
}

/// Names that are taken away and pairs that are put there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Taken away.
    pub remove: Vec<Arc<str>>,
    /// Put in the place of what there is.
    pub set: Vec<(Arc<str>, Arc<str>)>,
}

/// Changes of headers, in this order. Names are in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Taken away.
    pub remove: Vec<Arc<str>>,
    /// Old names and new ones, whose former values go.
    pub rename: Vec<(Arc<str>, Arc<str>)>,
    /// Put in the place of what there is.
    pub set: Vec<(Arc<str>, Arc<str>)>,
    /// Put there beside what there is.
    pub add: Vec<(Arc<str>, Arc<str>)>,
}

/// Changes of JSON, in this order. A pointer's step `*` stands for all items and members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Json {
    /// Taken away.
    pub remove: Vec<Pointer>,
    /// Members and their new names.
    pub rename: Vec<(Pointer, Arc<str>)>,
    /// Put into objects that there are.
    pub set: Vec<(Pointer, serde_json::Value)>,
}

/// A place in JSON (RFC 6901) below the top: at least one step, unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(pub Vec<Arc<str>>);

impl Json {
    /// Whether there is nothing to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.rename.is_empty() && self.set.is_empty()
    }
}

impl Transform {
    /// Whether it holds for the routes of this component, if they do not say otherwise.
    #[must_use]
    pub fn covers(&self, component: &str) -> bool {
        self.components.as_ref().is_none_or(|covered| covered.iter().any(|pattern| names::covers(pattern, component)))
    }
}

/// The sets of rules of the gateway's table, in the order of the file.
pub(super) fn read(gateway: &Section<'_>) -> Vec<Arc<Transform>> {
    let Some(table) = gateway.section("transforms") else { return Vec::new() };
    let entries = table.entries();
    if entries.len() > MAX_RULES {
        table.report(table.line, format!("`transforms` has at most {MAX_RULES} sets of rules"));
    }
    entries.into_iter().filter_map(|(name, entry)| transform(&name, entry)).map(Arc::new).collect()
}

fn transform(name: &Located<Arc<str>>, entry: Entry<'_>) -> Option<Transform> {
    if !names::is_label(name) {
        entry.report("is no name for a set of rules (kebab-case or snake_case)");
    }
    let section = entry.section()?;
    let is_given = section.get("components").is_some();
    let pattern = "a component's id, or the beginning of ids and a `*`";
    let components = is_given.then(|| section.names("components", names::is_pattern, pattern));
    let mut read = Transform {
        name: name.value.clone(),
        components,
        max_json_bytes: section.number("max_json_bytes", 1..=16 << 20, 1 << 20),
        path: PathChange::default(),
        query: Pairs::default(),
        request_headers: Headers::default(),
        request_json: Json::default(),
        response_headers: Headers::default(),
        response_json: Json::default(),
        line: section.line,
    };
    if let Some(request) = section.section("request") {
        read.path = request.section("path").map(path).unwrap_or_default();
        read.query = request.section("query").map(query).unwrap_or_default();
        read.request_headers = request.section("headers").map(headers).unwrap_or_default();
        read.request_json = request.section("json").map(json).unwrap_or_default();
        request.finish();
    }
    if let Some(response) = section.section("response") {
        read.response_headers = response.section("headers").map(headers).unwrap_or_default();
        read.response_json = response.section("json").map(json).unwrap_or_default();
        response.finish();
    }
    section.finish();
    Some(read)
}

fn path(section: Section<'_>) -> PathChange {
    let prefix = |key| {
        let prefix = section.string(key)?;
        let is_path = prefix.starts_with('/') && !prefix.ends_with('/') && !prefix.contains("//");
        let is_plain = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()+,;=@/".contains(&byte));
        let has_dots = prefix.split('/').any(|part| matches!(part, "." | ".."));
        if is_path && is_plain && !has_dots && prefix.len() <= MAX_POINTER_BYTES {
            return Some(prefix);
        }
        let help = "write it as \"/api/v1\": it begins with a slash and does not end in one";
        section.report_with_help(prefix.line, format!("`{key}`: {:?} is no beginning of paths", &*prefix.value), help);
        None
    };
    let change = PathChange {
        strip_prefix: prefix("strip_prefix"),
        add_prefix: prefix("add_prefix").map(|prefix| prefix.value),
    };
    section.finish();
    change
}

fn query(section: Section<'_>) -> Pairs {
    let is_name = |name: &str| !name.is_empty() && name.len() <= MAX_VALUE_BYTES && !name.chars().any(char::is_control);
    let remove =
        section.names("remove", is_name, "the name of a parameter").into_iter().map(|name| name.value).collect();
    let set = pairs(&section, "set").into_iter().map(|(name, value)| (name.value, value.value)).collect();
    section.finish();
    Pairs { remove, set }
}

/// A key and its string, with their places.
type Pair = (Located<Arc<str>>, Located<Arc<str>>);

/// The strings of a table of strings.
fn pairs(section: &Section<'_>, key: &'static str) -> Vec<Pair> {
    let entries = section.section(key).map(|table| table.entries()).unwrap_or_default();
    if let Some((many, _)) = entries.get(MAX_RULES) {
        section.report(many.line, format!("`{}` has at most {MAX_RULES} entries", section.name(key)));
    }
    let pair = |(name, entry): (Located<Arc<str>>, Entry<'_>)| {
        let value = entry.string()?;
        if value.len() > MAX_VALUE_BYTES || value.bytes().any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f) {
            entry.report(format!("is no value: at most {MAX_VALUE_BYTES} bytes without control characters"));
            return None;
        }
        Some((name, value))
    };
    entries.into_iter().filter_map(pair).collect()
}

/// Whether a header, in lower case, is for the gateway to say or to go by.
pub(super) fn is_ours(name: &str) -> bool {
    // Some frameworks read `_` as `-`.
    let dashed = name.replace('_', "-");
    FIXED.contains(&dashed.as_str()) || OURS.iter().any(|ours| dashed.starts_with(ours))
}

fn headers(section: Section<'_>) -> Headers {
    let name = |written: &Located<Arc<str>>| {
        let name = written.to_ascii_lowercase();
        if !names::is_token(&name) {
            section.report(written.line, format!("{:?} is no name for a header", &*written.value));
            return None;
        }
        if is_ours(&name) {
            let message = format!("the header {:?} is not for rules to touch", &*written.value);
            section.report_with_help(
                written.line,
                message,
                "it says who calls or where from, or belongs to the connection, to the length of a body, or to the gateway",
            );
            return None;
        }
        Some(Arc::from(name))
    };
    let list =
        |key| pairs(&section, key).into_iter().filter_map(|(key, value)| Some((name(&key)?, value.value))).collect();
    let remove = section.strings("remove");
    if let Some(many) = remove.get(MAX_RULES) {
        section.report(many.line, format!("`{}` has at most {MAX_RULES} entries", section.name("remove")));
    }
    let renamed = pairs(&section, "rename").into_iter();
    let headers = Headers {
        remove: remove.iter().filter_map(name).collect(),
        rename: renamed.filter_map(|(from, to)| Some((name(&from)?, name(&to)?))).collect(),
        set: list("set"),
        add: list("add"),
    };
    section.finish();
    headers
}

fn json(section: Section<'_>) -> Json {
    let pointer = |written: &Located<Arc<str>>| match Pointer::parse(written) {
        Some(pointer) => Some(pointer),
        None => {
            let message = format!("{:?} is no JSON pointer to a field", &*written.value);
            section.report_with_help(written.line, message, "write it as \"/items/*/name\", with `*` for all items");
            None
        }
    };
    let remove = section.strings("remove");
    if let Some(many) = remove.get(MAX_RULES) {
        section.report(many.line, format!("`{}` has at most {MAX_RULES} entries", section.name("remove")));
    }
    let mut set = Vec::new();
    for (key, entry) in section.section("set").map(|table| table.entries()).unwrap_or_default() {
        if let (Some(pointer), Some(value)) = (pointer(&key), entry.json()) {
            set.push((pointer, value));
        }
    }
    let renamed = pairs(&section, "rename").into_iter();
    let json = Json {
        remove: remove.iter().filter_map(pointer).collect(),
        rename: renamed.filter_map(|(from, to)| Some((pointer(&from)?, to.value))).collect(),
        set,
    };
    section.finish();
    json
}

impl Pointer {
    fn parse(text: &str) -> Option<Self> {
        let steps = text.strip_prefix('/').filter(|_| text.len() <= MAX_POINTER_BYTES)?;
        let step = |step: &str| {
            // A tilde escapes itself and the slash, and nothing else.
            let plain = step.replace("~1", "").replace("~0", "");
            (!plain.contains('~')).then(|| Arc::from(step.replace("~1", "/").replace("~0", "~")))
        };
        steps.split('/').map(step).collect::<Option<Vec<_>>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_have_steps_below_the_top() {
        let steps = |text: &str| Pointer::parse(text).map(|pointer| pointer.0.join("|"));
        assert_eq!(steps("/a/*/b").as_deref(), Some("a|*|b"));
        assert_eq!(steps("/a~1b/~0c").as_deref(), Some("a/b|~c"));
        assert_eq!(steps("/").as_deref(), Some(""), "the member without a name");
        for bad in ["", "a", "a/b", "/~2", "/~"] {
            assert_eq!(steps(bad), None, "{bad:?}");
        }
    }
}
