//! The education application as Spin would run it: the closed forms that `weft build` has made, with what Spin gives a
//! component and nothing of Weft's. The walk of the README, forged identities, and a kill in the middle of a saga.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use wasmparser::component_types::ComponentEntityType;
use wasmparser::{Parser, Payload, Validator, WasmFeatures};
use weft_tests::people::{self, Person};
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::skip;
use weft_tests::tokens::{Sign, Token};
use weft_tests::wait::eventually;

/// Made once a run, out of what is built; nothing where a part cannot be built here, since nothing stands in for it.
fn options() -> Option<Options> {
    static MADE: OnceLock<()> = OnceLock::new();
    if skip::without("notifications_sms") || skip::without("analytics_recommendations") {
        return None;
    }
    MADE.get_or_init(|| {
        let made = Command::new(repository::weft())
            .args(["build", "--closed-forms"])
            .current_dir(repository::root())
            .output()
            .expect("weft can be started");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    });
    Some(Options { options: vec!["--as-spin".to_owned()], ..Options::default() })
}

/// A course that the admin has made and published.
fn course(platform: &Platform, admin: &Person, capacity: u32) -> String {
    let course = json!({
        "code": "WASM-1", "title": "Components", "description": "From source to saga",
        "capacity": capacity, "price": 4_900, "currency": "EUR", "prerequisites": [],
    });
    let course = platform.post("/api/courses", &course).token(&admin.token).send().expect(201);
    let id = course["id"].as_str().expect("an id").to_owned();
    let _ = platform.post(&format!("/api/courses/{id}/publish"), &json!({})).token(&admin.token).send().expect(200);
    id
}

fn enroll(platform: &Platform, course: &str, token: &str, payment: &str, wait: &str) -> weft_tests::http::Response {
    let body = json!({"payment": {"provider": "sandbox", "token": payment}});
    platform.post(&format!("/api/courses/{course}/enroll"), &body).token(token).header("prefer", wait).send()
}

/// The interfaces of the file's imports by which functions come.
fn imports(bytes: &[u8]) -> Vec<String> {
    let types = Validator::new_with_features(WasmFeatures::all()).validate_all(bytes).expect("a component");
    let types = types.as_ref();
    // One that only names types asks for nothing.
    let has_functions = |name: &str| match types.component_item_for_import(name).map(|item| item.ty) {
        Some(ComponentEntityType::Instance(id)) => {
            types[id].exports.values().any(|export| matches!(export.ty, ComponentEntityType::Func(_)))
        }
        _ => true,
    };
    let mut depth = 0;
    let mut imports = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.expect("a component") {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            // Those of the whole, and not of what it is composed of.
            Payload::ComponentImportSection(section) if depth == 1 => {
                let names = section.into_iter().map(|import| import.expect("an import").name.name.to_owned());
                imports.extend(names.filter(|name| has_functions(name)));
            }
            _ => {}
        }
    }
    imports
}

/// What a host of Weft lets through under `--as-spin` is one thing; here the files themselves are held against the list.
#[test]
fn closed_forms_import_what_spin_has_and_nothing_else() {
    if options().is_none() {
        return;
    }
    let root = repository::root();
    let list = std::fs::read_to_string(root.join("host/engine/src/spin-up-4.1.0.txt")).expect("the list");
    // The third number of a version may be any: 0.2.0 and 0.2.6 are one interface to whoever links it.
    let compatible = |name: &str| match name.rsplit_once('.') {
        Some((stem, _)) if !name.contains("-rc") && !name.contains("-draft") => stem.to_owned(),
        _ => name.to_owned(),
    };
    let known: BTreeSet<String> = list.lines().map(compatible).collect();
    let mut looked_at = 0;
    for entry in std::fs::read_dir(root.join("dist/spin")).expect("closed forms") {
        let path = entry.expect("an entry").path();
        let imports = imports(&std::fs::read(&path).expect("a file"));
        assert!(imports.iter().any(|name| name.starts_with("wasi:")), "{}: {imports:?}", path.display());
        let foreign: Vec<_> = imports.iter().filter(|name| !known.contains(&compatible(name))).collect();
        assert!(foreign.is_empty(), "{}: {foreign:?}", path.display());
        looked_at += 1;
    }
    assert!(looked_at > 10, "{looked_at} closed forms");
}

