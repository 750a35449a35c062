//! The table of JSON and WAVE forms of each type, and of what is refused.

use serde_json::json;
use wasmtime::component::wasm_wave;
use wasmtime::component::wasm_wave::value::{Type, Value};

use super::*;

fn course() -> Type {
    Type::record([("code", Type::STRING), ("seats", Type::option(Type::U32))]).unwrap()
}

fn payment() -> Type {
    Type::variant([("free", None), ("card", Some(Type::STRING)), ("later", Some(Type::option(Type::U8)))]).unwrap()
}

/// Both ways: JSON is read as the value that WAVE writes, and that value is written as the same JSON.
#[test]
fn every_type_goes_both_ways() {
    let table: Vec<(Type, Json, &str)> = vec![
        (Type::BOOL, json!(true), "true"),
        (Type::S8, json!(-128), "-128"),
        (Type::S16, json!(-5), "-5"),
        (Type::S32, json!(-5), "-5"),
        (Type::S64, json!(i64::MIN), "-9223372036854775808"),
        (Type::U8, json!(255), "255"),
        (Type::U16, json!(65535), "65535"),
        (Type::U32, json!(7), "7"),
        (Type::U64, json!(u64::MAX), "18446744073709551615"),
        (Type::F32, json!(0.1), "0.1"),
        (Type::F64, json!(-1.25), "-1.25"),
        (Type::F64, json!("inf"), "inf"),
        (Type::CHAR, json!("ä"), "'ä'"),
        (Type::STRING, json!("a\"b"), r#""a\"b""#),
        (Type::list(Type::STRING), json!(["a", "b"]), r#"["a", "b"]"#),
        (Type::list(Type::STRING), json!([]), "[]"),
        (Type::list(Type::U8), json!("AQL/"), "[1, 2, 255]"),
        (Type::tuple(vec![Type::U8, Type::BOOL]).unwrap(), json!([1, false]), "(1, false)"),
        (course(), json!({ "code": "AAA", "seats": 3 }), r#"{code: "AAA", seats: some(3)}"#),
        (payment(), json!("free"), "free"),
        (payment(), json!({ "card": "tok" }), r#"card("tok")"#),
        (Type::enum_ty(["unknown", "not-attempted"]).unwrap(), json!("not-attempted"), "not-attempted"),
        (Type::option(Type::U8), json!(null), "none"),
        (Type::option(Type::U8), json!(4), "some(4)"),
        (Type::result(Some(Type::U8), Some(payment())), json!({ "err": { "card": "x" } }), r#"err(card("x"))"#),
        (Type::result(None, None), json!("ok"), "ok"),
        (Type::flags(["read", "write"]).unwrap(), json!(["write"]), "{write}"),
    ];
    for (ty, json, wave) in table {
        let value: Value = read(&ty, &json).unwrap_or_else(|error| panic!("{json}: {error}"));
        assert_eq!(value, wasm_wave::from_str::<Value>(&ty, wave).unwrap(), "{json}");
        assert_eq!(write(&value).unwrap(), json, "{wave}");
    }
}

#[test]
fn other_forms_are_read_too() {
    let table: Vec<(Type, Json, &str)> = vec![
        (Type::U64, json!("18446744073709551615"), "18446744073709551615"),
        (Type::S64, json!("-7"), "-7"),
        (Type::F32, json!(1), "1.0"),
        (Type::list(Type::U8), json!([1, 2]), "[1, 2]"),
        (Type::list(Type::U8), json!(""), "[]"),
        (course(), json!({ "code": "AAA" }), r#"{code: "AAA"}"#),
        (course(), json!({ "code": "AAA", "seats": null }), r#"{code: "AAA"}"#),
        (payment(), json!({ "free": null }), "free"),
        (payment(), json!({ "later": null }), "later(none)"),
        (payment(), json!("later"), "later(none)"),
    ];
    for (ty, json, wave) in table {
        let value: Value = read(&ty, &json).unwrap_or_else(|error| panic!("{json}: {error}"));
        assert_eq!(value, wasm_wave::from_str::<Value>(&ty, wave).unwrap(), "{json}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    let courses = || Type::list(course());
    let table: Vec<(Type, Json, &str)> = vec![
        (Type::U8, json!(256), "u8 is expected, not the number 256"),
        (Type::U8, json!(-1), "u8 is expected"),
        (Type::U8, json!(1.5), "u8 is expected"),
        (Type::U64, json!("1e3"), "u64 is expected, not the string \"1e3\""),
        (Type::STRING, json!(5), "string is expected, not the number 5"),
        (Type::CHAR, json!("ab"), "char is expected"),
        (Type::BOOL, json!("true"), "bool is expected"),
        (Type::list(Type::U8), json!("%"), "not Base64"),
        (courses(), json!([{ "code": "A" }, { "code": 5 }]), "at [1].code: string is expected"),
        (courses(), json!([{ "seats": 5 }]), "at [0]: the field \"code\" is missing (string)"),
        (
            courses(),
            json!([{ "code": "A", "seat": 5 }]),
            "at [0]: there is no field \"seat\"; the fields are code, seats",
        ),
        (payment(), json!("cash"), "variant { free, card(string)"),
        (payment(), json!({ "free": 1 }), "the case \"free\" has no payload"),
        (payment(), json!({ "card": 1 }), "at .card: string is expected"),
        (payment(), json!("card"), "at .card: string is expected, not null"),
        (payment(), json!({ "card": "x", "free": null }), "an object of 2 fields"),
        (Type::enum_ty(["a"]).unwrap(), json!("b"), "enum { a } is expected, not the string \"b\""),
        (Type::tuple(vec![Type::U8]).unwrap(), json!([1, 2]), "tuple<u8> is expected, not an array of 2"),
        (Type::flags(["a"]).unwrap(), json!(["b"]), "flags { a } is expected"),
        (Type::result(None, None), json!("fine"), "result is expected"),
    ];
    for (ty, json, says) in table {
        let error = read::<Value>(&ty, &json).unwrap_err().to_string();
        assert!(error.contains(says), "{json}: {error}");
    }
}
