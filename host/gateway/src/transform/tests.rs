//! Rules as the manifest has them, and what comes of requests and answers.

use std::path::Path;

use http::{Request, Response};
use serde_json::{Value, json};
use weft_core::manifest::Manifest;

use super::*;

fn rules(text: &str) -> Transform {
    let manifest = format!(
        "spin_manifest_version = 2\n[application]\nname = \"x\"\n[application.tool.weft.gateway.transforms.it]\n{text}"
    );
    let manifest =
        Manifest::parse(Path::new("spin.toml"), &manifest).unwrap_or_else(|problems| panic!("{problems:#?}"));
    Transform::new(&manifest.gateway.transforms[0])
}

fn target(rules: &Transform, target: &str) -> String {
    let (mut head, ()) = Request::builder().uri(target).body(()).unwrap().into_parts();
    rules.request(&mut head);
    head.uri.to_string()
}

#[test]
fn paths_lose_and_gain_prefixes() {
    let both = rules("request.path = { strip_prefix = \"/v1\", add_prefix = \"/api\" }");
    for (from, to) in [
        ("/v1/orders?a=b", "/api/orders?a=b"),
        ("/v1", "/api"),
        ("/v1/", "/api"),
        ("/v10/orders", "/api/v10/orders"),
        ("/", "/api"),
        ("http://shop.example:80/v1/a", "http://shop.example:80/api/a"),
    ] {
        assert_eq!(target(&both, from), to, "{from}");
    }
    let strip = rules("request.path.strip_prefix = \"/a/b\"");
    for (from, to) in [("/a/b/c", "/c"), ("/a/b", "/"), ("/a/bc", "/a/bc"), ("/a/b/a/b", "/a/b")] {
        assert_eq!(target(&strip, from), to, "{from}");
    }
}

#[test]
fn parameters_of_the_query_go_and_come() {
    let rules = rules("request.query = { remove = [\"debug\", \"ü\"], set = { format = \"a b\", page = \"1\" } }");
    for (from, to) in [
        ("/a", "/a?format=a+b&page=1"),
        ("/a?x=%2f&debug=1&y&page=2&page=3", "/a?x=%2f&y&format=a+b&page=1"),
        ("/a?%64ebug=1&%C3%BC=2&&", "/a?format=a+b&page=1"),
    ] {
        assert_eq!(target(&rules, from), to, "{from}");
    }
}

#[test]
fn headers_are_removed_renamed_set_and_added_in_this_order() {
    let rules = rules(
        "[application.tool.weft.gateway.transforms.it.response.headers]\nremove = [\"Server\"]\n\
         rename = { X-Old = \"X-New\" }\nset = { Cache-Control = \"no-store\" }\nadd = { Vary = \"X-Tenant\" }\n",
    );
    let answer = Response::builder()
        .header("server", "x")
        .header("x-old", "1")
        .header("x-old", "2")
        .header("x-new", "0")
        .header("cache-control", "public")
        .header("vary", "accept");
    let (mut head, ()) = answer.body(()).unwrap().into_parts();
    rules.response(&mut head);
    let values =
        |name: &str| head.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(values("server"), Vec::<&str>::new());
    assert_eq!((values("x-old"), values("x-new")), (vec![], vec!["1", "2"]));
    assert_eq!((values("cache-control"), values("vary")), (vec!["no-store"], vec!["accept", "X-Tenant"]));
}

#[test]
fn fields_of_json_are_removed_renamed_and_set() {
    let rules = rules(
        "[application.tool.weft.gateway.transforms.it.response.json]\n\
         remove = [\"/secret\", \"/items/*/secret\", \"/items/0/first\"]\nrename = { \"/items/*/user_name\" = \"name\" }\n\
         set = { \"/version\" = 2, \"/nested/a\" = [\"x\", { b = true }], \"/nowhere/a\" = 1 }\n",
    );
    let body = json!({
        "secret": 1, "nested": {}, "other": "secret",
        "items": [{ "secret": 1, "user_name": "ada", "first": 1 }, { "user_name": "bob", "first": 1 }, 7],
    });
    let changed: Value =
        serde_json::from_slice(&rules.response_json.apply(body.to_string().as_bytes()).unwrap()).unwrap();
    let expected = json!({
        "nested": { "a": ["x", { "b": true }] }, "other": "secret", "version": 2,
        "items": [{ "name": "ada" }, { "name": "bob", "first": 1 }, 7],
    });
    assert_eq!(changed, expected);
    assert_eq!(rules.response_json.apply(b"[1]"), Ok(b"[1]".to_vec()), "what the rules do not mean stays");
    assert!(rules.response_json.apply(b"{").is_err());
}

#[test]
fn whole_answers_are_asked_for_where_their_json_is_changed() {
    let rules = rules("response.json.remove = [\"/a\"]");
    let (mut head, ()) = Request::builder().uri("/").header("range", "bytes=0-1").body(()).unwrap().into_parts();
    rules.request(&mut head);
    assert!(head.headers.is_empty());
}

#[test]
fn json_is_known_by_its_type() {
    let headers = |kind: &str| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap())]);
    assert!(is_json(&headers("application/json")) && is_json(&headers("Application/JSON; charset=utf-8")));
    for other in ["application/problem+json", "text/json", "application/jsonx", ""] {
        assert!(!is_json(&headers(other)), "{other}");
    }
}
