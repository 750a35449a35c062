//! The document of made-up manifests, and of the education platform in `tests/tests/openapi.rs`.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::*;

const HEAD: &str = r#"
spin_manifest_version = 2
[application]
name = "shop"
version = "1.2.3"
[component.orders-list]
source = "a.wasm"
[component.orders-list.tool.weft]
context = "orders"
[component.files]
source = "b.wasm"
[application.tool.weft.contexts]
orders = {}
[[trigger.http]]
route = "/orders/:id"
component = "orders-list"
[[trigger.http]]
route = "/files/..."
component = "files"
[[trigger.http]]
route = "/fixed"
static_response = { body = "x" }
"#;

fn manifest(rest: &str) -> Manifest {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("wit/http")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join("wit/http").join(name), text).unwrap();
    write("order.json", r#"{ "type": "object", "properties": { "lines": { "items": { "$ref": "line.json" } } } }"#);
    write("line.json", r#"{ "type": "object", "required": ["sku"], "properties": { "sku": { "type": "string" } } }"#);
    write(
        "paging.json",
        r#"{ "required": ["limit"], "properties": { "limit": { "type": "integer", "description": "Most." } } }"#,
    );
    write("broken.json", r#"{ "type": "text" }"#);
    write("dangling.json", r##"{ "properties": { "a": { "$ref": "#/$defs/nowhere" } } }"##);
    let path = folder.path().join("spin.toml");
    Manifest::parse(&path, &format!("{HEAD}{rest}")).unwrap_or_else(|problems| panic!("{problems:#?}"))
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

/// What has to be so in every document.
fn assert_sound(document: &Value) {
    let mut found = Vec::new();
    references(document, &mut found);
    for reference in found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}: {operation}");
            assert!(!operation["responses"].as_object().unwrap().is_empty());
            let declared: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|one| one["in"] == "path")
                .map(|one| one["name"].as_str().unwrap())
                .collect();
            let needed: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(declared, needed, "{method} {path}");
        }
    }
}

#[test]
fn every_route_is_told() {
    let document = document(&manifest(
        r#"
        [application.tool.weft.auth]
        issuer = "i"
        audience = "a"
        keys = [{ jwks_url = "https://issuer.example/keys" }]
        api_keys = true
        [application.tool.weft.routes]
        "GET /orders/:id" = { component = "orders-list", roles = ["clerk"], permissions = ["orders:read"] }
        "POST /orders/:id" = { component = "orders-list", public = true }
        "PUT /orders/:id" = { component = "orders-list", public = true, idempotency = "required" }
        "PATCH /orders/:id" = { component = "orders-list", public = true, idempotency = false }
        [application.tool.weft.gateway.rate_limits]
        few = { limit = 5, window_s = 60, components = ["orders-*"] }
        [application.tool.weft.gateway.openapi]
        [application.tool.weft.gateway.openapi.operations]
        "GET /orders/:id" = { summary = "One order", query = "paging", responses = { 200 = "order", 304 = "" }, problems = { 404 = "not-found", 400 = ["bad-cursor"] } }
        "#,
    ));
    assert_sound(&document);
    assert_eq!((&document["openapi"], &document["info"]["version"]), (&json!("3.1.0"), &json!("1.2.3")));
    let get = &document["paths"]["/orders/{id}"]["get"];
    assert_eq!(get["tags"], json!(["orders"]));
    assert_eq!(get["security"], json!([{ "bearerAuth": [] }, { "apiKeyAuth": [] }]));
    assert_eq!(
        (&get["x-required-roles"], &get["x-required-permissions"]),
        (&json!(["clerk"]), &json!(["orders:read"]))
    );
    assert_eq!(get["parameters"][1]["required"], true);
    assert_eq!(get["parameters"][1]["description"], "Most.");
    let of_order = &get["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
    assert_eq!(of_order, "#/components/schemas/order");
    assert!(document["components"]["schemas"]["line"].is_object(), "what a schema refers to is there too");
    assert!(get["responses"]["304"].get("content").is_none());
    for status in ["400", "401", "403", "404", "414", "429", "431", "500", "502", "503", "504"] {
        assert!(get["responses"].get(status).is_some(), "{status}");
    }
    assert!(get["responses"].get("413").is_none(), "a GET has no body");
    assert_eq!(
        get["responses"]["400"]["x-problem-types"],
        json!(
            ["bad-request", "two-credentials", "malformed-json", "bad-cursor"]
                .map(|name| format!("urn:weft:problem:{name}"))
        )
    );
    assert!(get["responses"]["200"]["headers"].get("X-RateLimit-Limit").is_some());
    let post = &document["paths"]["/orders/{id}"]["post"];
    assert_eq!(post["security"][0], json!({}));
    assert!(post["responses"].get("403").is_none() && post["responses"].get("413").is_some());
    assert_ne!(get["operationId"], post["operationId"]);
    assert!(post["parameters"].as_array().unwrap().iter().any(|one| one["name"] == "Idempotency-Key"));
    // What is said of keys is what the route says of them.
    for (method, status, problem, expected) in [
        ("post", "400", "idempotency-key-invalid", true),
        ("post", "400", "idempotency-key-missing", false),
        ("post", "409", "idempotency-in-flight", true),
        ("post", "422", "idempotency-key-reused", true),
        ("put", "400", "idempotency-key-missing", true),
        ("patch", "400", "idempotency-key-invalid", false),
        ("patch", "409", "idempotency-in-flight", false),
    ] {
        let types = &document["paths"]["/orders/{id}"][method]["responses"][status]["x-problem-types"];
        let told = types.as_array().is_some_and(|types| types.contains(&json!(format!("urn:weft:problem:{problem}"))));
        assert_eq!(told, expected, "{method} {status} {problem}: {types}");
    }
}

#[test]
fn routes_of_spin_are_told_under_all_methods() {
    let document = document(&manifest(""));
    assert_sound(&document);
    let files = document["paths"]["/files/{rest}"].as_object().unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["get", "post", "put", "patch", "delete"]);
    assert!(document["paths"]["/fixed"]["get"]["responses"].get("502").is_none(), "no function answers");
    assert!(document["components"].get("securitySchemes").is_none());
}

