//! Components with several triggers of which some have middleware: each of those runs a component of its own, as in
//! Spin, so that what stands before one route does not stand before another.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::component::Component;
use super::diagnostic::Located;
use super::trigger::{HttpTrigger, Middleware, TriggerTarget};

/// Splits such components: the copy is called `<component>-for-<trigger>`, is granted the same, and serves HTTP alone,
/// while events, schedules and projections stay with the first. `counts` says which middleware there is at all.
pub(super) fn split(
    triggers: &mut [HttpTrigger],
    components: &mut BTreeMap<Arc<str>, Component>,
    counts: impl Fn(&Middleware) -> bool,
) {
    let mut routes: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    for id in triggers.iter().filter_map(HttpTrigger::component) {
        *routes.entry(id.value.clone()).or_default() += 1;
    }
    for trigger in triggers {
        let TriggerTarget::Component(id) = &trigger.target else { continue };
        let alone = routes.get(&id.value).is_none_or(|routes| *routes == 1);
        if alone || !trigger.middleware.iter().any(&counts) {
            continue;
        }
        let Some(whole) = components.get(&id.value) else { continue };
        let own: Arc<str> = free_id(&format!("{}-for-{}", id.value, trigger.id), components);
        let copy = Component {
            id: own.clone(),
            split_from: Some(whole.id.clone()),
            schedules: Vec::new(),
            subscriptions: Vec::new(),
            projections: Vec::new(),
            ..whole.clone()
        };
        trigger.target = TriggerTarget::Component(Located::new(own.clone(), id.line));
        components.insert(own, copy);
    }
}

/// `wanted`, or that with a number after it.
pub(super) fn free_id(wanted: &str, components: &BTreeMap<Arc<str>, Component>) -> Arc<str> {
    let mut id: Arc<str> = wanted.into();
    let mut counter = 1_usize;
    while components.contains_key(&id) {
        id = format!("{wanted}-d{counter}").into();
        counter += 1;
    }
    id
}
