//! The route table: from a path, a host and a method to a component, with the rules that the route carries. It is made of the
//! manifest's routes, whose patterns and precedence are the manifest's business, with all that does not change from
//! request to request worked out beforehand. Who may use a route is checked in `stack::authorise`.

mod fixed;
pub(crate) mod host;
pub(crate) mod path;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use weft_core::Generation;
use weft_core::manifest::{self, Captures, Choice, Manifest, RoutePattern, Segment};

use crate::limit::{LimitSet, RouteLimits};
use crate::openapi::{self, RequestSchema};
use crate::overload::{Overload, RouteId};
use crate::push::Endpoint;
use crate::transform::Transform;
use fixed::FixedAnswer;

/// What stands for a component in the routes of push: no component is called so.
const PUSH: &str = "weft:push";

/// A route of the table.
#[derive(Debug)]
pub(crate) struct Route {
    pub config: manifest::Route,
    pub deadline: Duration,
    /// The pattern as text, for the function and the access log.
    pub pattern: Arc<str>,
    /// `spin-matched-route`: the route below the base, without a slash at its end.
    pub matched_header: HeaderValue,
    /// `spin-raw-component-route`: the route as it is written.
    pub raw_header: HeaderValue,
    /// `spin-component-route`: the same without its trailing `/...`.
    pub prefix_header: HeaderValue,
    /// What is answered without a function.
    pub fixed: Option<FixedAnswer>,
    /// What of push it is.
    pub push: Option<Endpoint>,
    /// The headers in which Spin passes the parameters, in the order of the pattern.
    pub parameter_headers: Vec<HeaderName>,
    /// What the bodies of its requests have to be, if that is looked at.
    pub request_schema: Option<Arc<RequestSchema>>,
    /// What changes its requests and answers.
    pub transforms: Vec<Transform>,
    /// Set before the table serves.
    pub limits: OnceLock<RouteLimits>,
    /// Where it is measured what it takes; set before the table serves.
    pub overload: OnceLock<RouteId>,
}

/// The routes of one path.
#[derive(Debug)]
struct PathRoutes {
    pattern: RoutePattern,
    routes: Vec<Arc<Route>>,
    /// The methods of all of them.
    allow: HeaderValue,
}

/// All routes, ready for matching. It is built once and then only read; a new table replaces it whole.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// The first whose pattern matches decides.
    paths: Vec<PathRoutes>,
}

/// What the table says about a request.
#[derive(Debug)]
pub(crate) enum Lookup<'r, 'p> {
    /// A route answers. `as_get` says that a HEAD request is served by the route for GET.
    Found { route: &'r Arc<Route>, captures: Captures<'r, 'p>, as_get: bool },
    /// The path exists on this host, and this is what it allows.
    OtherMethods(HeaderValue),
    /// No pattern matches the path, or none of its routes is for the host.
    Nothing,
}

impl RouteTable {
    /// A table of the manifest's routes, which are in the order of precedence.
    #[must_use]
    pub fn new(routes: &[manifest::Route]) -> Self {
        Self::made(routes.iter().map(Route::new))
    }

    fn made(routes: impl Iterator<Item = Route>) -> Self {
        let mut paths: Vec<PathRoutes> = Vec::new();
        for route in routes {
            let route = Arc::new(route);
            match paths.iter_mut().find(|path| path.pattern.same_paths(&route.config.pattern)) {
                Some(path) => path.routes.push(route),
                None => paths.push(PathRoutes {
                    pattern: route.config.pattern.clone(),
                    routes: vec![route],
                    allow: HeaderValue::from_static(""),
                }),
            }
        }
        for path in &mut paths {
            path.allow = allow(path.routes.iter());
        }
        Self { paths }
    }

    /// The table of a manifest's routes, with what the gateway itself serves beside them.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let mut routes = manifest.routes.clone();
        routes.extend(openapi::pages(manifest));
        routes.sort_by(manifest::Route::precedence);
        let validated = |route: &manifest::Route| Route {
            request_schema: openapi::request_schema(manifest, route),
            ..Route::new(route)
        };
        Self::made(routes.iter().map(validated)).with_push(&manifest.gateway)
    }

