//! The AsyncAPI 3.0 document of an application: every topic that the manifest grants or subscribes to, who sends and who
//! receives, and what the messages look like. A topic's messages are the types whose schema names it (`x-topics`), or
//! whose name is the topic, alone or after a dot.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use weft_core::manifest::Manifest;
use weft_core::topic::{TopicPattern, check_topic};

/// The newest schema of each type: version, and the schema as it was written.
pub type Newest = BTreeMap<String, (u32, Value)>;

/// The document, as JSON.
#[must_use]
pub fn asyncapi(manifest: &Manifest, schemas: &Newest) -> Value {
    let topics = topics(manifest, schemas);
    let mut channels = Map::new();
    let mut operations = Map::new();
    for component in manifest.running() {
        let sends = component.grants.topics.iter().map(|topic| ("send", "", &topic.value));
        let receives = component.subscriptions.iter().map(|one| ("receive", &*one.name, &one.topic));
        for (action, name, pattern) in sends.chain(receives) {
            for address in addresses(pattern, &topics) {
                let channel = channel_id(&address);
                channels.entry(channel.clone()).or_insert_with(|| self::channel(&address, schemas));
                let parts = [&*component.id, action, name, &channel];
                let id = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
                let summary = match action {
                    "send" => format!("{} publishes to {address}", component.id),
                    _ => format!("{} handles {address} (subscription {name})", component.id),
                };
                let channel = json!({ "$ref": format!("#/channels/{channel}") });
                operations.insert(id, json!({ "action": action, "channel": channel, "summary": summary }));
            }
        }
    }
    let messages = schemas.iter().map(|(kind, (version, schema))| (kind.clone(), message(kind, *version, schema)));
    let written = schemas.iter().map(|(kind, (_, schema))| (kind.clone(), local(schema, kind)));
    let application = &manifest.application;
    let version = if application.version.is_empty() { "0" } else { &*application.version };
    json!({
        "asyncapi": "3.0.0",
        "info": { "title": &*application.name, "version": version, "description": &*application.description },
        "defaultContentType": "application/cloudevents+json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages.collect::<Map<_, _>>(), "schemas": written.collect::<Map<_, _>>() },
    })
}

/// Every topic that is known by its whole name.
fn topics(manifest: &Manifest, schemas: &Newest) -> BTreeSet<String> {
    let granted = manifest.running().flat_map(|component| component.grants.topics.iter().map(|topic| &topic.value));
    let handled = manifest.running().flat_map(|component| component.subscriptions.iter().map(|one| &one.topic));
    let mut topics: BTreeSet<String> = granted
        .chain(handled)
        .map(TopicPattern::as_str)
        .filter(|text| check_topic(text).is_ok())
        .map(Into::into)
        .collect();
    topics.extend(schemas.values().flat_map(|(_, schema)| named_topics(schema)));
    topics
}

fn named_topics(schema: &Value) -> Vec<String> {
    let named = schema.get("x-topics").and_then(Value::as_array).into_iter().flatten();
    named.filter_map(|topic| topic.as_str().map(ToOwned::to_owned)).collect()
}

/// The known topics that a pattern covers; the pattern itself, with a parameter for each wildcard, if there are none.
fn addresses(pattern: &TopicPattern, topics: &BTreeSet<String>) -> Vec<String> {
    let known: Vec<String> = topics.iter().filter(|topic| pattern.matches(topic)).cloned().collect();
    if !known.is_empty() {
        return known;
    }
    let words = pattern.as_str().split('.').enumerate().map(|(index, word)| match word {
        "*" => format!("{{word{index}}}"),
        "#" => format!("{{words{index}}}"),
        literal => literal.to_owned(),
    });
    vec![words.collect::<Vec<_>>().join(".")]
}

/// A name of the letters that names of an AsyncAPI document may have.
fn channel_id(address: &str) -> String {
    address.chars().filter(|c| !matches!(c, '{' | '}')).collect()
}

