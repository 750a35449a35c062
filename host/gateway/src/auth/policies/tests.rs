//! What policies say of requests, and what is said of policies that make no sense.

use std::path::PathBuf;
use std::sync::Arc;

use weft_core::manifest::{Access, Callers, PolicyFile};

use super::super::identity::Claims;
use super::super::{ApiKey, ClaimNames};
use super::*;

const NOW_MS: u64 = 1_800_000_000_000;

const GOOD: &str = r#"
@id("own")
permit (principal is User, action in Action::"write", resource) when { context.params.id == principal.id };
@id("teachers-read")
permit (principal in Role::"teacher", action in Action::"read", resource);
@id("grading")
permit (principal == Service::"grading", action == Action::"PUT /grades/:id", resource)
    when { principal.permissions.contains("grades:write") && context.now > datetime("2026-01-01") };
@id("inside")
forbid (principal, action, resource == Route::"/grades/:id") unless { context.client.isInRange(ip("10.0.0.0/8")) };
@id("tenants")
forbid (principal is User, action, resource) when { principal has tenant && principal.tenant == "closed" };
"#;

fn auth(policies: &[&str]) -> Auth {
    let files = policies.iter().enumerate();
    let file = |(number, text): (usize, &&str)| PolicyFile {
        path: PathBuf::from(format!("policies/{number}.cedar")),
        text: Arc::from(*text),
        line: 4,
    };
    Auth { policies: files.map(file).collect(), line: 3, ..Auth::new("i", "a", Vec::new()) }
}

fn route(text: &str) -> Route {
    let (method, pattern) = text.split_once(' ').unwrap();
    let route = Route::new(method.parse().unwrap(), pattern.parse().unwrap(), "grades".into());
    Route { access: Access::Authenticated(Callers { policies: true, ..Callers::default() }), ..route }
}

fn identity(claims: Value) -> Identity {
    let claims: Claims = serde_json::from_value(claims).unwrap();
    Identity::from_claims(claims, &ClaimNames::default()).unwrap()
}

fn user(id: &str, role: &str) -> Identity {
    identity(json!({ "sub": id, "role": role, "exp": 1, "type": "access" }))
}

/// Which policies refuse; none if it is permitted.
fn refused(policies: &Policies, identity: &Identity, route: &Route, id: &str, client: [u8; 4]) -> Option<String> {
    let asked = Asked {
        identity,
        route,
        method: "PUT",
        path: "/grades/x",
        params: &[("id".to_owned(), id.to_owned())],
        headers: &[],
        client: client.into(),
        is_secure: true,
        now_ms: NOW_MS,
    };
    policies.decide(&asked).err().map(|denied| denied.to_string())
}

