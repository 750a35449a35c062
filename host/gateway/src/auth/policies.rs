//! Policies in Cedar: what is asked of callers beyond roles and permissions, such as that a user changes only what is theirs.
//! They are checked against a schema that is made of the routes which ask for them, so that a policy about what no request has
//! is found before it is needed. Which routes ask is up to the manifest, and roles and permissions are asked for before.
//!
//! A request is permitted if a policy permits it and none forbids it. One that cannot be evaluated refuses, since it might have
//! been the one that forbids.

mod statements;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::str::FromStr as _;
use std::sync::Arc;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, Policy, PolicySet, Request,
    ResourceConstraint, RestrictedExpression, Schema, ValidationMode, Validator,
};
use http::HeaderMap;
use serde_json::{Map, Value, json};
use weft_core::manifest::{Auth, Diagnostic, Manifest, Route, Segment};

use super::Identity;
use crate::body::BoxError;
use crate::problem::Problem;
use statements::{offset, parsed};

/// The policies of an application. Without any, nothing is permitted.
#[derive(Default)]
pub struct Policies {
    set: PolicySet,
    authorizer: Authorizer,
    /// The headers that they see, in lower case.
    headers: Vec<Arc<str>>,
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies").field("policies", &self.set.num_of_policies()).finish_non_exhaustive()
    }
}

/// What a caller wants, as policies see it.
pub(crate) struct Asked<'a> {
    pub identity: &'a Identity,
    pub route: &'a Route,
    pub method: &'a str,
    pub path: &'a str,
    /// Those of the path, decoded.
    pub params: &'a [(String, String)],
    /// Those of the headers that policies see which the request has.
    pub headers: &'a [(&'a str, &'a str)],
    pub client: IpAddr,
    pub is_secure: bool,
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// Which policies were the reason to refuse; none if none permits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Denied(Vec<String>);

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("no policy permits it"),
            policies => write!(f, "policy {}", policies.join(", ")),
        }
    }
}

impl Policies {
    /// The policies of all files.
    ///
    /// # Errors
    /// Whatever is no policy, with file and line.
    pub fn read(auth: &Auth) -> Result<Self, Vec<Diagnostic>> {
        let (set, _) = parsed(&auth.policies)?;
        Ok(Self { set, authorizer: Authorizer::new(), headers: auth.policy_headers.clone() })
    }

    /// What a request has of the headers that policies see.
    ///
    /// # Errors
    /// 400 for one that is there twice or no text: a policy would see another value than whoever reads it next.
    pub(crate) fn seen<'r>(&'r self, headers: &'r HeaderMap) -> Result<Vec<(&'r str, &'r str)>, Problem> {
        let mut seen = Vec::new();
        for name in &self.headers {
            let mut values = headers.get_all(&**name).iter();
            let Some(value) = values.next() else { continue };
            match value.to_str() {
                Ok(value) if values.next().is_none() => seen.push((&**name, value)),
                _ => return Err(Problem::bad_request("A header that says who may is given twice, or is no text.")),
            }
        }
        Ok(seen)
    }

    /// Whether the policies permit it.
    pub(crate) fn decide(&self, asked: &Asked<'_>) -> Result<(), Denied> {
        let failed = |errors: Vec<String>| {
            tracing::error!(?errors, route = %asked.route.pattern, "policies cannot be evaluated; refusing");
            Err(Denied(vec!["errors, which the host's log has".to_owned()]))
        };
        let (request, entities) = match request(asked) {
            Ok(request) => request,
            Err(error) => return failed(vec![error.to_string()]),
        };
        let response = self.authorizer.is_authorized(&request, &self.set, &entities);
        let diagnostics = response.diagnostics();
        let errors: Vec<String> = diagnostics.errors().map(ToString::to_string).collect();
        if !errors.is_empty() {
            return failed(errors);
        }
        match response.decision() {
            Decision::Allow => Ok(()),
            Decision::Deny => Err(Denied(diagnostics.reason().map(ToString::to_string).collect())),
        }
    }
}

/// What is wrong with the application's policies.
#[must_use]
pub fn problems(manifest: &Manifest) -> Vec<Diagnostic> {
    let Some(auth) = manifest.auth.as_ref().filter(|auth| !auth.policies.is_empty()) else { return Vec::new() };
    let (set, places) = match parsed(&auth.policies) {
        Ok(parsed) => parsed,
        Err(problems) => return problems,
    };
    let routes: Vec<&Route> = manifest.routes.iter().filter(|route| route.access.asks_policies()).collect();
    let named_on = auth.policies.first().map_or(auth.line, |file| file.line);
    if routes.is_empty() {
        let message = "no route asks for these policies";
        return vec![manifest.problem(named_on, message).with_help("write policies = true where they are to be asked")];
    }
    let schema = match Schema::from_json_value(schema(&routes, &auth.policy_headers)) {
        Ok(schema) => schema,
        Err(error) => return vec![manifest.problem(named_on, format!("policies: {error}"))],
    };
    let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
    let problem = |error: &cedar_policy::ValidationError| match places.get(error.policy_id()) {
        Some(place) => place.problem(offset(error), error.to_string()),
        None => manifest.problem(named_on, format!("policies: {error}")),
    };
    let unknown = set.policies().filter_map(|policy| {
        let named = resource(policy)?;
        let is_known = routes.iter().any(|route| route.pattern.to_string() == named);
        let place = places.get(policy.id()).filter(|_| !is_known)?;
        let message = format!("policy {}: no route that asks for policies has the path {named:?}", policy.id());
        Some(place.problem(None, message))
    });
    result.validation_errors().map(problem).chain(unknown).collect()
}

