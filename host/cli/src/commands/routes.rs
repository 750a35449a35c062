//! `weft routes`: what the running host serves, or what the manifest says if none runs.

use crate::assemble::{self, Place};
use crate::control::api::{self, RouteEntry};
use crate::control::client::Client;
use crate::exit::Exit;
use crate::output;

/// What `weft routes` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Say all there is to say of each route
    #[arg(long, conflicts_with = "json")]
    wide: bool,
    /// Print JSON, with all there is to say
    #[arg(long)]
    json: bool,
}

/// Prints the routes in their order of precedence.
///
/// # Errors
/// If there is neither a host to ask nor a sound manifest.
pub async fn run(args: &Args, place: &Place) -> anyhow::Result<Exit> {
    let routes = match Client::find(&place.data).await? {
        Some(client) => client.routes().await?,
        None => api::routes(&place.load().map_err(assemble::refused)?),
    };
    if args.json {
        output::json(&routes)?;
    } else if args.wide {
        let header = [
            "METHOD",
            "PATH",
            "HOSTS",
            "COMPONENT",
            "ACCESS",
            "DEADLINE",
            "PRIORITY",
            "LIMITS",
            "TRANSFORMS",
            "MIDDLEWARE",
            "IDEMPOTENCY",
        ];
        output::table(header, &routes.iter().map(wide).collect::<Vec<_>>())?;
    } else {
        let row = |route: &RouteEntry| {
            [route.method.clone(), route.path.clone(), hosts(route), route.component.clone(), access(route)]
        };
        let rows: Vec<_> = routes.iter().map(row).collect();
        output::table(["METHOD", "PATH", "HOSTS", "COMPONENT", "ACCESS"], &rows)?;
    }
    Ok(Exit::Success)
}

fn wide(route: &RouteEntry) -> [String; 11] {
    let joined = |all: &[String]| if all.is_empty() { "-".to_owned() } else { all.join(", ") };
    let limits: Vec<_> = route.limits.iter().cloned().chain(route.tiered.then(|| "tier".to_owned())).collect();
    [
        route.method.clone(),
        route.path.clone(),
        hosts(route),
        route.component.clone(),
        access(route),
        format!("{} ms", route.deadline_ms),
        route.priority.clone(),
        joined(&limits),
        joined(&route.transforms),
        joined(&route.middleware),
        route.idempotency.clone(),
    ]
}

fn hosts(route: &RouteEntry) -> String {
    if route.hosts.is_empty() { "all".to_owned() } else { route.hosts.join(", ") }
}

fn access(route: &RouteEntry) -> String {
    if route.public {
        return "public".to_owned();
    }
    let mut who = Vec::new();
    if route.users {
        who.push(if route.roles.is_empty() {
            "any user".to_owned()
        } else {
            format!("role {}", route.roles.join(" or "))
        });
    }
    if !route.services.is_empty() {
        who.push(format!("service {}", route.services.join(" or ")));
    }
    let mut words = vec![who.join(" or ")];
    if !route.permissions.is_empty() {
        words.push(format!("permission {}", route.permissions.join(" and ")));
    }
    if route.policies {
        words.push("policies".to_owned());
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_is_said_in_words() {
        let texts = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let route = |public, roles: &[&str], permissions: &[&str]| RouteEntry {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            hosts: Vec::new(),
            component: "x".to_owned(),
            public,
            users: true,
            roles: texts(roles),
            permissions: texts(permissions),
            services: Vec::new(),
            policies: false,
            deadline_ms: 1,
            limits: Vec::new(),
            tiered: false,
            priority: "normal".to_owned(),
            transforms: Vec::new(),
            middleware: Vec::new(),
            idempotency: "none".to_owned(),
        };
        assert_eq!(access(&route(true, &[], &[])), "public");
        assert_eq!(access(&route(false, &[], &[])), "any user");
        assert_eq!(access(&route(false, &["teacher", "admin"], &["grade"])), "role teacher or admin, permission grade");
        let with = |users, policies| {
            let services = texts(&["grading", "reports-*"]);
            RouteEntry { users, services, policies, ..route(false, &[], &["grade"]) }
        };
        assert_eq!(access(&with(true, true)), "any user or service grading or reports-*, permission grade, policies");
        assert_eq!(access(&with(false, false)), "service grading or reports-*, permission grade");
    }
}
