//! The registry: what is registered, kept, refused and asked.

use serde_json::json;
use weft_core::clock::ManualClock;

use super::*;

fn given(kind: &str, version: u32, written: Value) -> Given {
    Given { kind: kind.into(), version, document: Document::of(written).unwrap() }
}

fn text(extra: Value) -> Value {
    let mut schema = json!({ "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"] });
    schema.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    schema
}

fn open(data: &Path) -> (Registry, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at_ms(1_700_000_000_000));
    (Registry::open(data, clock.clone()).unwrap(), clock)
}

async fn register(registry: &Registry, given: Vec<Given>) -> Result<(), Vec<Refused>> {
    registry.register(registry.plan(given)?).await.unwrap();
    Ok(())
}

#[tokio::test]
async fn events_are_looked_at_by_the_newest_version_or_the_named_one() {
    let data = tempfile::tempdir().unwrap();
    let (registry, _) = open(data.path());
    assert_eq!(registry.check("t.made", None, b"not even JSON"), Ok(()));
    let wide = json!({ "type": "object", "properties": { "a": { "type": ["string", "integer"] } } });
    register(&registry, vec![given("t.made", 1, text(json!({}))), given("t.made", 2, wide)]).await.unwrap();
    assert_eq!(registry.check("t.made", None, br#"{"a": 1}"#), Ok(()));
    assert_eq!(registry.check("t.made", Some("/schemas/t.made/2"), br#"{"a": 1}"#), Ok(()));
    let error = registry.check("t.made", Some("/schemas/t.made/1"), br#"{"a": 1}"#).unwrap_err();
    assert!(
        error.contains("\"t.made\"") && error.contains("version 1") && error.contains("at /a: 1 is not"),
        "{error}"
    );
    for wrong in ["/schemas/t.made/3", "/schemas/other/1", "https://example.com/x", "/schemas/t.made/"] {
        let error = registry.check("t.made", Some(wrong), br#"{"a": "x"}"#).unwrap_err();
        assert!(error.contains("its newest is /schemas/t.made/2"), "{error}");
    }
    assert!(registry.check("t.made", None, b"{").unwrap_err().contains("not JSON"));
    assert!(registry.check("other", Some("/schemas/other/1"), b"{}").is_err());
    assert_eq!(registry.check("other", Some("https://example.com/x"), b"{}"), Ok(()));
    registry.require(true);
    assert!(registry.check("other", None, b"{}").unwrap_err().contains("schemas_required"));
}

#[tokio::test]
async fn what_is_registered_is_there_after_reopening_and_does_not_change() {
    let data = tempfile::tempdir().unwrap();
    assert!(deployed(data.path()).unwrap().is_none());
    {
        let (registry, _) = open(data.path());
        register(&registry, vec![given("t", 1, text(json!({})))]).await.unwrap();
        registry.set_mode("t", Mode::Full).await.unwrap();
        registry.deprecate("t", "/properties/a").await.unwrap();
        registry.deprecate("t", "").await.unwrap();
        assert!(registry.deprecate("t", "/properties/b").await.unwrap_err().to_string().contains("has nothing at"));
        assert!(registry.set_mode("u", Mode::Full).await.unwrap_err().to_string().contains("no schema of the type"));
    }
    let without_lock = deployed(data.path()).unwrap().unwrap();
    assert_eq!(without_lock["t"].mode, Mode::Full);
    let (registry, _) = open(data.path());
    let types = registry.types();
    let known = &types["t"];
    assert_eq!((known.mode, known.deprecated_at_ms), (Mode::Full, Some(1_700_000_000_000)));
    assert_eq!(known.deprecated_fields, [("/properties/a".to_owned(), 1_700_000_000_000)]);
    assert_eq!(known.versions[&1].registered_at_ms, 1_700_000_000_000);
    assert_eq!(register(&registry, vec![given("t", 1, text(json!({})))]).await, Ok(()));
    let refused = register(&registry, vec![given("t", 1, text(json!({ "title": "T" })))]).await.unwrap_err();
    assert_eq!(refused[0].changes[0].pointer, "/title");
    assert!(told(&refused).contains("write the change as 2.json"), "{}", told(&refused));
}

#[tokio::test]
async fn one_refusal_registers_nothing() {
    let data = tempfile::tempdir().unwrap();
    let (registry, _) = open(data.path());
    let given = vec![
        given("good", 1, text(json!({}))),
        given("gap", 2, text(json!({}))),
        given("bad", 1, json!({ "type": "text" })),
        given("narrow", 1, text(json!({}))),
        given("narrow", 2, text(json!({ "required": ["a", "b"] }))),
    ];
    let refused = register(&registry, given).await.unwrap_err();
    let kinds: Vec<_> = refused.iter().map(|refused| (refused.kind.as_str(), refused.version)).collect();
    assert_eq!(kinds, [("bad", 1), ("gap", 2), ("narrow", 2)]);
    assert!(told(&refused).contains("the next version is 1"), "{}", told(&refused));
    assert!(registry.types().is_empty());
}

#[tokio::test]
async fn a_new_line_is_compared_with_itself_alone() {
    let data = tempfile::tempdir().unwrap();
    let (registry, _) = open(data.path());
    let integer = |extra: Value| {
        let mut schema = text(extra);
        schema["properties"]["a"] = json!({ "type": "integer" });
        schema
    };
    register(&registry, vec![given("t", 1, text(json!({})))]).await.unwrap();
    assert!(register(&registry, vec![given("t", 2, integer(json!({})))]).await.is_err());
    let line = integer(json!({ "x-compatibility": "NONE" }));
    register(&registry, vec![given("t", 2, line.clone())]).await.unwrap();
    register(&registry, vec![given("t", 3, integer(json!({})))]).await.unwrap();
    registry.set_mode("t", Mode::None).await.unwrap();
    register(&registry, vec![given("t", 4, text(json!({})))]).await.unwrap();
    registry.set_mode("t", Mode::BackwardTransitive).await.unwrap();
    assert!(register(&registry, vec![given("t", 5, integer(json!({})))]).await.is_err());
    register(&registry, vec![given("t", 5, text(json!({ "title": "as before" })))]).await.unwrap();
}

#[tokio::test]
async fn a_field_goes_ninety_days_after_it_was_marked() {
    let data = tempfile::tempdir().unwrap();
    let (registry, clock) = open(data.path());
    let marked = json!({ "properties": { "a": { "type": "string", "deprecated": true } } });
    let gone = || given("t", 3, json!({ "properties": {} }));
    let first = json!({ "properties": { "a": { "type": "string" } } });
    register(&registry, vec![given("t", 1, first), given("t", 2, marked)]).await.unwrap();
    assert!(register(&registry, vec![gone()]).await.is_err());
    clock.advance(std::time::Duration::from_secs(90 * 24 * 3600));
    register(&registry, vec![gone()]).await.unwrap();
}
