//! Routes with middleware of their own: each runs a component of its own, composed of the layers and the component that the
//! route names, so that what stands before one route does not stand before another. Composing belongs to `weft-compose`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::component::Component;
use super::dependency::{DependencySource, Inherits};
use super::pattern::RoutePattern;
use super::route::{Route, Rule, Served};
use super::section::{Entry, Section};
use super::source::Files;
use super::split;
use super::trigger::{self, HttpTrigger, Middleware};

/// Most layers in front of one component.
const MAX_LAYERS: usize = 16;

/// The layers of routes by what they serve.
pub(super) type OfRules = BTreeMap<Served, Vec<Middleware>>;

/// `middleware` of a table, the outermost layer first: ids of components, or tables as a trigger of Spin has them.
pub(super) fn read(section: &Section<'_>, files: &Files) -> Option<Vec<Middleware>> {
    let entry = section.get("middleware")?;
    let items = entry.items().unwrap_or_default();
    if let Some(many) = items.get(MAX_LAYERS) {
        section.report(many.line, format!("`{}` has at most {MAX_LAYERS} layers", section.name("middleware")));
    }
    let layer = |item: Entry<'_>| {
        if !item.is_string() {
            return trigger::layer(item, files);
        }
        let id = item.string()?;
        let line = id.line;
        Some(Middleware { source: DependencySource::Component(id), inherits: Inherits::Keys(Vec::new()), line })
    };
    Some(items.into_iter().filter_map(layer).collect())
}

/// Puts the layers of routes in front of their components: those that a route's rule names, else `all`. Such a route is
/// served by a copy of its component, called `<component>-behind-<number>`, which is granted the same and serves HTTP alone.
pub(super) fn place(
    routes: &mut [Route],
    rules: &OfRules,
    all: &[Middleware],
    triggers: &[HttpTrigger],
    components: &mut BTreeMap<Arc<str>, Component>,
) {
    let mut made: Vec<(Arc<str>, Vec<Middleware>, Arc<str>)> = Vec::new();
    for route in routes {
        let layers = rules.get(&route.served()).map_or(all, Vec::as_slice);
        let Some(whole) = components.get(&route.component).filter(|_| !layers.is_empty()) else { continue };
        let same = |(id, own, _): &&(Arc<str>, Vec<Middleware>, Arc<str>)| *id == whole.id && own == layers;
        if let Some((_, _, copy)) = made.iter().find(same) {
            route.component = copy.clone();
            continue;
        }
        // What its trigger has in front of it stays next to it.
        let of_trigger = triggers.iter().filter(|trigger| trigger.is_of(&whole.id));
        let middleware = layers.iter().chain(of_trigger.flat_map(|trigger| &trigger.middleware)).cloned().collect();
        let id = split::free_id(&format!("{}-behind-{}", whole.id, made.len() + 1), components);
        let copy = Component {
            id: id.clone(),
            split_from: Some(whole.whole().clone()),
            middleware,
            schedules: Vec::new(),
            subscriptions: Vec::new(),
            projections: Vec::new(),
            ..whole.clone()
        };
        made.push((whole.id.clone(), layers.to_vec(), id.clone()));
        components.insert(id.clone(), copy);
        route.component = id;
    }
}

/// The layers that rules name.
pub(super) fn of_rules(rules: &[Rule], base: &RoutePattern) -> OfRules {
    rules.iter().filter_map(|rule| Some((rule.served(base), rule.middleware.clone()?))).collect()
}