    /// The same with the endpoints of push, if the gateway has them, before all other routes.
    fn with_push(mut self, gateway: &manifest::Gateway) -> Self {
        let of_push = of_push(gateway).into_iter().map(|(endpoint, config)| {
            let pattern = config.pattern.clone();
            let routes = vec![Arc::new(Route { push: Some(endpoint), ..Route::new(&config) })];
            PathRoutes { pattern, allow: allow(routes.iter()), routes }
        });
        let of_push: Vec<PathRoutes> = of_push.collect();
        self.paths.splice(0..0, of_push);
        self
    }

    /// Lets its routes be limited, once and for all.
    pub(crate) fn limit(&self, set: &LimitSet) {
        for route in self.paths.iter().flat_map(|path| &path.routes) {
            let _ = route.limits.set(set.of_route(&route.config));
        }
    }

    /// Lets it be measured what its routes take, once and for all.
    pub(crate) fn measure(&self, overload: &Overload) {
        let routes = || self.paths.iter().flat_map(|path| &path.routes);
        let ids = overload.set_routes(routes().map(|route| &route.config));
        for (route, id) in routes().zip(ids) {
            let _ = route.overload.set(id);
        }
    }

    /// A route that needs a token, if there is one.
    pub(crate) fn any_protected(&self) -> Option<&manifest::Route> {
        let mut routes = self.paths.iter().flat_map(|path| &path.routes);
        routes.find(|route| route.config.access != manifest::Access::Public).map(|route| &route.config)
    }

    pub(crate) fn lookup<'r, 'p>(&'r self, method: &http::Method, host: &str, path: &'p str) -> Lookup<'r, 'p> {
        let matching = |entry: &'r PathRoutes| Some((entry, entry.pattern.matches(path)?));
        let Some((entry, captures)) = self.paths.iter().find_map(matching) else {
            return Lookup::Nothing;
        };
        match manifest::choose(entry.routes.iter(), |route| &route.config, host, method.as_str()) {
            Choice::Route { route, as_get } => Lookup::Found { route, captures, as_get },
            Choice::OtherMethods => Lookup::OtherMethods(entry.allow_on(host)),
            Choice::OtherHosts => Lookup::Nothing,
        }
    }
}

impl PathRoutes {
    /// The methods of its routes that are for the host.
    fn allow_on(&self, host: &str) -> HeaderValue {
        if self.routes.iter().all(|route| route.config.hosts.is_empty()) {
            return self.allow.clone();
        }
        allow(self.routes.iter().filter(|route| route.config.fit(host).is_some()))
    }
}

/// The endpoints of push as routes, if the gateway has them. Of the rate limits those hold that hold for all routes, but for
/// connections, which last: none of those at a time, and none of a tier.
pub(crate) fn of_push(gateway: &manifest::Gateway) -> Vec<(Endpoint, manifest::Route)> {
    let Some(push) = &gateway.push else { return Vec::new() };
    let endpoints = push.endpoints().into_iter().zip(Endpoint::ALL);
    let of_endpoint = |((method, path), endpoint): ((manifest::Method, String), Endpoint)| {
        let is_lasting = |limit: &manifest::RateLimit| {
            endpoint.is_stream() && matches!(limit.strategy, manifest::RateStrategy::Concurrency { .. })
        };
        let limits = gateway.rate_limits.limits.iter().filter(|limit| limit.covers(PUSH) && !is_lasting(limit));
        let route = manifest::Route {
            access: manifest::Access::Authenticated(manifest::Callers::default()),
            deadline_ms: gateway.request_timeout_ms,
            limits: limits.map(|limit| limit.name.clone()).collect(),
            is_tiered: !endpoint.is_stream(),
            line: push.path.line,
            ..manifest::Route::new(method, path.parse().ok()?, PUSH.into())
        };
        Some((endpoint, route))
    };
    endpoints.filter_map(of_endpoint).collect()
}

impl Route {
    fn new(config: &manifest::Route) -> Self {
        let pattern = config.pattern.to_string();
        // A pattern is visible ASCII, and a parameter's name makes a header name.
        let header = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
        let parameter = |segment: &Segment| match segment {
            Segment::Parameter(name) => parameter_header(name),
            Segment::Literal(_) => None,
        };
        Self {
            deadline: Duration::from_millis(config.deadline_ms.into()),
            matched_header: header(&matched(&pattern, &config.written)),
            raw_header: header(&config.written),
            prefix_header: header(config.written.strip_suffix("/...").unwrap_or(&config.written)),
            push: None,
            fixed: config.static_response.as_deref().map(FixedAnswer::new),
            request_schema: None,
            transforms: config.transforms.iter().map(|rules| Transform::new(rules)).collect(),
            parameter_headers: config.pattern.segments().iter().filter_map(parameter).collect(),
            pattern: pattern.into(),
            limits: OnceLock::new(),
            overload: OnceLock::new(),
            config: config.clone(),
        }
    }
}

