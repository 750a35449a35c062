//! One operation of the document: a method of a path.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use weft_core::manifest::{Access, Callers, HostPattern, KeyUse, Manifest, Operation, Route};

use super::Parameter;
use super::push;
use super::shared::{self, API_KEY, BEARER, PROBLEMS, TICKET};
use crate::push::Endpoint;

/// Longest Idempotency-Key, in bytes.
const MAX_KEY_BYTES: usize = 255;

/// What an operation is made of.
pub(super) struct Described<'m> {
    pub manifest: &'m Manifest,
    pub route: &'m Route,
    /// In lower case.
    pub method: &'static str,
    pub id: String,
    pub tag: String,
    /// Those of the path.
    pub parameters: Vec<Parameter>,
    /// What the manifest tells besides.
    pub told: Option<&'m Operation>,
    /// What of push it is, if it is.
    pub push: Option<Endpoint>,
}

impl Described<'_> {
    /// The operation as it stands in the document.
    pub fn object(&self) -> Value {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        put("operationId", json!(self.id));
        put("tags", json!([self.tag]));
        if let Some(told) = self.told {
            for (key, text) in [("summary", &told.summary), ("description", &told.description)] {
                if !text.is_empty() {
                    put(key, json!(&**text));
                }
            }
        }
        if let Some(told) = self.push.map(push::told) {
            put("summary", json!(told.summary));
            put("description", json!(told.description));
        }
        if !self.route.hosts.is_empty() {
            put("servers", self.route.hosts.iter().map(server).collect());
        }
        let parameters = self.parameters();
        if !parameters.is_empty() {
            put("parameters", Value::Array(parameters));
        }
        if let Some((told, name)) = self.told.and_then(|told| Some((told, told.request.as_ref()?))) {
            put("requestBody", json!({ "required": !told.optional_request, "content": json_of(name) }));
        }
        if let Some(body) = self.push.and_then(push::body) {
            put("requestBody", body);
        }
        put("responses", Value::Object(self.responses()));
        if let Some(security) = self.security() {
            put("security", security);
        }
        if let Access::Authenticated(Callers { roles, permissions, services, .. }) = &self.route.access {
            for (key, names) in
                [("x-required-roles", roles), ("x-required-permissions", permissions), ("x-allowed-services", services)]
            {
                if !names.is_empty() {
                    put(key, names.iter().map(|name| json!(&**name)).collect());
                }
            }
        }
        Value::Object(object)
    }

    fn has_body(&self) -> bool {
        matches!(self.method, "post" | "put" | "patch")
    }

    fn parameters(&self) -> Vec<Value> {
        let mut parameters: Vec<Value> = self.parameters.iter().map(of_path).collect();
        if let Some(told) = self.told {
            parameters.extend(told.query.iter().flat_map(|name| self.of_schema(name, "query")));
            parameters.extend(told.headers.iter().flat_map(|name| self.of_schema(name, "header")));
        }
        parameters.extend(self.push.into_iter().flat_map(push::parameters));
        if self.takes_idempotency_key() {
            parameters.push(json!({
                "name": "Idempotency-Key",
                "in": "header",
                "description": "A request that is repeated under the same key has its effect once.",
                "schema": { "type": "string", "minLength": 1, "maxLength": MAX_KEY_BYTES },
            }));
        }
        parameters
    }

    /// Functions that change something make their commands' keys of it.
    fn takes_idempotency_key(&self) -> bool {
        (self.has_body() || self.method == "delete") && self.is_function()
    }

    fn is_function(&self) -> bool {
        self.route.static_response.is_none() && self.push.is_none()
    }

    /// The parameters that an object's properties are.
    fn of_schema(&self, name: &str, place: &str) -> Vec<Value> {
        let schemas = self.manifest.gateway.openapi.as_ref().map(|openapi| &openapi.schemas);
        let Some(schema) = schemas.and_then(|schemas| schemas.get(name)) else { return Vec::new() };
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let parameter = |(name, schema): (&String, &Value)| {
            let mut schema = schema.clone();
            let description = schema.as_object_mut().and_then(|schema| schema.shift_remove("description"));
            let is_required = required.contains(&name.as_str());
            let mut parameter = json!({ "name": name, "in": place, "required": is_required, "schema": schema });
            if let (Some(description), Some(parameter)) = (description, parameter.as_object_mut()) {
                parameter.insert("description".to_owned(), description);
            }
            parameter
        };
        properties.map(parameter).collect()
    }

    fn responses(&self) -> Map<String, Value> {
        let mut responses = Map::new();
        for (status, response) in self.good() {
            responses.insert(status, response);
        }
        let own = self.own_problems();
        for shared in PROBLEMS.iter().filter(|shared| self.can_be(shared.status) && !own.contains_key(&shared.status)) {
            let reference = json!({ "$ref": format!("#/components/responses/{}", shared.name) });
            responses.insert(shared.status.to_string(), reference);
        }
        for (status, names) in own {
            let shared = PROBLEMS.iter().find(|shared| shared.status == status && self.can_be(status));
            let mut types: Vec<&str> = shared.iter().flat_map(|shared| shared.types).copied().collect();
            types.extend(names.iter().filter(|name| !shared.is_some_and(|shared| shared.types.contains(name))));
            let words: Vec<String> = names.iter().map(|name| name.replace('-', " ")).collect();
            let description = format!(
                "{}{}",
                shared.map_or_else(String::new, |shared| format!("{} Or: ", shared.description)),
                words.join(", ")
            );
            let mut headers = shared::of_status(status);
            if self.is_limited() && status != 429 {
                headers.extend(shared::LIMITED);
            }
            responses.insert(status.to_string(), shared::problem(&description, &types, &headers));
        }
        responses
    }

    /// The problems of this operation by status, beside those that all may have: what is told of its function, and what the gateway says of
    /// keys.
    fn own_problems(&self) -> BTreeMap<u16, Vec<&str>> {
        let told = self.told.iter().flat_map(|told| &told.problems);
        let mut own: BTreeMap<u16, Vec<&str>> =
            told.map(|(status, names)| (*status, names.iter().map(|name| &**name).collect())).collect();
        for (status, name) in self.push.into_iter().flat_map(push::problems) {
            own.entry(status).or_default().push(name);
        }
        let use_of_key = self.route.idempotency;
        if use_of_key != KeyUse::Ignored && self.takes_idempotency_key() {
            let missing = (use_of_key == KeyUse::Required).then_some((400, "idempotency-key-missing"));
            let of_keys =
                [(400, "idempotency-key-invalid"), (409, "idempotency-in-flight"), (422, "idempotency-key-reused")];
            for (status, name) in of_keys.into_iter().chain(missing) {
                let names = own.entry(status).or_default();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        own
    }

    /// Answers that are no problems.
    fn good(&self) -> Vec<(String, Value)> {
        let mut headers = shared::ALWAYS.to_vec();
        if self.is_limited() {
            headers.extend(shared::LIMITED);
        }
        let answer =
            |description: String| json!({ "description": description, "headers": shared::references(&headers) });
        if let Some(fixed) = &self.route.static_response {
            let status = fixed.status;
            let status = if status < 600 { status.to_string() } else { "default".to_owned() };
            return vec![(status, answer("The same for every request.".to_owned()))];
        }
        if let Some(endpoint) = self.push {
            return vec![push::answer(endpoint, shared::references(&headers))];
        }
        let Some(told) = self.told.filter(|told| !told.responses.is_empty()) else {
            return vec![("2XX".to_owned(), answer("What the function answers.".to_owned()))];
        };
        let told = told.responses.iter().map(|(status, schema)| {
            let mut response = answer(reason(*status).to_owned());
            if let (Some(name), Some(response)) = (schema, response.as_object_mut()) {
                response.insert("content".to_owned(), json_of(name));
            }
            (status.to_string(), response)
        });
        told.collect()
    }

    fn is_validated(&self) -> bool {
        self.told.is_some_and(|told| told.validate && told.request.is_some())
    }

    fn is_limited(&self) -> bool {
        let has_tiers = self.route.is_tiered && !self.manifest.gateway.rate_limits.tiers.is_empty();
        !self.route.limits.is_empty() || has_tiers
    }

    /// Whether the gateway itself can answer so.
    fn can_be(&self, status: u16) -> bool {
        match status {
            401 => self.manifest.auth.is_some(),
            403 => match &self.route.access {
                Access::Public => false,
                Access::Authenticated(callers) => callers.excludes_some(),
            },
            408 | 413 => self.has_body(),
            415 => {
                self.is_validated()
                    || self.has_body() && self.route.transforms.iter().any(|rules| !rules.request_json.is_empty())
            }
            422 => self.is_validated(),
            429 => self.is_limited(),
            502 | 504 => self.is_function(),
            _ => true,
        }
    }

    /// Either way to be known will do; on a public route, none.
    fn security(&self) -> Option<Value> {
        let auth = self.manifest.auth.as_ref()?;
        let mut ways = Vec::new();
        if self.route.access == Access::Public {
            ways.push(json!({}));
        }
        ways.push(json!({ BEARER: [] }));
        let for_users = !matches!(&self.route.access, Access::Authenticated(callers) if !callers.users);
        if auth.api_keys && for_users {
            ways.push(json!({ API_KEY: [] }));
        }
        if self.push.is_some_and(Endpoint::is_stream) {
            ways.push(json!({ TICKET: [] }));
        }
        Some(Value::Array(ways))
    }
}

fn of_path(parameter: &Parameter) -> Value {
    let mut written = json!({
        "name": parameter.name,
        "in": "path",
        "required": true,
        "schema": { "type": "string", "minLength": 1 },
    });
    if let (true, Some(written)) = (parameter.is_wildcard, written.as_object_mut()) {
        written.insert("description".to_owned(), json!("The rest of the path; slashes may be in it."));
    }
    written
}

/// A host that has the operation, by the scheme of the document's own. What is below a host is a variable of the URL.
fn server(host: &HostPattern) -> Value {
    match host {
        HostPattern::Exact(host) => json!({ "url": format!("//{host}") }),
        HostPattern::Below(end) => json!({
            "url": format!("//{{subdomain}}{end}"),
            "variables": { "subdomain": { "default": "www", "description": "Any host below this one." } },
        }),
    }
}

fn json_of(name: &str) -> Value {
    json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{name}") } } })
}

fn reason(status: u16) -> &'static str {
    let status = http::StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or("An answer")
}
