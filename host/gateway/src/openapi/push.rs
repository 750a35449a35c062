//! What the document tells of the endpoints of push, which no component serves: what they take, what they answer, and what they
//! refuse besides what every route may. What clients are told over a connection is in `docs/push.md`.

use serde_json::{Map, Value, json};
use weft_core::push::MAX_MARKED;

use crate::push::{Endpoint, TICKET_LIFE};

/// The context that they are shown under.
pub(super) const TAG: &str = "push";

/// What is told of one.
pub(super) struct Told {
    pub id: &'static str,
    pub summary: &'static str,
    pub description: &'static str,
}

/// Of one endpoint, in words.
pub(super) fn told(endpoint: Endpoint) -> Told {
    let told = |id, summary, description| Told { id, summary, description };
    match endpoint {
        Endpoint::Events => told(
            "push-events",
            "Be told by Server-Sent Events",
            "The connection lasts. The data of each event is a PushEvent; its id is what to come back with.",
        ),
        Endpoint::Socket => told(
            "push-ws",
            "Be told by WebSocket",
            "HTTP/1.1 alone. Each text frame of ours is a PushEvent; clients mark messages as read and join channels.",
        ),
        Endpoint::Tickets => told(
            "push-tickets",
            "Get a ticket to connect with",
            "For clients that can send no header with a connection. It is good once.",
        ),
        Endpoint::Read => told("push-read", "Mark messages as read", "One of `id`, `ids` and `through`."),
    }
}

/// What may stand in the query and the headers.
pub(super) fn parameters(endpoint: Endpoint) -> Vec<Value> {
    if !endpoint.is_stream() {
        return Vec::new();
    }
    let parameter = |name: &str, place: &str, description: &str| json!({ "name": name, "in": place, "description": description, "schema": { "type": "string" } });
    let cursor = "The id of the last event that was seen; what came since is told first. 0-0 is before everything.";
    let mut parameters = vec![
        parameter("channels", "query", "Channels to join, with commas between them."),
        parameter("last_event_id", "query", cursor),
        parameter("Last-Event-ID", "header", "The same; it outranks the query."),
    ];
    if endpoint == Endpoint::Socket {
        let fixed = |name: &str, value: &str| json!({ "name": name, "in": "header", "required": true, "schema": { "const": value } });
        let key = json!({ "type": "string", "minLength": 24, "maxLength": 24 });
        parameters.extend([
            fixed("Upgrade", "websocket"),
            fixed("Connection", "Upgrade"),
            fixed("Sec-WebSocket-Version", "13"),
            json!({ "name": "Sec-WebSocket-Key", "in": "header", "required": true, "schema": key }),
        ]);
    }
    parameters
}

/// What it takes.
pub(super) fn body(endpoint: Endpoint) -> Option<Value> {
    (endpoint == Endpoint::Read).then(|| json!({ "required": true, "content": json_of("PushMarks") }))
}

/// Status, description and content of what it answers. `headers` are those of every answer.
pub(super) fn answer(endpoint: Endpoint, headers: Map<String, Value>) -> (String, Value) {
    let with = |status: &str, description: &str, headers: &Map<String, Value>, content: Option<Value>| {
        let mut answer = json!({ "description": description, "headers": headers });
        if let (Some(content), Some(answer)) = (content, answer.as_object_mut()) {
            answer.insert("content".to_owned(), content);
        }
        (status.to_owned(), answer)
    };
    match endpoint {
        Endpoint::Events => {
            let stream = json!({ "text/event-stream": {
                "schema": { "type": "string" },
                "x-event": { "$ref": "#/components/schemas/PushEvent" },
            } });
            with("200", "Events until either side ends it.", &headers, Some(stream))
        }
        Endpoint::Socket => {
            let mut headers = headers;
            for name in ["Upgrade", "Connection", "Sec-WebSocket-Accept"] {
                headers.insert(name.to_owned(), json!({ "schema": { "type": "string" } }));
            }
            with("101", "It is a WebSocket from here on (RFC 6455).", &headers, None)
        }
        Endpoint::Tickets => with("200", "A ticket.", &headers, Some(json_of("PushTicket"))),
        Endpoint::Read => with("200", "They are read.", &headers, Some(json_of("PushUnread"))),
    }
}

/// What it refuses besides what every route may, by status: the last words of the problems' types.
pub(super) fn problems(endpoint: Endpoint) -> Vec<(u16, &'static str)> {
    match endpoint {
        Endpoint::Events => vec![(400, "invalid"), (429, "too-many-connections")],
        Endpoint::Socket => vec![(400, "invalid"), (426, "upgrade-required"), (429, "too-many-connections")],
        Endpoint::Tickets => Vec::new(),
        Endpoint::Read => vec![(400, "invalid")],
    }
}

/// The schemas of what is said.
pub(super) fn schemas() -> [(String, Value); 4] {
    let text = json!({ "type": "string" });
    let number = json!({ "type": "string", "pattern": "^[0-9]+$" });
    let whole = json!({ "type": "integer", "minimum": 0 });
    let object = |required: &[&str], properties: Value| json!({ "type": "object", "required": required, "properties": properties });
    let life = TICKET_LIFE.as_secs();
    let marks = json!({
        "type": "object",
        "description": "Messages by the `message` that they were told with.",
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {
            "id": number,
            "ids": { "type": "array", "minItems": 1, "maxItems": MAX_MARKED, "items": number },
            "through": { "type": "string", "pattern": "^[0-9]+$", "description": "This one and all before it." },
        },
    });
    let mut event = object(
        &["type"],
        json!({
            "type": { "enum": ["welcome", "message", "gap", "read", "heartbeat", "closed", "done", "pong", "error"] },
            "id": { "type": "string", "description": "What to come back with." },
            "channel": text,
            "kind": text,
            "message": { "type": "string", "description": "Of a user's message: by this it is marked as read." },
            "data": true,
        }),
    );
    if let Some(event) = event.as_object_mut() {
        event.insert("description".to_owned(), json!("One thing that a client is told; `type` says what."));
    }
    [
        ("PushEvent", event),
        ("PushMarks", marks),
        (
            "PushTicket",
            object(&["ticket", "expires_in_s"], json!({ "ticket": text, "expires_in_s": { "const": life } })),
        ),
        ("PushUnread", object(&["unread"], json!({ "unread": whole }))),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
}

fn json_of(schema: &str) -> Value {
    json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } })
}