/// The path of the one route that a policy is about, if it is about one. Cedar knows its kind alone.
fn resource(policy: &Policy) -> Option<String> {
    match policy.resource_constraint() {
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
            Some(uid.id().unescaped().to_owned())
        }
        ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
    }
}

/// The action of a route.
fn action(route: &Route) -> String {
    format!("{} {}", route.method, route.pattern)
}

/// The group of a route's action: `read` or `write`.
fn group(route: &Route) -> &'static str {
    if route.method.is_unsafe() { "write" } else { "read" }
}

fn parameters(route: &Route) -> impl Iterator<Item = &str> {
    route.pattern.segments().iter().filter_map(|segment| match segment {
        Segment::Parameter(name) => Some(&**name),
        Segment::Literal(_) => None,
    })
}

/// What requests look like, in Cedar's form of schemas in JSON.
fn schema(routes: &[&Route], headers: &[Arc<str>]) -> Value {
    let text = json!({ "type": "String" });
    let optional = json!({ "type": "String", "required": false });
    let texts = json!({ "type": "Set", "element": { "type": "String" } });
    let record = |attributes: Value| json!({ "type": "Record", "attributes": attributes });
    let user = record(json!({
        "id": text, "role": text, "permissions": texts, "tier": optional, "tenant": optional, "api_key": optional,
    }));
    let seen: Map<String, Value> = headers.iter().map(|name| (name.to_string(), optional.clone())).collect();
    let mut actions = Map::new();
    for name in ["read", "write"] {
        actions.insert(name.to_owned(), json!({}));
    }
    for route in routes {
        let params: Map<String, Value> = parameters(route).map(|name| (name.to_owned(), text.clone())).collect();
        let context = record(json!({
            "method": text,
            "path": text,
            "params": record(Value::Object(params)),
            "headers": record(Value::Object(seen.clone())),
            "client": { "type": "Extension", "name": "ipaddr" },
            "secure": { "type": "Boolean" },
            "now": { "type": "Extension", "name": "datetime" },
        }));
        let applies = json!({ "principalTypes": ["User", "Service"], "resourceTypes": ["Route"], "context": context });
        actions.insert(action(route), json!({ "memberOf": [{ "id": group(route) }], "appliesTo": applies }));
    }
    json!({ "": {
        "entityTypes": {
            "Role": {},
            "User": { "memberOfTypes": ["Role"], "shape": user },
            "Service": { "shape": record(json!({ "id": text, "permissions": texts })) },
            "Route": { "shape": record(json!({ "component": text })) },
        },
        "actions": actions,
    }})
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, BoxError> {
    Ok(EntityUid::from_type_name_and_id(EntityTypeName::from_str(kind)?, EntityId::new(id)))
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

/// A request as Cedar takes it, with what there is to know of caller and route.
fn request(asked: &Asked<'_>) -> Result<(Request, Entities), BoxError> {
    let Asked { identity, route, .. } = asked;
    let (principal, mut entities) = principal(identity)?;
    let group = uid("Action", group(route))?;
    let action = uid("Action", &action(route))?;
    let resource = uid("Route", &route.pattern.to_string())?;
    let about = HashMap::from([("component".to_owned(), text(&route.component))]);
    entities.push(Entity::new_no_attrs(action.clone(), HashSet::from([group])));
    entities.push(Entity::new(resource.clone(), about, HashSet::new())?);
    let params = asked.params.iter().map(|(name, value)| (name.clone(), text(value)));
    let headers = asked.headers.iter().map(|(name, value)| ((*name).to_owned(), text(value)));
    let now = jiff::Timestamp::from_millisecond(i64::try_from(asked.now_ms)?)?;
    let context = Context::from_pairs([
        ("method".to_owned(), text(asked.method)),
        ("path".to_owned(), text(asked.path)),
        ("params".to_owned(), RestrictedExpression::new_record(params)?),
        ("headers".to_owned(), RestrictedExpression::new_record(headers)?),
        ("client".to_owned(), RestrictedExpression::new_ip(asked.client.to_string())),
        ("secure".to_owned(), RestrictedExpression::new_bool(asked.is_secure)),
        ("now".to_owned(), RestrictedExpression::new_datetime(now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())),
    ])?;
    let request = Request::new(principal, action, resource, context, None)?;
    Ok((request, Entities::from_entities(entities, None)?))
}

/// The caller, and what there is to know of it.
fn principal(identity: &Identity) -> Result<(EntityUid, Vec<Entity>), BoxError> {
    let permissions = RestrictedExpression::new_set(identity.permissions().iter().map(|name| text(name)));
    let mut about = HashMap::from([("permissions".to_owned(), permissions)]);
    if let Some(name) = identity.service() {
        about.insert("id".to_owned(), text(name));
        let principal = uid("Service", name)?;
        let service = Entity::new(principal.clone(), about, HashSet::new())?;
        return Ok((principal, vec![service]));
    }
    about.insert("id".to_owned(), text(identity.subject()));
    about.insert("role".to_owned(), text(identity.role()));
    for (name, value) in [("tier", identity.tier()), ("tenant", identity.tenant()), ("api_key", identity.api_key())] {
        about.extend(value.map(|value| (name.to_owned(), text(value))));
    }
    let role = uid("Role", identity.role())?;
    let principal = uid("User", identity.subject())?;
    let user = Entity::new(principal.clone(), about, HashSet::from([role.clone()]))?;
    Ok((principal, vec![Entity::new_no_attrs(role, HashSet::new()), user]))
}

#[cfg(test)]
mod tests;
