//! Which route serves a request: the path decides first, as in Spin, then the host, then the method. Patterns of paths and
//! of hosts have files of their own; the gateway looks up in a table that it makes of the routes.

use super::host::HostPattern;
use super::pattern::Captures;
use super::route::{Method, Route};

/// What [`find`] found for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<'r, 'p> {
    /// This route serves it.
    Found(&'r Route, Captures<'r, 'p>),
    /// The path has routes for the host, for these methods alone.
    MethodNotAllowed(Vec<Method>),
    /// No route has the path, or none of them the host.
    NotFound,
}

/// Which of the routes of one path serves a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<T> {
    /// This one. `as_get` says that it is for GET, and the request is HEAD.
    Route {
        /// The route.
        route: T,
        /// Whether HEAD is served by a route for GET.
        as_get: bool,
    },
    /// Some are for the host, and none of these for the method.
    OtherMethods,
    /// None is for the host.
    OtherHosts,
}

/// The route for a request among `routes` in the order of [`super::Manifest::routes`]. `host` has no port.
#[must_use]
pub fn find<'r, 'p>(routes: &'r [Route], host: &str, method: &str, path: &'p str) -> Lookup<'r, 'p> {
    let matching = |route: &'r Route| Some((route, route.pattern.matches(path)?));
    let Some((best, captures)) = routes.iter().find_map(matching) else {
        return Lookup::NotFound;
    };
    let on_path = routes.iter().filter(|route| route.pattern.same_paths(&best.pattern));
    match choose(on_path.clone(), |route| route, host, method) {
        Choice::Route { route, .. } => Lookup::Found(route, captures),
        Choice::OtherMethods => {
            let of_host = on_path.filter(|route| route.fit(host).is_some());
            Lookup::MethodNotAllowed(of_host.map(|route| route.method).collect())
        }
        Choice::OtherHosts => Lookup::NotFound,
    }
}

/// The route for a request among those of one path, of which `of` tells what they are. Those whose hosts fit best are asked
/// first, those for all hosts last; of them the route of the method serves, for HEAD without one that for GET, and else the
/// one for all methods.
pub fn choose<'r, T: Copy>(
    on_path: impl Iterator<Item = T> + Clone,
    of: impl Fn(T) -> &'r Route,
    host: &str,
    method: &str,
) -> Choice<T> {
    let fit = |one: T| of(one).fit(host);
    let mut asked: Option<usize> = None;
    loop {
        let below = |fit: &usize| asked.is_none_or(|asked| *fit < asked);
        let Some(best) = on_path.clone().filter_map(fit).filter(below).max() else { break };
        let with =
            |wanted: &str| on_path.clone().find(|one| of(*one).method.as_str() == wanted && fit(*one) == Some(best));
        if let Some(route) = with(method) {
            return Choice::Route { route, as_get: false };
        }
        let of_get = if method == Method::Head.as_str() { with(Method::Get.as_str()) } else { None };
        if let Some(route) = of_get {
            return Choice::Route { route, as_get: true };
        }
        if let Some(route) = with(Method::Any.as_str()) {
            return Choice::Route { route, as_get: false };
        }
        asked = Some(best);
    }
    if asked.is_some() { Choice::OtherMethods } else { Choice::OtherHosts }
}

impl Route {
    /// How well its hosts fit one, more being better: 0 if it is for all; `None` if it is not for this one.
    #[must_use]
    pub fn fit(&self, host: &str) -> Option<usize> {
        if self.hosts.is_empty() {
            return Some(0);
        }
        self.hosts.iter().filter(|pattern| pattern.fits(host)).map(HostPattern::specificity).max()
    }
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
mod tests;
