//! The rules one by one, and the promise behind them on schemas and data that are made up: what is said to be compatible
//! is so for the validator too.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use super::*;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const NOW_MS: u64 = 1_000 * DAY_MS;

fn document(written: &Value) -> Document {
    Document::of(written.clone()).unwrap()
}

fn refused(mode: Mode, versions: &[&Value], new: &Value) -> Vec<Change> {
    let documents: Vec<_> = versions.iter().map(|written| document(written)).collect();
    let past: Vec<_> = documents
        .iter()
        .zip(1..)
        .map(|(schema, version)| Past { version, schema, registered_at_ms: Some(NOW_MS - 100 * DAY_MS) })
        .collect();
    History { past: &past, deprecated: &[], mode, now_ms: NOW_MS }.refused(&document(new))
}

fn told(mode: Mode, old: &Value, new: &Value) -> Vec<String> {
    refused(mode, &[old], new).into_iter().map(|change| format!("{} {}", change.pointer, change.what)).collect()
}

fn order() -> Value {
    json!({
        "type": "object",
        "properties": { "id": { "type": "string", "minLength": 1 }, "cents": { "type": "integer", "minimum": 0 } },
        "required": ["id"],
    })
}

fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut order = order();
    change(&mut order);
    order
}

#[test]
fn an_optional_field_with_a_default_may_come() {
    let added = changed(|order| order["properties"]["note"] = json!({ "type": "string", "default": "" }));
    for mode in Mode::ALL {
        assert_eq!(told(mode, &order(), &added), Vec::<String>::new(), "{mode}");
    }
    let bare = changed(|order| order["properties"]["note"] = json!({ "type": "string" }));
    assert_eq!(told(Mode::Backward, &order(), &bare), ["/properties/note the field is new and has no default"]);
    assert_eq!(told(Mode::Forward, &order(), &bare), Vec::<String>::new());
}

#[test]
fn a_required_field_breaks_older_events_and_not_older_readers() {
    let required = changed(|order| {
        order["properties"]["note"] = json!({ "type": "string", "default": "" });
        order["required"] = json!(["id", "note"]);
    });
    let change = &refused(Mode::Backward, &[&order()], &required)[0];
    assert_eq!((change.version, change.pointer.as_str()), (1, "/properties/note"));
    assert_eq!(change.what, "the field `note` is required, and was not");
    assert!(change.why.contains("events of version 1"), "{}", change.why);
    assert!(change.advice.contains("default"), "{}", change.advice);
    assert_eq!(told(Mode::Forward, &order(), &required), Vec::<String>::new());
    assert_eq!(told(Mode::Forward, &required, &order()).len(), 1, "the field goes");
}

#[test]
fn a_field_goes_after_its_time() {
    let gone = changed(|order| drop(order["properties"].as_object_mut().unwrap().remove("cents")));
    assert_eq!(told(Mode::BackwardTransitive, &order(), &gone), ["/properties/cents the field is removed"]);
    assert_eq!(told(Mode::None, &order(), &gone), Vec::<String>::new());
    let marked = changed(|order| order["properties"]["cents"]["deprecated"] = json!(true));
    let (first, second) = (document(&order()), document(&marked));
    let gone = document(&gone);
    let at = |days: Option<u64>, deprecated: &[(String, u64)]| {
        let registered_at_ms = days.map(|days| NOW_MS - days * DAY_MS);
        let past = [
            Past { version: 1, schema: &first, registered_at_ms: days.map(|_| 0) },
            Past { version: 2, schema: &second, registered_at_ms },
        ];
        let past = if deprecated.is_empty() { &past[..] } else { &past[..1] };
        History { past, deprecated, mode: Mode::BackwardTransitive, now_ms: NOW_MS }.refused(&gone)
    };
    assert_eq!(at(Some(90), &[]), []);
    assert_eq!(at(None, &[]), [], "versions that were never deployed need no time");
    let early = at(Some(89), &[]);
    assert!(early[0].advice.contains("for 89 of 90 days"), "{early:?}");
    assert_eq!(early.len(), 1, "told once, though two versions have the field");
    let by_hand = |days: u64| [("/properties/cents".to_owned(), NOW_MS - days * DAY_MS)];
    assert_eq!(at(Some(100), &by_hand(90)), []);
    assert_eq!(at(Some(100), &by_hand(1)).len(), 1);
}

