//! Tests of the lookup: what is decided first, and that it is what the rules say over any routes of a path.

use proptest::prelude::*;

use super::*;
use crate::manifest::route::shared_host;

fn route(method: &str, path: &str, component: &str) -> Route {
    Route::new(method.parse().unwrap(), path.parse().unwrap(), component.into())
}

fn on(hosts: &[&str], route: Route) -> Route {
    Route { hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(), ..route }
}

fn sorted(mut routes: Vec<Route>) -> Vec<Route> {
    routes.sort_by(Route::precedence);
    routes
}

/// The component; or the methods that are allowed; or nothing.
fn served(routes: &[Route], host: &str, method: &str, path: &str) -> String {
    match find(routes, host, method, path) {
        Lookup::Found(route, _) => route.component.to_string(),
        Lookup::MethodNotAllowed(methods) => methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(","),
        Lookup::NotFound => "not found".into(),
    }
}

#[test]
fn the_path_decides_before_the_method() {
    let routes = sorted(vec![
        route("GET", "/a/:id", "read"),
        route("POST", "/a/special", "special"),
        route("PUT", "/a/:id", "write"),
        route("*", "/...", "rest"),
    ]);
    let served = |method: &str, path: &str| served(&routes, "localhost", method, path);
    assert_eq!(served("GET", "/a/1"), "read");
    assert_eq!(served("HEAD", "/a/1"), "read");
    assert_eq!(served("PUT", "/a/1/"), "write");
    assert_eq!(served("DELETE", "/a/1"), "GET,PUT");
    assert_eq!(served("GET", "/a/special"), "POST");
    assert_eq!(served("BREW", "/b"), "rest");
    assert_eq!(served("get", "/a/1"), "GET,PUT");
}

#[test]
fn the_path_decides_before_the_host_and_the_host_before_the_method() {
    let routes = sorted(vec![
        route("GET", "/a", "all"),
        route("POST", "/a", "all-post"),
        on(&["a.example", "c.example"], route("GET", "/a", "exact")),
        on(&["*.example"], route("*", "/a", "below")),
        on(&["*.b.example"], route("GET", "/a", "deeper")),
        on(&["a.example"], route("GET", "/b", "own")),
        route("GET", "/...", "rest"),
    ]);
    for (host, method, path, expected) in [
        ("a.example", "GET", "/a", "exact"),
        ("A.EXAMPLE", "HEAD", "/a", "exact"),
        ("x.b.example", "GET", "/a", "deeper"),
        ("x.b.example", "POST", "/a", "below"),
        ("b.example", "GET", "/a", "below"),
        ("example", "GET", "/a", "all"),
        ("a.example", "POST", "/a", "below"),
        ("example", "POST", "/a", "all-post"),
        ("example", "PUT", "/a", "GET,POST"),
        ("a.example", "GET", "/b", "own"),
        ("a.example", "PUT", "/b", "GET"),
        ("b.example", "GET", "/b", "not found"),
        ("b.example", "GET", "/c", "rest"),
    ] {
        assert_eq!(served(&routes, host, method, path), expected, "{host} {method} {path}");
    }
}

const HOSTS: [&str; 6] = ["a.example", "b.example", "*.example", "*.b.example", "x.b.example", "*.x.b.example"];
const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "*"];

/// Routes of one path, no two with one method and one host.
fn routes() -> impl Strategy<Value = Vec<Route>> {
    let one = (proptest::sample::subsequence(HOSTS.to_vec(), 0..=3), proptest::sample::select(METHODS.to_vec()));
    proptest::collection::vec(one, 1..8).prop_map(|all| {
        let mut routes: Vec<Route> = Vec::new();
        for (number, (hosts, method)) in all.into_iter().enumerate() {
            let new = on(&hosts, route(method, "/a", &number.to_string()));
            let is_twin = |other: &Route| other.method == new.method && shared_host(&other.hosts, &new.hosts).is_some();
            if !routes.iter().any(is_twin) {
                routes.push(new);
            }
        }
        routes
    })
}

/// By the words of the rule: every route that could serve, and which of them goes first.
fn expected(routes: &[Route], host: &str, method: &str) -> String {
    let depth = |pattern: &str| match pattern.strip_prefix('*') {
        Some(end) => host.ends_with(end).then_some(end.len()),
        None => (pattern == host).then_some(1_000),
    };
    let fit = |route: &Route| match route.hosts.as_slice() {
        [] => Some(0),
        hosts => hosts.iter().filter_map(|pattern| depth(&pattern.to_string())).max(),
    };
    let rank = |route: &Route| match route.method.as_str() {
        own if own == method => Some(2),
        "GET" if method == "HEAD" => Some(1),
        "*" => Some(0),
        _ => None,
    };
    let for_host: Vec<&Route> = routes.iter().filter(|route| fit(route).is_some()).collect();
    let serving = for_host.iter().filter_map(|route| Some((fit(route)?, rank(route)?, route.component.to_string())));
    match serving.max() {
        Some((_, _, component)) => component,
        None if for_host.is_empty() => "nothing".into(),
        None => "other methods".into(),
    }
}

proptest! {
    #[test]
    fn hosts_then_methods_decide_whatever_the_order(
        routes in routes().prop_shuffle(),
        host in proptest::sample::select(vec!["a.example", "b.example", "x.b.example", "y.x.b.example", "example", "c.org"]),
        method in proptest::sample::select(vec!["GET", "HEAD", "POST", "PUT"]),
    ) {
        let wanted = expected(&routes, host, method);
        for shown in [host.to_owned(), host.to_ascii_uppercase()] {
            let chosen = match choose(routes.iter(), |route| route, &shown, method) {
                Choice::Route { route, as_get } => {
                    prop_assert_eq!(as_get, method == "HEAD" && route.method == Method::Get);
                    route.component.to_string()
                }
                Choice::OtherMethods => "other methods".into(),
                Choice::OtherHosts => "nothing".into(),
            };
            prop_assert_eq!(&chosen, &wanted);
        }
    }
}
