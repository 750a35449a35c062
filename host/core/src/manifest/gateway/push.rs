//! Where clients hold connections open to be pushed to, which channels they may join, and how much of it there may be.
//! Serving them belongs to the gateway, keeping messages to the capability.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::manifest::diagnostic::Located;
use crate::manifest::problems::Problems;
use crate::manifest::route::{Method, Route};
use crate::manifest::section::{Entry, Section};
use crate::push::{ChannelError, ChannelPattern, USER};

/// Most entries of `channels`.
const MAX_RULES: usize = 64;
/// Where the endpoints are unless the manifest says otherwise.
const PATH: &str = "/push";
/// What stands for something of the caller in a pattern.
const PLACEHOLDERS: [&str; 3] = ["{sub}", "{role}", "{tenant}"];

/// `[application.tool.weft.gateway.push]`: `GET <path>/events`, `GET <path>/ws`, `POST <path>/tickets` and
/// `POST <path>/read` are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// What the endpoints are below; `/push` by default.
    pub path: Located<Arc<str>>,
    /// Which channels clients may join, besides the one of their user; at most 64 rules.
    pub channels: Vec<ChannelRule>,
    /// Connections at once: 1 to 1,000,000, 10,000 by default.
    pub max_connections: u32,
    /// Connections of one user at once: 1 to 10,000, 16 by default.
    pub max_connections_per_user: u32,
    /// Channels of one connection: 1 to 256, 32 by default.
    pub max_channels: u32,
    /// What may be pending for one connection, in KiB: 65 to 65,536, 256 by default.
    pub max_pending_kib: u32,
    /// How often a connection shows that it is alive, in seconds: 1 to 300, 20 by default.
    pub heartbeat_s: u32,
    /// How long messages to channels are kept for who comes back, in seconds: 1 to 86,400, 600 by default.
    pub retention_s: u32,
    /// Unread messages that are kept for each user: 1 to 100,000, 1,000 by default.
    pub inbox: u32,
    /// How long they are kept, in days: 2 to 366, 30 by default.
    pub inbox_days: u32,
}

/// Who may join some channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRule {
    /// Which.
    pub pattern: JoinPattern,
    /// One of these roles is needed; any will do if there are none.
    pub roles: Vec<Arc<str>>,
}

/// A pattern of channels in which `{sub}`, `{role}` and `{tenant}` stand for those of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinPattern(Arc<str>);

impl JoinPattern {
    /// The channels that it means for a caller; none if the caller has not what it names.
    #[must_use]
    pub fn of(&self, sub: &str, role: &str, tenant: Option<&str>) -> Option<ChannelPattern> {
        let mut text = self.0.to_string();
        for (placeholder, value) in PLACEHOLDERS.iter().zip([sub, role, tenant.unwrap_or_default()]) {
            if !text.contains(placeholder) {
                continue;
            }
            // What a caller is called must not widen the pattern.
            if value.is_empty() || value.contains(['*', '{', '}']) {
                return None;
            }
            text = text.replace(placeholder, value);
        }
        text.parse().ok()
    }
}

impl FromStr for JoinPattern {
    type Err = ChannelError;