#[test]
fn a_new_name_is_told_as_one_change() {
    let renamed = changed(|order| {
        let cents = order["properties"].as_object_mut().unwrap().remove("cents").unwrap();
        order["properties"]["amount"] = cents;
    });
    let changes = refused(Mode::FullTransitive, &[&order()], &renamed);
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0].what, "the field `cents` is renamed to `amount`");
    assert!(changes[0].advice.contains("fill both"), "{}", changes[0].advice);
}

#[test]
fn what_gets_narrower_breaks_backward_and_what_gets_wider_forward() {
    let cases: [(Value, &str); 8] = [
        (json!({ "type": "integer", "minimum": 1 }), "`minimum` changes from 0 to 1"),
        (json!({ "type": "integer", "exclusiveMinimum": 0 }), "`exclusiveMinimum` changes from none to 0"),
        (json!({ "type": "integer", "minimum": 0, "maximum": 9 }), "`maximum` changes from none to 9"),
        (json!({ "type": "integer", "minimum": 0, "multipleOf": 5 }), "`multipleOf` changes from none to 5"),
        (json!({ "type": "string" }), "the type changes from integer to string"),
        (json!({ "enum": [0, 1] }), "it takes certain values alone now"),
        (
            json!({ "type": "integer", "minimum": 0, "not": { "const": 3 } }),
            "`not` changes in a way that cannot be compared",
        ),
        (json!(false), "the field is not taken any more"),
    ];
    for (narrow, what) in cases {
        let narrower = changed(|order| order["properties"]["cents"] = narrow.clone());
        assert_eq!(told(Mode::Backward, &order(), &narrower), [format!("/properties/cents {what}")]);
        let wider = told(Mode::Forward, &narrower, &order());
        assert_eq!(wider.len(), 1, "{wider:?}");
    }
    let wide = changed(|order| order["properties"]["cents"] = json!({ "type": ["number", "null"] }));
    assert_eq!(told(Mode::Backward, &order(), &wide), Vec::<String>::new());
    let types = "/properties/cents the type changes from integer to null or number";
    assert_eq!(told(Mode::Full, &order(), &wide), [types]);
    let closed = changed(|order| order["additionalProperties"] = json!(false));
    assert_eq!(
        told(Mode::Backward, &order(), &closed),
        [" fields that are not named are not all let through any more"]
    );
}

#[test]
fn transitive_modes_look_at_all_versions() {
    let text = |max: u64| json!({ "properties": { "a": { "type": "string", "maxLength": max } } });
    let (first, second, third) = (text(9), text(5), text(5));
    assert_eq!(refused(Mode::Backward, &[&first, &second], &third), []);
    let changes = refused(Mode::BackwardTransitive, &[&first, &second], &third);
    assert_eq!((changes.len(), changes[0].version), (1, 1));
}

#[test]
fn branches_may_come_where_any_of_them_counts() {
    let any = |branches: Value| json!({ "properties": { "a": { "anyOf": branches } } });
    let old = any(json!([{ "type": "string" }, { "type": "null" }]));
    let new = any(json!([{ "type": "string" }, { "type": "null" }, { "type": "integer" }]));
    assert_eq!(told(Mode::Backward, &old, &new), Vec::<String>::new());
    assert_eq!(told(Mode::Forward, &old, &new).len(), 1);
}