#[test]
fn who_may_do_what_is_what_the_policies_say() {
    let policies = Policies::read(&auth(&[GOOD])).unwrap();
    let (write, read) = (route("PUT /grades/:id"), route("GET /courses/:id"));
    let inside = [10, 1, 2, 3];
    let none = Some("no policy permits it".to_owned());
    assert_eq!(refused(&policies, &user("u1", "student"), &write, "u1", inside), None);
    assert_eq!(refused(&policies, &user("u1", "student"), &write, "u2", inside), none);
    let outside = refused(&policies, &user("u1", "student"), &write, "u1", [192, 0, 2, 1]);
    assert_eq!(outside.as_deref(), Some("policy inside"));
    assert_eq!(refused(&policies, &user("u1", "teacher"), &read, "c", [192, 0, 2, 1]), None);
    assert_eq!(refused(&policies, &user("u1", "student"), &read, "c", inside), none);
    let service = |name: &str, permissions: Value| {
        identity(json!({ "sub": name, "permissions": permissions, "exp": 1, "type": "service" }))
    };
    assert_eq!(refused(&policies, &service("grading", json!(["grades:write"])), &write, "u2", inside), None);
    assert_eq!(refused(&policies, &service("grading", json!([])), &write, "u2", inside), none);
    assert_eq!(refused(&policies, &service("u2", json!(["grades:write"])), &write, "u2", inside), none);
    let closed = ApiKey { owner: "u1".into(), id: "k".into(), tenant: Some("closed".into()), ..ApiKey::default() };
    let closed = Identity::of_api_key(closed).unwrap();
    assert_eq!(refused(&policies, &closed, &write, "u1", inside).as_deref(), Some("policy tenants"));
    // A name cannot reach beyond its quotes.
    let posing = user(r#"u1" || true || ""#, r#"teacher", Role::"admin"#);
    assert_eq!(refused(&policies, &posing, &read, "c", inside), none);
}

#[test]
fn without_policies_nothing_is_permitted() {
    for policies in [Policies::default(), Policies::read(&auth(&["// nothing yet"])).unwrap()] {
        let refused = refused(&policies, &user("u1", ""), &route("GET /a/:id"), "a", [10, 0, 0, 1]);
        assert_eq!(refused.as_deref(), Some("no policy permits it"));
    }
}

#[test]
fn what_cannot_be_evaluated_refuses() {
    let policies = auth(&[
        "permit (principal, action, resource);",
        "forbid (principal, action, resource) when { context.nothing };",
    ]);
    let policies = Policies::read(&policies).unwrap();
    let refused = refused(&policies, &user("u1", ""), &route("GET /a/:id"), "a", [10, 0, 0, 1]);
    assert_eq!(refused.as_deref(), Some("policy errors, which the host's log has"));
}

fn manifest(policies: &[&str], routes: &[&str]) -> Manifest {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spin.toml");
    std::fs::write(&path, "spin_manifest_version = 2\n[application]\nname = \"x\"\n").unwrap();
    let mut manifest = Manifest::load(&path).unwrap();
    manifest.auth = Some(auth(policies));
    manifest.routes = routes.iter().map(|text| route(text)).collect();
    manifest
}

#[test]
fn what_makes_no_sense_is_told_with_its_line() {
    let told = |policies: &[&str]| -> Vec<String> {
        let problems = problems(&manifest(policies, &["PUT /grades/:id", "GET /courses/:id"]));
        problems
            .iter()
            .map(|problem| format!("{}:{}: {}", problem.file.display(), problem.line, problem.message))
            .collect()
    };
    assert_eq!(told(&[GOOD]), Vec::<String>::new());
    for (policies, line, part) in [
        (&["\npermit (principal, action, resource)\nwhen { principal.id = 1 };"][..], "policies/0.cedar:3", "="),
        (&["", "\n\npermit (principal == ?principal, action, resource);"], "policies/1.cedar:3", "template"),
        (
            &[
                "@id(\"a\") permit (principal, action, resource);",
                "\n@id(\"a\")\nforbid (principal, action, resource);",
            ],
            "policies/1.cedar:2",
            "two policies are called a",
        ),
        (
            &["permit (principal is User, action, resource)\nwhen { principal.rol == \"x\" };"],
            "policies/0.cedar:2",
            "rol",
        ),
        (&["permit (principal is Usr, action, resource);"], "policies/0.cedar:1", "Usr"),
        (&["permit (principal, action == Action::\"GET /nowhere\", resource);"], "policies/0.cedar:1", "/nowhere"),
        (
            &["// why\n\nforbid (principal, action, resource == Route::\"/grades/:id/\");"],
            "policies/0.cedar:3",
            "no route that asks",
        ),
        (&["permit (principal, action, resource) when { context.params.nr == \"1\" };"], "policies/0.cedar:1", "nr"),
    ] {
        let told = told(policies);
        assert!(told.iter().any(|one| one.starts_with(line) && one.contains(part)), "{policies:?}: {told:?}");
    }
    let unasked = problems(&manifest(&[GOOD], &[]));
    assert!(unasked.len() == 1 && unasked[0].message.contains("no route asks"), "{unasked:?}");
    assert_eq!(unasked[0].line, 4, "where the manifest names them");
    let many = "permit (principal, action, resource);\n".repeat(1_001);
    let told = told(&[&many]);
    assert!(told.len() == 1 && told[0].starts_with("policies/0.cedar:1001: there are more than"), "{told:?}");
}

#[test]
fn headers_that_are_named_are_seen() {
    const DEPARTMENT: &str = "permit (principal, action, resource) when { context.headers has \"x-department\" && \
                              context.headers[\"x-department\"] == \"maths\" };";
    let auth = |headers: &[&str]| Auth {
        policy_headers: headers.iter().map(|name| Arc::from(*name)).collect(),
        ..auth(&[DEPARTMENT])
    };
    let told = |auth: Auth| {
        let manifest = manifest(&[], &["PUT /grades/:id"]);
        problems(&Manifest { auth: Some(auth), ..manifest })
    };
    assert!(told(auth(&["x-department"])).is_empty(), "{:?}", told(auth(&["x-department"])));
    // Whoever does not ask whether it is there is told, whether it is named or not.
    let unasked = Auth {
        policies: self::auth(&[
            "permit (principal, action, resource) when { context.headers[\"x-department\"] == \"maths\" };",
        ])
        .policies,
        ..auth(&["x-department"])
    };
    for headers in [vec![], unasked.policy_headers.clone()] {
        let told = told(Auth { policy_headers: headers, ..unasked.clone() });
        assert!(told.iter().any(|problem| problem.line == 1 && problem.message.contains("x-department")), "{told:?}");
    }
    let policies = Policies::read(&auth(&["x-department"])).unwrap();
    let decide = |lines: &[(&'static str, &'static [u8])]| -> Result<bool, u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, http::HeaderValue::from_bytes(value).unwrap());
        }
        let seen = policies.seen(&headers).map_err(|problem| problem.status().as_u16())?;
        let (identity, route) = (user("u1", ""), route("PUT /grades/:id"));
        let asked = Asked {
            identity: &identity,
            route: &route,
            method: "PUT",
            path: "/grades/x",
            params: &[("id".to_owned(), "x".to_owned())],
            headers: &seen,
            client: [10, 0, 0, 1].into(),
            is_secure: true,
            now_ms: NOW_MS,
        };
        Ok(policies.decide(&asked).is_ok())
    };
    assert_eq!(decide(&[("x-department", b"maths")]), Ok(true));
    assert_eq!(decide(&[("x-department", b"arts")]), Ok(false));
    assert_eq!(decide(&[("x-other", b"maths")]), Ok(false));
    for twice in [&[("x-department", &b"maths"[..]), ("x-department", b"arts")][..], &[("x-department", b"\xff")]] {
        assert_eq!(decide(twice), Err(400));
    }
}