fn channel(address: &str, schemas: &Newest) -> Value {
    let is_of = |kind: &str, schema: &Value| {
        let named = named_topics(schema);
        if named.is_empty() {
            kind == address || kind.ends_with(&format!(".{address}"))
        } else {
            named.contains(&address.to_owned())
        }
    };
    let messages = schemas.iter().filter(|(kind, (_, schema))| is_of(kind, schema));
    let messages: Map<_, _> =
        messages.map(|(kind, _)| (kind.clone(), json!({ "$ref": format!("#/components/messages/{kind}") }))).collect();
    let parameters = address.split('.').filter_map(|word| word.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Map<_, _> = parameters
        .map(|name| {
            let many = if name.starts_with("words") { "Any number of words" } else { "One word" };
            (name.to_owned(), json!({ "description": format!("{many} of the topic") }))
        })
        .collect();
    let mut channel = json!({ "address": address, "messages": messages });
    if let (false, Some(channel)) = (parameters.is_empty(), channel.as_object_mut()) {
        channel.insert("parameters".to_owned(), Value::Object(parameters));
    }
    channel
}

/// A CloudEvent in structured form; its data are what the type's schema says.
fn message(kind: &str, version: u32, schema: &Value) -> Value {
    let text = json!({ "type": "string" });
    let payload = json!({
        "type": "object",
        "required": ["specversion", "id", "source", "type", "time", "data"],
        "properties": {
            "specversion": { "const": "1.0" },
            "id": text,
            "source": text,
            "type": { "const": kind },
            "time": { "type": "string", "format": "date-time" },
            "subject": text,
            "dataschema": { "type": "string", "examples": [format!("/schemas/{kind}/{version}")] },
            "datacontenttype": { "const": "application/json" },
            "topic": text,
            "partitionkey": text,
            "correlationid": text,
            "traceparent": text,
            "data": { "$ref": format!("#/components/schemas/{kind}") },
        },
    });
    let mut message = json!({ "name": kind, "contentType": "application/cloudevents+json", "payload": payload });
    for (from, to) in [("title", "title"), ("description", "summary")] {
        if let (Some(text), Some(message)) = (schema.get(from), message.as_object_mut()) {
            message.insert(to.to_owned(), text.clone());
        }
    }
    message
}

/// The schema with its references led to where it stands in the document.
fn local(schema: &Value, kind: &str) -> Value {
    match schema {
        Value::Object(object) => {
            let entries = object.iter().filter(|(name, _)| !matches!(name.as_str(), "$schema" | "$id"));
            let entries = entries.map(|(name, value)| {
                let value = match (name.as_str(), value) {
                    ("$ref", Value::String(to)) => {
                        Value::from(to.replacen('#', &format!("#/components/schemas/{kind}"), 1))
                    }
                    ("enum" | "const" | "default" | "examples", value) => value.clone(),
                    (_, value) => local(value, kind),
                };
                (name.clone(), value)
            });
            entries.collect()
        }
        Value::Array(values) => values.iter().map(|value| local(value, kind)).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What of the AsyncAPI 3.0 schema is about the objects that are made here.
    fn asyncapi_schema() -> Value {
        let reference =
            json!({ "type": "object", "required": ["$ref"], "properties": { "$ref": { "type": "string" } } });
        let names = json!({ "pattern": "^[\\w.\\-]+$" });
        json!({
            "type": "object",
            "required": ["asyncapi", "info"],
            "additionalProperties": false,
            "properties": {
                "asyncapi": { "const": "3.0.0" },
                "defaultContentType": { "type": "string" },
                "info": {
                    "type": "object", "required": ["title", "version"], "additionalProperties": false,
                    "properties": {
                        "title": { "type": "string" }, "version": { "type": "string", "minLength": 1 },
                        "description": { "type": "string" },
                    },
                },
                "channels": {
                    "type": "object", "propertyNames": names, "minProperties": 1,
                    "additionalProperties": {
                        "type": "object", "required": ["address"], "additionalProperties": false,
                        "properties": {
                            "address": { "type": "string" },
                            "messages": { "type": "object", "propertyNames": names, "additionalProperties": reference },
                            "parameters": { "type": "object" },
                        },
                    },
                },
                "operations": {
                    "type": "object", "propertyNames": names, "minProperties": 1,
                    "additionalProperties": {
                        "type": "object", "required": ["action", "channel"], "additionalProperties": false,
                        "properties": {
                            "action": { "enum": ["send", "receive"] }, "channel": reference,
                            "summary": { "type": "string" },
                        },
                    },
                },
                "components": {
                    "type": "object", "additionalProperties": false,
                    "properties": {
                        "schemas": { "type": "object", "propertyNames": names },
                        "messages": {
                            "type": "object", "propertyNames": names,
                            "additionalProperties": {
                                "type": "object", "required": ["payload"],
                                "properties": { "payload": { "type": "object" } },
                            },
                        },
                    },
                },
            },
        })
    }

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_is_asyncapi_and_every_reference_leads_somewhere() {
        let text = r##"
            spin_manifest_version = 2
            [application]
            name = "shop"
            [component.orders]
            source = "orders.wasm"
            [component.orders.tool.weft]
            topics = ["order.*", "audit.#"]
            [component.mails]
            source = "mails.wasm"
            [component.mails.tool.weft]
            subscriptions = [{ name = "placed", topic = "order.placed" }]
        "##;
        let manifest = Manifest::parse(Path::new("spin.toml"), text).unwrap();
        let placed = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Placed",
            "$defs": { "id": { "type": "string" } }, "properties": { "id": { "$ref": "#/$defs/id" } },
        });
        let paid = json!({ "x-topics": ["order.paid"], "type": "object" });
        let schemas = Newest::from([("shop.order.placed".to_owned(), (2, placed)), ("Paid".to_owned(), (1, paid))]);
        let document = asyncapi(&manifest, &schemas);
        let validator = jsonschema::validator_for(&asyncapi_schema()).unwrap();
        let problems: Vec<_> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
        assert_eq!(problems, Vec::<String>::new());
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() >= 8, "{found:?}");
        for reference in found {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
        }
        let operations: BTreeSet<_> = document["operations"].as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "mails-receive-placed-order.placed",
            "orders-send-audit.words1",
            "orders-send-order.paid",
            "orders-send-order.placed",
        ];
        assert_eq!(operations, BTreeSet::from(expected));
        assert!(document["channels"]["order.paid"]["messages"].get("Paid").is_some());
        assert_eq!(document["channels"]["audit.words1"]["address"], "audit.{words1}");
    }
}