    fn from_str(text: &str) -> Result<Self, ChannelError> {
        let plain = PLACEHOLDERS.iter().fold(text.to_owned(), |text, placeholder| text.replace(placeholder, "x"));
        plain.parse::<ChannelPattern>()?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for JoinPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Default for Push {
    fn default() -> Self {
        Self {
            path: Located::new(PATH.into(), 0),
            channels: Vec::new(),
            max_connections: 10_000,
            max_connections_per_user: 16,
            max_channels: 32,
            max_pending_kib: 256,
            heartbeat_s: 20,
            retention_s: 600,
            inbox: 1_000,
            inbox_days: 30,
        }
    }
}

impl Push {
    pub(in crate::manifest) fn read(section: Section<'_>) -> Self {
        let default = Self::default();
        let path = section.string("path").unwrap_or_else(|| Located::new(PATH.into(), section.line));
        if !is_path(&path) {
            section.report_with_help(
                path.line,
                format!("`{}`: {:?} is no path for endpoints", section.name("path"), &*path.value),
                "write it like path = \"/push\": literal segments, without a slash at its end",
            );
        }
        let count = |key, bounds, default| section.number(key, bounds, default);
        let push = Self {
            path,
            channels: rules(&section),
            max_connections: count("max_connections", 1..=1_000_000, default.max_connections),
            max_connections_per_user: count("max_connections_per_user", 1..=10_000, default.max_connections_per_user),
            max_channels: count("max_channels", 1..=256, default.max_channels),
            max_pending_kib: count("max_pending_kib", 65..=65_536, default.max_pending_kib),
            heartbeat_s: count("heartbeat_s", 1..=300, default.heartbeat_s),
            retention_s: count("retention_s", 1..=86_400, default.retention_s),
            inbox: count("inbox", 1..=100_000, default.inbox),
            inbox_days: count("inbox_days", 2..=366, default.inbox_days),
        };
        section.finish();
        push
    }

    /// Methods and paths of the endpoints: events, socket, tickets, read.
    #[must_use]
    pub fn endpoints(&self) -> [(Method, String); 4] {
        let below = |name: &str| format!("{}/{name}", &*self.path.value);
        [
            (Method::Get, below("events")),
            (Method::Get, below("ws")),
            (Method::Post, below("tickets")),
            (Method::Post, below("read")),
        ]
    }
}

/// Push knows callers by their tokens, and its endpoints stand before all routes.
pub(in crate::manifest) fn check(push: &Push, has_auth: bool, routes: &[Route], problems: &Problems) {
    if !has_auth {
        problems.report_with_help(
            push.path.line,
            "`gateway.push` serves whoever has a token, and there are none",
            "add [application.tool.weft.auth] with keys",
        );
    }
    let paths = push.endpoints().map(|(_, path)| path);
    for route in routes.iter().filter(|route| paths.contains(&route.pattern.to_string())) {
        let message =
            format!("{} is an endpoint of push; choose another path, or another `gateway.push.path`", route.pattern);
        problems.report(route.line, message);
    }
}

fn is_path(text: &str) -> bool {
    let is_segment = |segment: &str| {
        !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte))
    };
    text.len() <= 128 && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment))
}

fn rules(section: &Section<'_>) -> Vec<ChannelRule> {
    let items = section.get("channels").and_then(|entry| entry.items()).unwrap_or_default();
    if items.len() > MAX_RULES {
        section.report(section.line, format!("`channels` has at most {MAX_RULES} entries"));
    }
    let rule = |entry: Entry<'_>| {
        let line = entry.line;
        let (text, roles) = if entry.is_string() {
            (entry.string()?, Vec::new())
        } else {
            let table = entry.section()?;
            let pattern = table.required_string("pattern");
            let is_role = |name: &str| !name.is_empty() && name.len() <= 128;
            let roles = table.names("roles", is_role, "a role's name of 1 to 128 bytes");
            table.finish();
            (pattern?, roles.into_iter().map(|role| role.value).collect())
        };
        let name = section.name("channels");
        if text.starts_with(USER) {
            section.report_with_help(
                line,
                format!("`{name}`: {:?} is of users, who have their own channels by themselves", &*text.value),
                "name another, such as course:*",
            );
        }
        match text.parse() {
            Ok(pattern) => Some(ChannelRule { pattern, roles }),
            Err(error) => {
                section.report(line, format!("`{name}`: {:?} is no pattern of channels: {error}", &*text.value));
                None
            }
        }
    };
    items.into_iter().filter_map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_the_callers_own() {
        let of = |pattern: &str, sub: &str, channel: &str| {
            let pattern: JoinPattern = pattern.parse().unwrap();
            pattern.of(sub, "student", Some("acme")).is_some_and(|pattern| pattern.matches(channel))
        };
        assert!(of("cart:{sub}", "ada", "cart:ada"));
        assert!(!of("cart:{sub}", "ada", "cart:bob"));
        assert!(!of("cart:{sub}", "*", "cart:bob"), "a name is no pattern");
        assert!(!of("cart:{sub}", "", "cart:"));
        assert!(of("{tenant}:{role}:*", "ada", "acme:student:7"));
        assert!(!of("{tenant}:*", "ada", "other:7"));
        assert!("{name}:*".parse::<JoinPattern>().is_err());
        let pattern: JoinPattern = "{tenant}:*".parse().unwrap();
        assert_eq!(pattern.of("ada", "student", None), None);
    }
}
