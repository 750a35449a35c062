//! What can be done to sagas over the control socket. Each body says who does it and why, for the audit log; the path
//! says what.

use serde::{Deserialize, Serialize};

/// `POST /v1/sagas`: starts a durable function.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Who starts it.
    pub actor: String,
    /// The durable component.
    pub component: String,
    /// The function as `interface#function`.
    pub function: String,
    /// The saga's id, which is the function's first argument; one is made up if there is none.
    pub id: Option<String>,
    /// The other arguments: a WAVE tuple or a JSON array.
    pub arguments: String,
}

/// What [`Start`] is answered with, 201 or 200: the saga is durably begun.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Begun {
    /// The saga's id.
    pub id: String,
    /// Whether it had begun before; then nothing was started.
    pub existing: bool,
}

/// Something done to a saga, and by whom: `POST /v1/sagas/{id}/{order}`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Ordered {
    /// Who does it, such as `ada@local`.
    pub actor: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// What; its name is in the path and not in the body.
    #[serde(flatten)]
    pub order: Order,
}

/// What can be done to a saga.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Order {
    /// Answers the saga's [`super::SagaEntry`], as all but [`Order::Migrate`] do.
    Signals(Signal),
    /// What runs ends, and the compensations run.
    Cancel,
    /// Nothing further begins.
    Pause,
    /// It goes on after a pause.
    Resume,
    /// What waits for its next attempt is tried at once.
    Retry {
        /// With this step and all after it run again: `name` or `name#occurrence`.
        #[serde(default)]
        from: Option<String>,
    },
    /// Brings a saga to an end that needs attention.
    Resolve(Resolve),
    /// Moves it to the component's current code. Answers [`Migrated`].
    Migrate {
        /// Only tries whether that code fits.
        #[serde(default)]
        dry_run: bool,
    },
}

/// A signal.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Signal {
    /// Its name.
    pub name: String,
    /// A second one of this id does nothing; an empty id is always new.
    #[serde(default)]
    pub id: String,
    /// What it carries.
    #[serde(default)]
    pub payload: serde_json::Value,
}

/// How a saga that needs attention is brought to an end.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum Resolve {
    /// What failed is tried again.
    Retry,
    /// The compensation of a step was done by hand. Takes a reason.
    Skip {
        /// As `name` or `name#occurrence`.
        step: String,
    },
    /// It stays as it is. Takes a reason.
    Abandon,
}

/// What [`Order::Migrate`] is answered with.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// The digest of the code that fits.
    pub digest: String,
    /// Whether that was all that was asked.
    pub dry_run: bool,
}

impl Order {
    /// Its name in the path.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Signals(_) => "signals",
            Self::Cancel => "cancel",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Retry { .. } => "retry",
            Self::Resolve(_) => "resolve",
            Self::Migrate { .. } => "migrate",
        }
    }

    /// What the audit log calls it.
    #[must_use]
    pub fn action(&self) -> &'static str {
        match self {
            Self::Signals(_) => "signal",
            other => other.name(),
        }
    }

    /// What the audit log says beside that.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Signals(signal) if signal.id.is_empty() => signal.name.clone(),
            Self::Signals(signal) => format!("{} (id {})", signal.name, signal.id),
            Self::Retry { from: Some(step) } => format!("from {step}"),
            Self::Resolve(Resolve::Retry) => "retry".to_owned(),
            Self::Resolve(Resolve::Skip { step }) => format!("skip {step}"),
            Self::Resolve(Resolve::Abandon) => "abandon".to_owned(),
            Self::Migrate { dry_run: true } => "dry run".to_owned(),
            _ => String::new(),
        }
    }

    /// Whether it is nothing without a reason.
    #[must_use]
    pub fn needs_reason(&self) -> bool {
        matches!(self, Self::Resolve(Resolve::Skip { .. } | Resolve::Abandon))
    }
}

impl Ordered {
    /// The body of the request for it.
    ///
    /// # Errors
    /// None for what can be made of these types; they have string keys alone.
    pub fn to_body(&self) -> serde_json::Result<Vec<u8>> {
        let mut body = serde_json::to_value(self)?;
        if let Some(object) = body.as_object_mut() {
            object.remove("order");
        }
        serde_json::to_vec(&body)
    }

    /// What a request for `order` with this body asks for.
    ///
    /// # Errors
    /// If there is no such order, or its body is another's.
    pub fn from_body(order: &str, body: &[u8]) -> Result<Self, String> {
        let not_one = |error: serde_json::Error| format!("the body is no {order}: {error}");
        let mut value: serde_json::Value = serde_json::from_slice(body).map_err(not_one)?;
        let object = value.as_object_mut().ok_or_else(|| "the body is no JSON object".to_owned())?;
        if object.insert("order".to_owned(), order.into()).is_some() {
            return Err("the order stands in the path, not in the body".to_owned());
        }
        let given: Vec<String> = object.keys().cloned().collect();
        let ordered: Self = serde_json::from_value(value).map_err(not_one)?;
        // A misspelt `dry_run` must not be passed over.
        let known = serde_json::to_value(&ordered).map_err(not_one)?;
        match given.iter().find(|name| known.get(name.as_str()).is_none()) {
            Some(name) => Err(format!("the body is no {order}: it has no field {name:?}")),
            None => Ok(ordered),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn orders_come_back_as_they_were() {
        let signal = Signal { name: "approve".into(), id: "1".into(), payload: json!({"by": "ada"}) };
        let orders = [
            Order::Signals(signal),
            Order::Cancel,
            Order::Pause,
            Order::Resume,
            Order::Retry { from: None },
            Order::Retry { from: Some("charge#2".into()) },
            Order::Resolve(Resolve::Retry),
            Order::Resolve(Resolve::Skip { step: "charge".into() }),
            Order::Resolve(Resolve::Abandon),
            Order::Migrate { dry_run: true },
        ];
        for order in orders {
            let name = order.name();
            let ordered = Ordered { actor: "ada@local".into(), reason: "because".into(), order };
            let body = ordered.to_body().unwrap();
            assert!(!String::from_utf8_lossy(&body).contains("\"order\""));
            assert_eq!(Ordered::from_body(name, &body).unwrap(), ordered, "{name}");
        }
    }

    #[test]
    fn what_is_no_order_is_told() {
        let refused =
            |order, body: serde_json::Value| Ordered::from_body(order, body.to_string().as_bytes()).unwrap_err();
        assert!(refused("dance", json!({"actor": "a"})).contains("unknown variant `dance`"));
        assert!(refused("cancel", json!({})).contains("missing field `actor`"));
        assert!(refused("signals", json!({"actor": "a"})).contains("missing field `name`"));
        assert!(refused("resolve", json!({"actor": "a", "how": "hope"})).contains("unknown variant `hope`"));
        assert!(refused("cancel", json!({"actor": "a", "order": "pause"})).contains("in the path"));
        assert!(refused("migrate", json!({"actor": "a", "dryrun": true})).contains("no field \"dryrun\""));
        assert!(refused("cancel", json!([])).contains("no JSON object"));
    }
}