#[test]
fn hosts_are_servers_of_their_operation() {
    let document = document(&manifest(
        r#"
        [application.tool.weft.routes]
        "GET /orders/:id" = [
            { component = "files", public = true, hosts = ["a.example"] },
            { component = "orders-list", public = true },
        ]
        "PUT /orders/:id" = [
            { component = "orders-list", public = true, hosts = ["b.example", "*.c.example"] },
            { component = "files", public = true, hosts = ["d.example"] },
        ]
        "#,
    ));
    assert_sound(&document);
    let item = &document["paths"]["/orders/{id}"];
    assert_eq!((&item["get"]["tags"], item["get"].get("servers")), (&json!(["orders"]), None));
    assert_eq!(item["put"]["tags"], json!(["orders"]));
    assert_eq!(item["put"]["servers"][0], json!({ "url": "//b.example" }));
    assert_eq!(item["put"]["servers"][1]["url"], "//{subdomain}.c.example");
}

#[test]
fn endpoints_of_push_are_told_where_they_are() {
    const AUTH: &str = r#"
        [application.tool.weft.auth]
        issuer = "i"
        audience = "a"
        keys = [{ jwks_url = "https://issuer.example/keys" }]
    "#;
    let without = document(&manifest(AUTH));
    assert!(
        without["paths"].get("/told/events").is_none() && without["components"]["schemas"].get("PushTicket").is_none()
    );
    let document = document(&manifest(&format!("{AUTH}[application.tool.weft.gateway.push]\npath = \"/told\"\n")));
    assert_sound(&document);
    let operation = |method: &str, name: &str| document["paths"][format!("/told/{name}")][method].clone();
    let (events, socket) = (operation("get", "events"), operation("get", "ws"));
    let (tickets, read) = (operation("post", "tickets"), operation("post", "read"));
    let names = |operation: &Value, place: &str| -> Vec<String> {
        let all = operation["parameters"].as_array().into_iter().flatten();
        all.filter(|one| one["in"] == place).map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&events, "query"), ["channels", "last_event_id"]);
    assert_eq!(names(&events, "header"), ["Last-Event-ID"]);
    assert!(names(&socket, "header").contains(&"Sec-WebSocket-Key".to_owned()));
    assert!(
        names(&tickets, "header").is_empty() && names(&read, "header").is_empty(),
        "no keys: they are no functions"
    );
    let stream = &events["responses"]["200"]["content"]["text/event-stream"];
    assert_eq!(stream["x-event"]["$ref"], "#/components/schemas/PushEvent");
    assert!(socket["responses"]["101"]["headers"].get("Sec-WebSocket-Accept").is_some());
    assert_eq!(socket["responses"]["426"]["x-problem-types"], json!(["urn:weft:problem:upgrade-required"]));
    let body = |operation: &Value, of: &str| {
        operation.pointer(&format!("{of}/content/application~1json/schema/$ref")).cloned()
    };
    assert_eq!(body(&tickets, "/responses/200"), Some(json!("#/components/schemas/PushTicket")));
    assert_eq!(body(&read, "/requestBody"), Some(json!("#/components/schemas/PushMarks")));
    assert_eq!(body(&read, "/responses/200"), Some(json!("#/components/schemas/PushUnread")));
    for (operation, ways) in [(&events, 2), (&socket, 2), (&tickets, 1), (&read, 1)] {
        let security = operation["security"].as_array().unwrap();
        assert_eq!((security.len(), &security[0]), (ways, &json!({ "bearerAuth": [] })), "{operation}");
        assert!(operation["summary"].is_string() && operation["responses"].get("401").is_some());
        assert!(operation["responses"].get("2XX").is_none() && operation["responses"].get("504").is_none());
    }
}