/// A schema of fields `a` to `d`.
fn schemas() -> impl Strategy<Value = Value> {
    let text = (0_u8..3, proptest::option::of(2_u8..6)).prop_map(|(least, most)| {
        let mut schema = json!({ "type": "string", "minLength": least });
        if let Some(most) = most {
            schema["maxLength"] = json!(most);
        }
        schema
    });
    let number = (prop_oneof![Just("integer"), Just("number")], -2_i8..2, proptest::option::of(2_i8..6)).prop_map(
        |(kind, least, most)| {
            let mut schema = json!({ "type": kind, "minimum": least });
            if let Some(most) = most {
                schema["exclusiveMaximum"] = json!(most);
            }
            schema
        },
    );
    let values = proptest::sample::subsequence(vec![json!("x"), json!("yy"), json!(1), json!(null)], 1..4)
        .prop_map(|values| json!({ "enum": values }));
    let types = proptest::sample::subsequence(vec!["string", "integer", "null", "boolean", "object"], 1..4)
        .prop_map(|types| json!({ "type": types }));
    let leaf = prop_oneof![text, number, values, types, Just(json!({})), Just(json!(true))];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let fields = proptest::collection::btree_map("[a-d]", inner.clone(), 0..4);
        let rest = prop_oneof![3 => Just(None), 1 => Just(Some(json!(false))), 1 => inner.clone().prop_map(Some)];
        let object = (fields, any::<u8>(), rest).prop_map(|(fields, chosen, rest)| {
            let required: Vec<_> = fields.keys().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 1).collect();
            let required: Vec<_> = required.into_iter().map(|(_, name)| name).collect();
            let mut schema = json!({ "type": "object", "properties": fields, "required": required });
            if let Some(rest) = rest {
                schema["additionalProperties"] = rest;
            }
            schema
        });
        let list = (inner.clone(), 0_u8..2, proptest::option::of(2_u8..4)).prop_map(|(items, least, most)| {
            let mut schema = json!({ "type": "array", "items": items, "minItems": least });
            if let Some(most) = most {
                schema["maxItems"] = json!(most);
            }
            schema
        });
        let branches = proptest::collection::vec(inner.clone(), 1..3);
        let any = branches.clone().prop_map(|branches| json!({ "anyOf": branches }));
        let all = branches.prop_map(|branches| json!({ "allOf": branches }));
        let not = inner.prop_map(|inner| json!({ "not": inner }));
        prop_oneof![6 => object, 2 => list, 1 => any, 1 => all, 1 => not]
    })
}

/// `schema`, with a part of it changed: `where_to` says which, `other` what comes there.
fn mutated(schema: &Value, where_to: &mut u32, other: &Value) -> Value {
    let turn = *where_to % 5;
    *where_to /= 5;
    let Value::Object(keywords) = schema else { return other.clone() };
    let mut keywords = keywords.clone();
    let step = |keywords: &mut serde_json::Map<String, Value>, keyword: &str, by: i64| {
        if let Some(number) = keywords.get(keyword).and_then(Value::as_i64) {
            keywords.insert(keyword.to_owned(), json!((number + by).max(0)));
        }
    };
    match (turn, keywords.get("properties").cloned()) {
        (0, _) => return other.clone(),
        (1, Some(Value::Object(mut fields))) => {
            fields.insert("e".to_owned(), other.clone());
            keywords.insert("properties".to_owned(), Value::Object(fields));
        }
        (2, Some(_)) => drop(keywords.insert("required".to_owned(), json!([]))),
        (_, Some(Value::Object(mut fields))) => {
            let count = u32::try_from(fields.len()).unwrap();
            if let Some((_, field)) = fields.iter_mut().nth((*where_to % count.max(1)) as usize) {
                *where_to /= count.max(1);
                *field = mutated(field, where_to, other);
            }
            keywords.insert("properties".to_owned(), Value::Object(fields));
        }
        _ => {
            step(&mut keywords, "minLength", -1);
            step(&mut keywords, "maxLength", if turn == 4 { -1 } else { 1 });
            step(&mut keywords, "minItems", -1);
            if let Some(Value::Array(branches)) = keywords.get_mut("anyOf") {
                branches.push(other.clone());
            }
        }
    }
    Value::Object(keywords)
}