#[test]
fn the_walk_of_the_readme() {
    let Some(options) = options() else { return };
    let platform = Platform::start_with(&options);
    let admin = people::admin(&platform);
    let course = course(&platform, &admin, 2);
    let ada = people::register(&platform, "ada", "student");

    let enrollment = enroll(&platform, &course, &ada.token, "tok_ok", "wait=10").expect(201);
    assert_eq!(enrollment["student_id"], json!(ada.id));
    assert_eq!(enrollment["status"], "active");

    let again = enroll(&platform, &course, &ada.token, "tok_ok", "wait=10");
    assert_eq!(again.status, 409, "{}", again.text());
    assert_eq!(again.header("content-type"), Some("application/problem+json"));

    let declined = enroll(&platform, &course, &admin.token, "tok_declined", "wait=10");
    assert_eq!(declined.status, 402, "{}", declined.text());
    // The declined payment gave its seat back.
    let seen = platform.get(&format!("/api/courses/{course}")).send().expect(200);
    assert_eq!(seen["seats_taken"], 1, "{seen}");

    let mine = platform.get("/api/enrollments").token(&ada.token).send().expect(200);
    assert_eq!(mine["items"].as_array().map(Vec::len), Some(1), "{mine}");
    let payments = platform.get("/api/payments").token(&ada.token).send().expect(200);
    assert_eq!(payments["items"].as_array().map(Vec::len), Some(1), "{payments}");
    eventually("Ada is told of it", || {
        let told = platform.get("/api/notifications").token(&ada.token).send().expect(200);
        let told: Vec<Value> = told["items"].as_array().cloned().unwrap_or_default();
        if told.len() == 2 { Ok(()) } else { Err(told) }
    });
    eventually("one answer has several contexts", || {
        let web = platform.get("/api/dashboard/web").token(&ada.token).send().expect(200);
        let is_whole = web["errors"] == json!([]) && web["enrollments"][0]["title"] == "Components";
        if is_whole && web["notifications"][0].is_object() { Ok(()) } else { Err(web) }
    });
    eventually("the read model has caught up", || {
        let list = platform.get(&format!("/api/courses/{course}/enrollments")).token(&admin.token).send().expect(200);
        if list["items"].as_array().is_some_and(|items| items.len() == 1) { Ok(()) } else { Err(list) }
    });
}

#[test]
fn nobody_is_who_a_header_says() {
    let Some(options) = options() else { return };
    let platform = Platform::start_with(&options);
    let admin = people::admin(&platform);
    let ada = people::register(&platform, "ada", "student");
    let forge = |request: weft_tests::http::Request<'_>| {
        let forged =
            request.header("X-User-ID", &admin.id).header("x_user_role", "admin").header("X-User-Role", "admin");
        forged.header("X-User-Permissions", "*").send()
    };
    let missing = forge(platform.get("/api/users/me"));
    assert_eq!((missing.status, missing.header("www-authenticate").is_some()), (401, true), "{}", missing.text());
    assert_eq!(forge(platform.get("/api/admin/users")).status, 401);
    assert_eq!(forge(platform.get("/api/admin/users").token(&ada.token)).status, 403);
    let me = forge(platform.get("/api/users/me").token(&ada.token)).expect(200);
    assert_eq!(me["id"], json!(ada.id));
    let forged_tokens = [
        Sign::OtherKey,
        Sign::None,
        Sign::NoneWithSignature,
        Sign::Hs256PublicPem,
        Sign::Hs256PublicBytes,
        Sign::Tampered,
        Sign::CutOff,
    ];
    for sign in forged_tokens {
        // One that is changed after it was signed is made to say `admin`.
        let role = if sign == Sign::Tampered { "student" } else { "admin" };
        let token = platform.token(&Token { sign, ..Token::of(&admin.id, role) });
        let answer = platform.get("/api/admin/users").token(&token).send();
        assert_eq!(answer.status, 401, "{sign:?}: {}", answer.text());
    }
    for claims in [json!({"iss": "somebody"}), json!({"aud": "others"}), json!({"type": "refresh"})] {
        let claims = claims.as_object().cloned().unwrap_or_default();
        let token = platform.token(&Token { claims, ..Token::of(&admin.id, "admin") });
        assert_eq!(platform.get("/api/admin/users").token(&token).send().status, 401);
    }
    let expired = platform.token(&Token { expires_in_s: -60, ..Token::of(&admin.id, "admin") });
    assert_eq!(platform.get("/api/admin/users").token(&expired).send().status, 401);
    assert_eq!(platform.get("/api/admin/users").token("nonsense").send().status, 401);
    // What no route names, and a method that its path does not have.
    assert_eq!(platform.get("/api/nowhere").send().status, 404);
    assert_eq!(platform.request("DELETE", "/api/courses").token(&admin.token).send().status, 405);
}

#[test]
fn a_saga_survives_the_kill_of_its_host() {
    let Some(options) = options() else { return };
    let mut platform = Platform::start_with(&options);
    let admin = people::admin(&platform);
    let course = course(&platform, &admin, 1);
    let ada = people::register(&platform, "ada", "student");
    let started = enroll(&platform, &course, &ada.token, "tok_slow_3000", "wait=0").expect(202);
    let status_url = started["status_url"].as_str().expect("a status URL").to_owned();
    platform.kill();
    platform.run(&options).expect("the host starts on what it left");
    // A timer's request, as a scheduler outside sends it: the leases of the dead process have to end first.
    eventually("the saga has come to its end", || {
        let _ = platform.post("/.weft/timer", &json!({})).send().expect(200);
        let saga = platform.get(&status_url).token(&ada.token).send().expect(200);
        if saga["status"] == "completed" { Ok(()) } else { Err(saga) }
    });
    let mine = platform.get("/api/enrollments").token(&ada.token).send().expect(200);
    assert_eq!(mine["items"].as_array().map(Vec::len), Some(1), "{mine}");
    let payments = platform.get("/api/payments").token(&ada.token).send().expect(200);
    assert_eq!(payments["items"].as_array().map(Vec::len), Some(1), "charged once: {payments}");
}