#[test]
fn what_the_document_says_of_push_is_what_it_says() {
    let schemas = push::schemas();
    let valid = |name: &str, value: &Value| {
        let schema = &schemas.iter().find(|(known, _)| known == name).unwrap().1;
        jsonschema::validator_for(schema).unwrap().is_valid(value)
    };
    for good in [json!({ "id": "1" }), json!({ "ids": ["1", "2"] }), json!({ "through": "7" })] {
        assert!(valid("PushMarks", &good), "{good}");
    }
    for bad in [
        json!({}),
        json!({ "id": 1 }),
        json!({ "ids": [] }),
        json!({ "id": "1", "through": "1" }),
        json!({ "id": "x" }),
    ] {
        assert!(!valid("PushMarks", &bad), "{bad}");
    }
    assert!(valid("PushTicket", &json!({ "ticket": "t", "expires_in_s": 30 })));
    assert!(valid("PushEvent", &json!({ "type": "message", "id": "1-1", "data": [1] })));
}

#[test]
fn what_is_no_schema_is_told_with_its_line() {
    let openapi = |name: &str| {
        format!(
            "[application.tool.weft.gateway.openapi]\npublic = true\n\
             [application.tool.weft.gateway.openapi.operations]\n\"* /files/...\" = {{ request = \"{name}\" }}\n"
        )
    };
    for (name, wanted) in [("broken", "at /components/schemas/broken/type"), ("dangling", "nowhere")] {
        let manifest = manifest(&openapi(name));
        let problems = problems(&manifest);
        let line = manifest.gateway.openapi.as_ref().unwrap().operations[0].line;
        assert_eq!((problems.len(), problems[0].line), (1, line), "{problems:?}");
        assert!(problems[0].message.contains(wanted), "{problems:?}");
    }
    assert!(problems(&manifest(&openapi("order"))).is_empty());
}

#[test]
fn pages_are_routes_with_one_answer() {
    let manifest = manifest(
        "[application.trigger.http]\nbase = \"/v1\"\n[application.tool.weft.gateway.openapi]\npublic = true\ndocs = \"/docs\"\n",
    );
    let served: Vec<(String, u16)> = pages(&manifest)
        .iter()
        .map(|route| (route.pattern.to_string(), route.static_response.as_ref().unwrap().status))
        .collect();
    let paths = ["/v1/openapi.json", "/v1/docs", "/v1/docs/docs.js", "/v1/docs/docs.css"];
    assert_eq!(served, paths.map(|path| (path.to_owned(), 200)));
    let document: Value = serde_json::from_str(&pages(&manifest)[0].static_response.as_ref().unwrap().body).unwrap();
    assert!(document["paths"].get("/v1/fixed").is_some(), "paths have the base in front");
    let pages = pages(&manifest);
    let html = &pages[1].static_response.as_ref().unwrap().body;
    assert!(html.contains("/v1/docs/docs.js") && html.contains("/v1/openapi.json"), "{html}");
}

#[test]
fn one_path_has_one_template() {
    let text = HEAD.replace("route = \"/fixed\"", "route = \"/orders/:name/lines\"");
    let manifest = Manifest::parse(Path::new("spin.toml"), &text).unwrap();
    assert_sound(&document(&manifest));
}

#[test]
fn every_failure_is_among_the_problems() {
    use weft_core::Reason;
    for reason in Reason::ALL {
        let problem = crate::Problem::from(weft_core::Failure::unknown(weft_core::Fault::Host, reason, "x"));
        let shared = shared::PROBLEMS.iter().find(|shared| shared.status == problem.status().as_u16()).unwrap();
        assert!(shared.types.contains(&problem.name()), "{} {}", problem.status(), problem.name());
    }
}
