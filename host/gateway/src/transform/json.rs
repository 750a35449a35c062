//! Changes of fields of JSON by rule.

use std::sync::Arc;

use serde_json::{Map, Value};
use weft_core::manifest::{Json, Pointer};

/// Stands for all items and members.
const ALL: &str = "*";

/// Rules for one body.
#[derive(Debug)]
pub(crate) struct JsonRules(Json);

/// Why a body cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not JSON: {0}")]
pub(crate) struct JsonError(String);

impl JsonRules {
    pub fn new(rules: &Json) -> Self {
        Self(rules.clone())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The body as it is then.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn apply(&self, body: &[u8]) -> Result<Vec<u8>, JsonError> {
        let mut value: Value = serde_json::from_slice(body).map_err(|error| JsonError(error.to_string()))?;
        for Pointer(steps) in &self.0.remove {
            at_parents(&mut value, steps, &mut |parent, name| remove(parent, name));
        }
        for (Pointer(steps), new) in &self.0.rename {
            at_parents(&mut value, steps, &mut |parent, name| {
                if let Value::Object(members) = parent
                    && let Some(member) = members.shift_remove(name)
                {
                    members.insert(new.to_string(), member);
                }
            });
        }
        for (Pointer(steps), new) in &self.0.set {
            at_parents(&mut value, steps, &mut |parent, name| set(parent, name, new));
        }
        serde_json::to_vec(&value).map_err(|error| JsonError(error.to_string()))
    }
}

/// Does something at each object or list that the steps but the last lead to.
fn at_parents(value: &mut Value, steps: &[Arc<str>], act: &mut dyn FnMut(&mut Value, &str)) {
    match steps {
        [] => {}
        [last] => act(value, last),
        [first, rest @ ..] if **first == *ALL => match value {
            Value::Array(items) => items.iter_mut().for_each(|item| at_parents(item, rest, act)),
            Value::Object(members) => members.values_mut().for_each(|member| at_parents(member, rest, act)),
            _ => {}
        },
        [first, rest @ ..] => {
            let next = match value {
                Value::Object(members) => members.get_mut(&**first),
                Value::Array(items) => first.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
                _ => None,
            };
            if let Some(next) = next {
                at_parents(next, rest, act);
            }
        }
    }
}

fn remove(parent: &mut Value, name: &str) {
    match parent {
        Value::Object(members) if name == ALL => members.clear(),
        Value::Array(items) if name == ALL => items.clear(),
        Value::Object(members) => drop(members.shift_remove(name)),
        Value::Array(items) => {
            if let Some(index) = name.parse::<usize>().ok().filter(|index| *index < items.len()) {
                items.remove(index);
            }
        }
        _ => {}
    }
}

fn set(parent: &mut Value, name: &str, new: &Value) {
    match parent {
        Value::Object(members) if name == ALL => members.values_mut().for_each(|member| *member = new.clone()),
        Value::Array(items) if name == ALL => items.iter_mut().for_each(|item| *item = new.clone()),
        Value::Object(members) => drop(Map::insert(members, name.to_owned(), new.clone())),
        Value::Array(items) => {
            if let Some(item) = name.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                *item = new.clone();
            }
        }
        _ => {}
    }
}