/// Data whose objects have only fields that `schema` names, or that it has a schema for.
fn data(schema: &Value, choice: &mut TestRng) -> Value {
    let mut pick = |count: u32| choice.next_u32() % count.max(1);
    let any = json!({});
    let schema = if schema.is_object() { schema } else { &any };
    if let Some(Value::Array(values)) = schema.get("enum") {
        return values[pick(u32::try_from(values.len()).unwrap()) as usize].clone();
    }
    for keyword in ["anyOf", "allOf"] {
        if let Some(Value::Array(branches)) = schema.get(keyword) {
            let branch = branches[pick(u32::try_from(branches.len()).unwrap()) as usize].clone();
            return data(&branch, choice);
        }
    }
    let kinds = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.clone(),
        Some(kind) => vec![kind.clone()],
        None => ["null", "boolean", "integer", "string", "array"].map(Value::from).to_vec(),
    };
    let kind = kinds[pick(u32::try_from(kinds.len()).unwrap()) as usize].clone();
    match kind.as_str().unwrap() {
        "null" => Value::Null,
        "boolean" => json!(pick(2) == 1),
        "integer" => json!(i64::from(pick(9)) - 3),
        "number" => json!(f64::from(pick(40)) / 4.0 - 3.0),
        "string" => Value::from("xyzxyzxyz".chars().take(pick(8) as usize).collect::<String>()),
        "array" => {
            let items = schema.get("items").unwrap_or(&any);
            let count = pick(4);
            (0..count).map(|_| data(items, choice)).collect()
        }
        _ => {
            let mut object = serde_json::Map::new();
            let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
            for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                if required.contains(&json!(name)) || choice.next_u32().is_multiple_of(2) {
                    object.insert(name.clone(), data(field, choice));
                }
            }
            if let Some(rest @ Value::Object(_)) = schema.get("additionalProperties")
                && !rest.as_object().unwrap().is_empty()
            {
                for name in ["a", "e", "f"] {
                    if !object.contains_key(name)
                        && schema["properties"].get(name).is_none()
                        && choice.next_u32().is_multiple_of(2)
                    {
                        object.insert(name.to_owned(), data(rest, choice));
                    }
                }
            }
            Value::Object(object)
        }
    }
}

#[test]
fn what_is_called_compatible_is_so_for_the_validator() {
    let mut runner = TestRunner::new_with_rng(
        Config { cases: 4_000, failure_persistence: None, ..Config::default() },
        TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]),
    );
    let (compatible, broken, checked) =
        (std::cell::Cell::new(0_u32), std::cell::Cell::new(0_u32), std::cell::Cell::new(0_u32));
    let cases = (schemas(), any::<u32>(), schemas(), any::<[u8; 32]>());
    let ended = runner.run(&cases, |(old, mut where_to, other, seed)| {
        let new = mutated(&old, &mut where_to, &other);
        let found = gaps(document(&old).normal(), document(&new).normal());
        let count = if found.is_empty() { &compatible } else { &broken };
        count.set(count.get() + 1);
        if !found.is_empty() {
            return Ok(());
        }
        let (reads_old, reads_new) =
            (jsonschema::validator_for(&old).unwrap(), jsonschema::validator_for(&new).unwrap());
        let mut choice = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        for _ in 0..30 {
            let data = data(&old, &mut choice);
            if reads_old.is_valid(&data) {
                checked.set(checked.get() + 1);
                prop_assert!(reads_new.is_valid(&data), "{data} is valid for {old} and not for {new}");
            }
        }
        Ok(())
    });
    if let Err(error) = ended {
        panic!("{error}");
    }
    let (compatible, broken, checked) = (compatible.get(), broken.get(), checked.get());
    assert!(compatible > 500 && broken > 500 && checked > 5_000, "{compatible} {broken} {checked}");
}