/// The route below the base as Spin has it: as it is written, but for a slash missing in front or standing at the end.
fn matched(pattern: &str, written: &str) -> String {
    let path = written.strip_suffix('/').unwrap_or(written);
    let path = if path.is_empty() || path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    // The pattern is the base and the route; what is more than the route is the base.
    let own = path.strip_suffix("/*").map_or_else(|| path.clone(), |prefix| format!("{prefix}/..."));
    match pattern.strip_suffix(&own) {
        Some(base) => format!("{}{path}", base.strip_suffix('/').unwrap_or(base)),
        None => pattern.to_owned(),
    }
}

/// As Spin names it: lower case, `_` as `-`.
fn parameter_header(name: &str) -> Option<HeaderName> {
    HeaderName::try_from(format!("spin-path-match-{}", name.to_ascii_lowercase().replace('_', "-"))).ok()
}

/// The methods of a path for the `Allow` header. HEAD comes with GET, and OPTIONS is answered always.
fn allow<'r>(routes: impl Iterator<Item = &'r Arc<Route>>) -> HeaderValue {
    let mut methods: Vec<&str> = routes.map(|route| route.config.method.as_str()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    methods.sort_unstable();
    methods.dedup();
    // Methods are tokens, so that a list of them is a header value.
    HeaderValue::try_from(methods.join(", ")).unwrap_or_else(|_| HeaderValue::from_static("OPTIONS"))
}

/// What the upstream finds in the request's extensions.
#[derive(Clone)]
pub struct RouteMatch {
    /// The component that answers.
    pub component: Arc<str>,
    /// The pattern that matched.
    pub route: Arc<str>,
    /// The path parameters, percent-decoded, in the order of the pattern.
    pub params: Vec<(String, String)>,
    /// When the answer must be complete, on the host clock's monotonic time.
    pub deadline: Duration,
    /// The trace and the span of this request.
    pub trace: weft_core::Trace,
    /// The request's id, visible ASCII of at most 128 characters.
    pub request_id: Arc<str>,
    /// What was deployed with the route, if that was said.
    pub generation: Option<Generation>,
}

impl fmt::Debug for RouteMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Parameters can be anything a user has typed, which is nothing for a log.
        f.debug_struct("RouteMatch")
            .field("component", &self.component)
            .field("route", &self.route)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(routes: &[&str]) -> RouteTable {
        let mut routes: Vec<manifest::Route> = routes
            .iter()
            .map(|route| {
                let (method, pattern) = route.split_once(' ').unwrap();
                manifest::Route::new(method.parse().unwrap(), pattern.parse().unwrap(), (*route).into())
            })
            .collect();
        routes.sort_by(manifest::Route::precedence);
        RouteTable::new(&routes)
    }

    /// The component and what was captured; or what is allowed; or nothing.
    fn look(table: &RouteTable, method: &str, path: &str) -> String {
        match table.lookup(&method.parse().unwrap(), "localhost", path) {
            Lookup::Found { route, captures, as_get } => {
                let values: Vec<_> = captures.parameters.iter().map(|(_, value)| *value).collect();
                let as_get = if as_get { " as GET" } else { "" };
                format!("{} {values:?} {:?}{as_get}", route.config.component, captures.wildcard.unwrap_or_default())
            }
            Lookup::OtherMethods(allow) => format!("allow {}", allow.to_str().unwrap()),
            Lookup::Nothing => "nothing".into(),
        }
    }

    #[test]
    fn the_best_pattern_decides() {
        let table = table(&["GET /a/b", "GET /a/:x", "GET /:y/b", "GET /a/...", "GET /...", "POST /a/:z/c/d"]);
        for (path, expected) in [
            ("/a/b", r#"GET /a/b [] """#),
            ("/a/z", r#"GET /a/:x ["z"] """#),
            ("/z/b", r#"GET /:y/b ["z"] """#),
            ("/a/z/c", r#"GET /a/... [] "/z/c""#),
            ("/a/b/c/d", "allow OPTIONS, POST"),
            ("/a", r#"GET /a/... [] """#),
            ("/a/", r#"GET /a/... [] "/""#),
            ("/z/y", r#"GET /... [] "/z/y""#),
            ("/", r#"GET /... [] "/""#),
        ] {
            assert_eq!(look(&table, "GET", path), expected, "{path}");
        }
    }

    #[test]
    fn a_trailing_slash_is_ignored_and_an_empty_segment_matches_nothing() {
        let table = table(&["GET /a/b", "GET /c/:x"]);
        assert_eq!(look(&table, "GET", "/a/b/"), r#"GET /a/b [] """#);
        for path in ["//a/b", "/a//b", "/a/b//", "/c//", "/c/", "/c", "/a/b/c", "/A/b", "/a/%62"] {
            assert_eq!(look(&table, "GET", path), "nothing", "{path}");
        }
    }

    #[test]
    fn methods_are_looked_up_on_the_best_pattern() {
        let table =
            table(&["GET /a/:x", "POST /a/:y", "* /b", "PUT /b", "GET /b", "DELETE /c", "* /...", "HEAD /d", "GET /d"]);
        assert_eq!(look(&table, "HEAD", "/a/1"), r#"GET /a/:x ["1"] "" as GET"#);
        assert_eq!(look(&table, "POST", "/a/1"), r#"POST /a/:y ["1"] """#);
        assert_eq!(look(&table, "DELETE", "/a/1"), "allow GET, HEAD, OPTIONS, POST");
        assert_eq!(look(&table, "HEAD", "/d"), r#"HEAD /d [] """#);
        assert_eq!(look(&table, "HEAD", "/c"), "allow DELETE, OPTIONS");
        assert_eq!(look(&table, "PUT", "/b"), r#"PUT /b [] """#);
        assert_eq!(look(&table, "OPTIONS", "/b"), r#"* /b [] """#);
        assert_eq!(look(&table, "TRACE", "/x"), r#"* /... [] "/x""#);
    }

    #[test]
    fn what_is_allowed_is_what_the_host_has() {
        let mut routes = ["GET /a", "PUT /a", "POST /b"].map(|text| {
            let (method, pattern) = text.split_once(' ').unwrap();
            manifest::Route::new(method.parse().unwrap(), pattern.parse().unwrap(), text.into())
        });
        routes[1].hosts = vec!["*.b.example".parse().unwrap()];
        routes[2].hosts = vec!["a.example".parse().unwrap()];
        let table = RouteTable::new(&routes);
        let look = |host, method: http::Method, path| match table.lookup(&method, host, path) {
            Lookup::Found { route, .. } => route.config.component.to_string(),
            Lookup::OtherMethods(allow) => allow.to_str().unwrap().to_owned(),
            Lookup::Nothing => "nothing".to_owned(),
        };
        assert_eq!(look("x.b.example", http::Method::PUT, "/a"), "PUT /a");
        assert_eq!(look("x.b.example", http::Method::GET, "/a"), "GET /a");
        assert_eq!(look("x.b.example", http::Method::DELETE, "/a"), "GET, HEAD, OPTIONS, PUT");
        assert_eq!(look("b.example", http::Method::PUT, "/a"), "GET, HEAD, OPTIONS");
        assert_eq!(look("a.example", http::Method::GET, "/b"), "OPTIONS, POST");
        assert_eq!(look("b.example", http::Method::POST, "/b"), "nothing");
    }

    #[test]
    fn routes_are_told_as_spin_tells_them() {
        for (base, written, expected) in [
            ("/", "/", ""),
            ("/", "/a", "/a"),
            ("/", "/a/", "/a"),
            ("/", "a/:b", "/a/:b"),
            ("/", "/...", "/..."),
            ("/", "/a/*", "/a/*"),
            ("/v1", "/", "/v1"),
            ("/v1", "/a/...", "/v1/a/..."),
        ] {
            let below = if written.ends_with('*') { "/a/..." } else { written };
            let pattern = format!("{}/{}", base.trim_end_matches('/'), below.trim_start_matches('/'));
            let pattern: RoutePattern = pattern.parse().unwrap();
            assert_eq!(matched(&pattern.to_string(), written), expected, "{base} {written}");
        }
    }

    #[test]
    fn parameters_are_passed_under_spins_names() {
        let table = table(&["GET /a/:course_ID/:b"]);
        let Lookup::Found { route, .. } = table.lookup(&http::Method::GET, "localhost", "/a/1/2") else {
            panic!("no route")
        };
        assert_eq!(route.parameter_headers, ["spin-path-match-course-id", "spin-path-match-b"]);
    }
}
