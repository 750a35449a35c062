//! The manifest over whole files: what a good one resolves to, and word for word what is said about bad ones.
//! `BLESS=1` writes the words anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use weft_core::manifest::{
    Access, Callers, Diagnostic, EngineSettings, FileMount, KeySource, Limits, Lookup, Manifest, MissingGrant, Overlap,
    RateScope, RateStrategy, Reuse, Start, Tier, Variables, find,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests")
}

fn education() -> Manifest {
    Manifest::load(folder().join("good/education/spin.toml")).map_err(|problems| shown(&problems)).unwrap()
}

fn shown(problems: &[Diagnostic]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// A manifest that names no files beside it.
fn parsed(text: &str) -> Manifest {
    Manifest::parse(Path::new("spin.toml"), text).map_err(|problems| shown(&problems)).unwrap()
}

#[test]
fn bad_manifests_are_refused_in_these_words() {
    let folder = folder().join("bad");
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        seen += 1;
        let problems = Manifest::load(&path).expect_err(&format!("{} is refused", path.display()));
        let said = shown(&problems).replace(&format!("{}/", folder.display()), "");
        let expected = path.with_extension("expected");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        let golden = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(said, golden, "{} (BLESS=1 refreshes)", expected.display());
    }
    let is_expected = |path: &Path| path.extension().is_some_and(|extension| extension == "expected");
    let expected = fs::read_dir(&folder).unwrap().filter(|entry| is_expected(&entry.as_ref().unwrap().path())).count();
    assert!(seen > 20 && seen == expected, "{seen} bad manifests, {expected} words about them");
}

#[test]
fn deadlines_hold_for_what_says_nothing_itself() {
    let with = |deadlines: &str| {
        parsed(&format!(
            "spin_manifest_version = 2\n[application]\nname = \"d\"\n[application.tool.weft]\n{deadlines}\n\
             mesh.services.own = {{ deadline_ms = 7 }}\nmesh.services.any = {{}}\n"
        ))
    };
    let manifest = with("");
    assert_eq!((manifest.deadlines.database_ms, manifest.deadlines.external_ms), (15_000, 30_000));
    let of = |name: &str| manifest.mesh.services[name].deadline_ms;
    assert_eq!((of("own"), of("any")), (Some(7), None));
    let manifest = with("deadlines = { database_ms = 1, external_ms = 600000 }");
    assert_eq!((manifest.deadlines.database_ms, manifest.deadlines.external_ms), (1, 600_000));
}

#[test]
fn what_is_said_of_sagas_is_understood() {
    let manifest = parsed(
        r##"
spin_manifest_version = 2
[application]
name = "sagas"
[application.tool.weft]
sagas = { retention_days = 90 }
limits.payment-provider = { per_second = 20, concurrency = 5 }
choreographies.content = { start = "content.uploaded", end = "content.published" }
[component.reports]
source = "reports.wasm"
[component.reports.tool.weft]
durable = true
schedules = [{ name = "daily", cron = "0 3 * * * Europe/Berlin", function = "a:b/c@1.0.0#run", overlap = "queue" }]
"##,
    );
    assert_eq!((manifest.sagas.retention_days, manifest.sagas.max_unfinished), (90, 1_000_000));
    let limit = &manifest.step_limits["payment-provider"];
    assert_eq!((limit.rate, limit.concurrency), (Some((20, 1000)), Some(5)));
    let choreography = &manifest.choreographies["content"];
    assert_eq!((&*choreography.end, &choreography.failed), ("content.published", &None));
    let schedule = &manifest.components["reports"].schedules[0];
    assert_eq!((schedule.overlap, &*schedule.arguments, schedule.catch_up_s), (Overlap::Queue, "[]", 3600));
    assert!(schedule.cron.next_after_ms(0).is_some());
}

/// Which limits hold for which route, `tier` last.
#[test]
fn rate_limits_cover_routes_by_component_or_by_name() {
    let manifest = parsed(
        r##"
spin_manifest_version = 2
[application]
name = "limits"
[application.tool.weft.gateway]
default_tier = { api_key = "free" }
[application.tool.weft.gateway.tiers]
free = { per_minute = 60, per_hour = 1000, concurrent = 5 }
[application.tool.weft.gateway.rate_limits]
default = { limit = 5000, window_s = 900 }
courses = { strategy = "fixed-window", limit = 500, window_s = 900, components = ["courses-*"] }
guessing = { strategy = "token-bucket", scope = "ip", components = [] }
slow = { strategy = "token-bucket", scope = "global", capacity = 5, per_minute = 6 }
[application.tool.weft.routes]
"GET /free" = { component = "courses-list", public = true, limits = [] }
"GET /login" = { component = "login", public = true, limits = ["guessing", "tier"] }
"GET /courses" = { component = "courses-list", public = true }
[[trigger.http]]
route = "/free"
component = "courses-list"
[[trigger.http]]
route = "/login"
component = "login"
[[trigger.http]]
route = "/courses"
component = "courses-list"
[[trigger.http]]
route = "/plain"
component = "login"
[component.courses-list]
source = "a.wasm"
[component.login]
source = "a.wasm"
"##,
    );
    let of = |path: &str| {
        let Lookup::Found(route, _) = find(&manifest.routes, "localhost", "GET", path) else { panic!("{path}") };
        let tier = route.is_tiered.then_some("tier");
        route.limits.iter().map(|name| &**name).chain(tier).collect::<Vec<_>>().join(" ")
    };
    let paths = ["/free", "/login", "/courses", "/plain"].map(of);
    assert_eq!(paths, ["", "guessing tier", "default courses slow tier", "default slow tier"]);
    let limits = &manifest.gateway.rate_limits;
    assert_eq!(limits.limits[0].strategy, RateStrategy::SlidingWindow { limit: 5000, window_s: 900 });
    assert_eq!(limits.limits[2].strategy, RateStrategy::TokenBucket { capacity: 100, refill: 10, interval_s: 1 });
    assert_eq!(limits.limits[3].strategy, RateStrategy::TokenBucket { capacity: 5, refill: 6, interval_s: 60 });
    assert_eq!((limits.limits[0].scope, limits.limits[3].scope), (RateScope::User, RateScope::Global));
    assert_eq!(limits.tiers["free"], Tier { per_minute: Some(60), per_hour: Some(1000), concurrent: Some(5) });
    assert_eq!(limits.max_keys, 100_000);
    assert!(education().gateway.rate_limits.limits.is_empty(), "nothing is limited by itself");
}

#[test]
fn what_is_said_of_the_edge_is_understood() {
    let bare = "spin_manifest_version = 2\n[application]\nname = \"edge\"\n";
    let gateway = parsed(bare).gateway;
    assert!(gateway.tls.is_none() && gateway.cors.is_none() && gateway.compression.is_none());
    assert_eq!(&*gateway.headers.frame_options, "DENY");
    let manifest = parsed(&format!(
        r#"{bare}
[application.tool.weft.gateway]
trusted_proxies = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]
proxy_protocol = true
[application.tool.weft.gateway.tls]
certificates = [{{ certificate = "/etc/tls/a.pem", key = "a.key" }}]
redirect = true
[application.tool.weft.gateway.cors]
origins = ["https://app.example", "https://*.app.example"]
[application.tool.weft.gateway.compression]
algorithms = ["gzip"]
[application.tool.weft.gateway.headers]
content_security_policy = "default-src 'self';"
frame_ancestors = ["'self'"]
permissions_policy = "camera=()"
"#
    ));
    let gateway = &manifest.gateway;
    let proxies: Vec<String> = gateway.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]);
    let tls = gateway.tls.as_ref().unwrap();
    assert_eq!((tls.listen.to_string().as_str(), tls.redirect, tls.redirect_port), ("127.0.0.1:3443", true, None));
    assert_eq!(tls.hsts.map(|hsts| (hsts.max_age_s, hsts.subdomains)), Some((31_536_000, false)));
    let files = &tls.certificates[0];
    assert_eq!(
        (files.certificate.to_str(), files.key.to_str(), files.line),
        (Some("/etc/tls/a.pem"), Some("./a.key"), 9)
    );
    let cors = gateway.cors.as_ref().unwrap();
    assert!(cors.origins.iter().any(|origin| origin.covers("https://eu.app.example")));
    assert_eq!((cors.methods.len(), cors.credentials, cors.max_age_s), (6, false, 600));
    let compression = gateway.compression.as_ref().unwrap();
    assert_eq!((compression.algorithms.len(), compression.min_bytes), (1, 1024));
    assert_eq!(&*gateway.headers.content_security_policy, "default-src 'self'; frame-ancestors 'self'");
    assert_eq!((&*gateway.headers.frame_options, &*gateway.headers.permissions_policy), ("SAMEORIGIN", "camera=()"));
}

#[test]
fn a_file_that_is_not_there_is_said_so() {
    let problems = Manifest::load("no/such/spin.toml").unwrap_err();
    assert!(shown(&problems).starts_with("no/such/spin.toml: cannot be read: "), "{}", shown(&problems));
}

#[test]
fn the_application_is_understood() {
    let manifest = education();
    let root = folder().join("good/education");
    assert_eq!(manifest.root, root);
    assert_eq!(&*manifest.application.name, "education");
    assert_eq!(&*manifest.startup[0].value, "ensure-admin");
    assert_eq!(manifest.gateway.max_body_bytes, 1_000_000);
    assert_eq!(manifest.gateway.request_timeout_ms, 5_000);
    let build = manifest.build.as_ref().unwrap();
    assert_eq!(build.workdir, root.join("components"));
    let migrations = &manifest.contexts["courses"].migrations;
    let names: Vec<_> = migrations.iter().map(|migration| (migration.number, &*migration.name)).collect();
    assert_eq!(names, [(1, "courses"), (2, "title")]);
    let auth = manifest.auth.as_ref().unwrap();
    assert_eq!((auth.leeway_s, &auth.keys[0].value), (30, &KeySource::Variable("jwt_private_key".into())));
    let running: Vec<_> = manifest.running().map(|component| &*component.id).collect();
    assert_eq!(running, ["assets", "courses-create", "courses-list", "enroll", "enrolling", "ensure-admin"]);
}

#[test]
fn weft_components_have_what_their_table_grants() {
    let manifest = education();
    let list = &manifest.components["courses-list"];
    assert_eq!(list.source.value, manifest.root.join("components/target/courses_list.wasm"));
    assert_eq!(list.closed_form.as_ref().unwrap().value, manifest.root.join("dist/spin/courses-list.wasm"));
    assert!(list.grants.sqlite_databases.is_empty(), "what Spin grants is the closed form's");
    assert_eq!(list.reuse, Reuse { max_requests: 128, max_concurrent: 16 });
    assert_eq!(
        list.limits,
        Limits { memory_mb: 64, cpu_ms: 500, max_concurrent: 10, max_pending: 0, ..Limits::default() }
    );
    let create = &manifest.components["courses-create"];
    assert_eq!(create.source.value, manifest.root.join("dist/spin/courses-create.wasm"));
    assert_eq!((create.call_deadline_ms(), list.call_deadline_ms()), (7_000, 10_000));
    let enroll = &manifest.components["enroll"];
    assert_eq!(&*enroll.grants.calls["education:courses/seats@1.0.0"].value, "courses-create");
    let saga = &manifest.components["enrolling"];
    assert!(saga.durable);
    let subscription = &saga.subscriptions[0];
    assert_eq!((subscription.max_attempts, subscription.base_ms, subscription.cap_ms), (5, 1_000, 30_000));
    assert_eq!((subscription.concurrency, subscription.start), (10, Start::Latest));
    assert!(subscription.topic.matches("course.published.now"));
}

#[test]
fn spin_components_have_what_spin_grants() {
    let manifest = education();
    let assets = &manifest.components["assets"];
    assert!(!assets.is_weft());
    let folder = FileMount::Folder { source: manifest.root.join("site"), destination: "/".into() };
    assert_eq!(assets.grants.files, [FileMount::Glob("public/**".into()), folder]);
    assert_eq!(assets.grants.key_value_stores.len(), 2);
    assert_eq!(assets.limits, Limits::default());
    assert_eq!(assets.reuse, Reuse::default());
    let build = assets.build.as_ref().unwrap();
    assert_eq!((build.commands.len(), build.workdir.clone()), (2, manifest.root.join("assets")));
}

#[test]
fn what_all_functions_may_use_together_is_said_for_the_application() {
    let with = |table: &str| {
        parsed(&format!(
            "spin_manifest_version = 2\n[application]\nname = \"x\"\n[application.tool.weft.engine]\n{table}\n"
        ))
    };
    let said = with("max_memory_mb = 512\nmax_instances = 50").engine;
    assert_eq!((said.max_memory_mb, said.max_instances), (Some(512), 50));
    assert_eq!(with("").engine, EngineSettings { max_memory_mb: None, max_instances: 1_000 });
}

#[test]
fn a_component_with_spins_grants_is_bounded_and_keeps_them() {
    let manifest = |tool: &str| {
        parsed(&format!(
            "spin_manifest_version = 2\n[application]\nname = \"x\"\n[application.tool.weft.spin]\nadapters = \"x\"\n\
             [[trigger.http]]\nroute = \"/a\"\ncomponent = \"a\"\n[component.a]\nsource = \"a.wasm\"\n\
             files = [\"pages/*\"]\nexclude_files = [\"*.key\"]\nenvironment = {{ X = \"y\" }}\n\
             key_value_stores = [\"default\"]\nsqlite_databases = [\"default\"]\n\
             allowed_outbound_hosts = [\"https://example.com\"]\nbuild.command = \"make\"\n\
             dependencies = {{ \"a:b/c\" = {{ component = \"b\" }} }}\n{tool}\n[component.b]\nsource = \"b.wasm\"\n",
        ))
    };
    let plain = manifest("");
    let table = "[component.a.tool.weft]\ngrants = \"spin\"\nlimits = { memory_mb = 16, cpu_ms = 50 }\n\
                 reuse = { max_requests = 10 }\ndeadline_ms = 700\nmesh = { retry = { max_retries = 2 } }";
    let bounded = manifest(table);
    let (was, is) = (&plain.components["a"], &bounded.components["a"]);
    assert_eq!((&is.grants, &is.dependencies), (&was.grants, &was.dependencies));
    assert_eq!((is.grants.files.len(), is.dependencies.len()), (1, 1));
    assert_eq!((&is.source, &is.build, is.is_weft()), (&was.source, &was.build, false));
    assert_eq!((is.limits.memory_mb, is.limits.cpu_ms, is.limits.max_concurrent), (16, 50, 100));
    assert_eq!((is.reuse.max_requests, is.call_deadline_ms()), (10, 700));
    // It is what Spin runs as well, so there is nothing to make of it, and what is composed into it runs in it alone.
    assert!(is.closed_form.is_none() && bounded.closed_form_problems().is_empty());
    assert_eq!(bounded.running().count(), 1);
    // Without the word, the table grants, and nothing of Spin's is left.
    let weft = manifest("[component.a.tool.weft]");
    assert_eq!((&weft.components["a"].grants, weft.components["a"].is_weft()), (&Default::default(), true));
}

#[test]
fn lines_are_those_of_the_file() {
    let manifest = education();
    let text = fs::read_to_string(&manifest.path).unwrap();
    let line_with = |part: &str| text.lines().position(|line| line.contains(part)).unwrap() + 1;
    let enroll = &manifest.components["enroll"];
    assert_eq!(enroll.line, line_with("[component.enroll]"));
    assert_eq!(enroll.weft_line, Some(line_with("tool.weft.source = \"components/target/enroll.wasm\"")));
    assert_eq!(enroll.grants.calls["education:courses/seats@1.0.0"].line, line_with("tool.weft.calls"));
    let list = &manifest.components["courses-list"];
    assert_eq!(list.weft_line, Some(line_with("[component.courses-list.tool.weft]")));
    assert_eq!(list.grants.context.as_ref().unwrap().line, line_with("context = \"courses\""));
    let saga = &manifest.components["enrolling"];
    assert_eq!(saga.line, line_with("[component.enrolling.tool.weft]"));
    assert_eq!(saga.subscriptions[0].line, line_with("[[component.enrolling.tool.weft.subscriptions]]"));
    assert_eq!(manifest.triggers[1].line, line_with("id = \"enroll\"") - 1);
    assert_eq!(manifest.variables["api_token"].line, line_with("api_token ="));
}

#[test]
fn routes_are_the_table_and_the_triggers() {
    let manifest = education();
    let served = |method: &str, path: &str| match find(&manifest.routes, "localhost", method, path) {
        Lookup::Found(route, _) => (route.component.to_string(), route.deadline_ms),
        Lookup::MethodNotAllowed(_) => ("method not allowed".into(), 0),
        Lookup::NotFound => ("not found".into(), 0),
    };
    assert_eq!(served("GET", "/api/courses"), ("courses-list".into(), 5_000));
    assert_eq!(served("POST", "/api/courses"), ("courses-create".into(), 7_000));
    assert_eq!(served("POST", "/api/courses/7/enroll"), ("enroll".into(), 35_000));
    assert_eq!(served("DELETE", "/assets/a/b.css"), ("assets".into(), 5_000));
    assert_eq!(served("DELETE", "/api/courses").0, "method not allowed");
    assert_eq!(served("GET", "/api").0, "not found");
    let access = |path: &str, method: &str| match find(&manifest.routes, "localhost", method, path) {
        Lookup::Found(route, _) => route.access.clone(),
        other => unreachable!("{other:?}"),
    };
    let roles = vec!["teacher".into(), "admin".into()];
    assert_eq!(access("/api/courses", "POST"), Access::Authenticated(Callers { roles, ..Callers::default() }));
    assert_eq!(access("/api/courses", "GET"), Access::Public);
    let forgotten = Access::Authenticated(Callers::default());
    assert_eq!(access("/assets/x", "GET"), forgotten, "nothing is public by being forgotten");
}

#[test]
fn without_authentication_routes_are_public_and_below_the_base() {
    let manifest = parsed(
        "spin_manifest_version = 2\napplication = { name = \"x\", trigger.http.base = \"/v1/\" }\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"a\"\n[component.a]\nsource = \"a.wasm\"\n",
    );
    assert_eq!(manifest.routes[0].pattern.to_string(), "/v1/...");
    assert_eq!(manifest.routes[0].access, Access::Public);
    assert!(matches!(find(&manifest.routes, "localhost", "GET", "/v1"), Lookup::Found(..)));
    assert!(matches!(find(&manifest.routes, "localhost", "GET", "/v2"), Lookup::NotFound));
}

#[test]
fn routes_of_one_path_differ_in_their_hosts() {
    let manifest = parsed(
        "spin_manifest_version = 2\n[application]\nname = \"x\"\n[application.tool.weft.gateway]\nmiddleware = [\"c\"]\n\
         [application.tool.weft.routes]\n\"GET /a\" = [\n\
         { component = \"a\", public = true, hosts = [\"b.example\", \"a.example\"], middleware = [] },\n\
         { component = \"b\", public = true, hosts = [\"*.b.example\"], deadline_ms = 7, middleware = [] },\n\
         { component = \"a\", public = true, deadline_ms = 9 },\n]\n\
         \"POST /a\" = { component = \"a\", public = true, hosts = [\"a.example\"], middleware = [] }\n\
         [[trigger.http]]\nroute = \"/a\"\ncomponent = \"a\"\n\
         [component.a]\nsource = \"a.wasm\"\n[component.b]\nsource = \"b.wasm\"\n[component.c]\nsource = \"c.wasm\"\n",
    );
    let served = |host: &str, method: &str| match find(&manifest.routes, host, method, "/a") {
        Lookup::Found(route, _) => (route.component.to_string(), route.line),
        other => (format!("{other:?}"), 0),
    };
    assert_eq!(served("a.example", "GET"), ("a".into(), 8));
    assert_eq!(served("x.b.example", "GET"), ("b".into(), 9));
    assert_eq!(served("other", "GET"), ("a-behind-1".into(), 10), "each has its own middleware");
    assert_eq!(served("a.example", "POST"), ("a".into(), 12));
    assert_eq!(served("other", "POST"), ("MethodNotAllowed([Get])".into(), 0));
    let order: Vec<_> = manifest.routes.iter().map(|route| (route.method.as_str(), route.hosts.len())).collect();
    assert_eq!(order, [("GET", 2), ("GET", 1), ("GET", 0), ("POST", 1)], "those for all hosts come last");
}

#[test]
fn an_optional_component_may_be_absent_and_only_be_called() {
    let with = |component: &str, application: &str| {
        let text = format!(
            "spin_manifest_version = 2\n[application]\nname = \"x\"\n{application}\n\
             [component.a]\nsource = \"a.wasm\"\n[component.a.tool.weft]\n{component}\n"
        );
        Manifest::parse(Path::new("/nowhere/spin.toml"), &text).map_err(|problems| problems[0].message.clone())
    };
    assert!(with("optional = true", "").unwrap().missing_sources().is_empty());
    assert_eq!(with("optional = false", "").unwrap().missing_sources().len(), 1);
    let refused = |component: &str, application: &str| with(component, application).unwrap_err();
    assert!(refused("optional = true\ndurable = true", "").contains("is not optional"));
    let subscribes = "optional = true\nsubscriptions = [{ topic = \"a.b\", name = \"c\" }]";
    assert!(refused(subscribes, "").contains("is not optional"));
    let routed = "[[trigger.http]]\nroute = \"/a\"\ncomponent = \"a\"";
    assert!(refused("optional = true", routed).contains("is optional, and nothing else could answer"));
    let startup = "[application.tool.weft]\nstartup = [\"a\"]";
    assert!(refused("optional = true", startup).contains("is optional, and nothing else could answer"));
}

#[test]
fn later_findings_name_file_line_and_the_line_to_add() {
    let manifest = education();
    let list = &manifest.components["courses-list"];
    let interface = "education:courses/seats@1.0.0";
    let missing = MissingGrant::Call { interface, provider: Some("courses-create") };
    let said = manifest.missing_grant(list, missing).to_string();
    let line = list.weft_line.unwrap();
    let expected = format!(
        "{}:{line}: component \"courses-list\": imports {interface} without a grant\n  help: add to \
         [component.courses-list.tool.weft]: calls = {{ \"{interface}\" = \"courses-create\" }}",
        manifest.path.display()
    );
    assert_eq!(said, expected);
    let unbuilt = manifest.missing_sources();
    assert_eq!(unbuilt.len(), 6, "nothing is built, and what the host replaces need not be");
    assert!(unbuilt.iter().all(|problem| problem.line > 0 && problem.help.is_some()));
}

#[test]
fn a_closed_form_is_granted_what_its_parts_are() {
    let said = shown(&education().closed_form_problems());
    assert!(
        said.contains("component \"courses-create\": its closed form for Spin needs sqlite_databases = [\"default\"]")
    );
    assert!(!said.contains("courses-list"), "it has what it needs: {said}");
    let manifest = parsed(
        "spin_manifest_version = 2\napplication.name = \"x\"\n[component.a]\nsource = \"a.wasm\"\n\
         key_value_stores = [\"own\"]\ntool.weft = { source = \"b.wasm\", calls = { \"a:b/c@1.0.0\" = \"b\" } }\n\
         [component.b.tool.weft]\nsource = \"c.wasm\"\nkey_value_stores = [\"other\"]\n\
         allowed_outbound_hosts = [\"https://x.com\"]\n",
    );
    let expected = "spin.toml:3: component \"a\": its closed form for Spin needs sqlite_databases = [\"default\"]\n  \
                    help: write in [component.a]: sqlite_databases = [\"default\"]\n\
                    spin.toml:3: component \"a\": its closed form for Spin needs allowed_outbound_hosts = \
                    [\"https://x.com\"]\n  help: write in [component.a]: allowed_outbound_hosts = [\"https://x.com\"]\n";
    assert_eq!(shown(&manifest.closed_form_problems()), expected);
}

fn no_environment(_: &str) -> Option<String> {
    None
}

#[test]
fn variables_come_from_overrides_environment_or_defaults() {
    let manifest = education();
    let environment = |name: &str| match name {
        "SPIN_VARIABLE_API_TOKEN" => Some("t0ken".to_owned()),
        "SPIN_VARIABLE_API_HOST" => Some("environment.example.com".to_owned()),
        _ => None,
    };
    let overrides = BTreeMap::from([("api_host".to_owned(), "override.example.com".to_owned())]);
    let values = Variables::resolve(&manifest, &environment, &BTreeMap::new()).unwrap();
    assert_eq!(values.get("api_host"), Some("environment.example.com"));
    assert_eq!(values.get("admin_email"), Some(""));
    assert_eq!(values.get("nobody"), None);
    let values = Variables::resolve(&manifest, &environment, &overrides).unwrap();
    assert_eq!(values.get("api_host"), Some("override.example.com"));
    assert!(values.is_secret("api_token") && !values.is_secret("api_host"));
    let enroll = &manifest.components["enroll"];
    let own = values.of_component(&manifest, enroll).unwrap();
    assert_eq!((own.get("token"), own.get("plain"), own.get("api_token")), (Some("Bearer t0ken"), Some("text"), None));
    let hosts = values.outbound_hosts(&manifest, enroll).unwrap();
    assert!(hosts.allows("https", "override.example.com", None));
    assert!(!hosts.allows("https", "api.example.com", None));
    assert!(!format!("{manifest:?} {values:?} {own:?}").contains("t0ken"), "no secret is shown");
}

#[test]
fn what_has_no_value_is_reported() {
    let manifest = education();
    let overrides = BTreeMap::from([("nobody".to_owned(), String::new())]);
    let problems = Variables::resolve(&manifest, &no_environment, &overrides).unwrap_err();
    let said = shown(&problems);
    assert_eq!(problems.len(), 2, "{said}");
    assert!(
        said.contains("`api_token` is required and has no value\n  help: set SPIN_VARIABLE_API_TOKEN=..."),
        "{said}"
    );
    assert!(said.contains("there is no variable `nobody`"), "{said}");
}

#[test]
fn a_value_that_makes_no_host_is_reported_without_the_value() {
    let manifest = education();
    let overrides = [("api_token", "t"), ("api_host", "s3cret host")];
    let overrides = overrides.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let values = Variables::resolve(&manifest, &no_environment, &overrides).unwrap();
    let said = shown(&values.outbound_hosts(&manifest, &manifest.components["enroll"]).unwrap_err());
    assert!(said.contains("\"https://{{ api_host }}\"") && !said.contains("s3cret"), "{said}");
}

#[test]
fn secret_defaults_are_not_shown() {
    let manifest = parsed(
        "spin_manifest_version = 2\napplication.name = \"x\"\n[variables]\nkey = { default = \"s3cret\", secret = true }\n",
    );
    assert!(!format!("{manifest:?}").contains("s3cret"));
}

#[test]
fn depth_is_no_danger() {
    for open in ["[", "{a=", "a.", "[a."] {
        let deep = format!("a = {}", open.repeat(200_000));
        assert!(Manifest::parse(Path::new("spin.toml"), &deep).is_err());
        assert!(Manifest::parse(Path::new("spin.toml"), &open.repeat(200_000)).is_err());
    }
    let header = format!("[{}a]\nb = 1\n", "a.".repeat(200_000));
    assert!(Manifest::parse(Path::new("spin.toml"), &header).is_err());
}

/// Text that is near enough to a manifest to get past the first check.
fn near_manifest() -> impl Strategy<Value = String> {
    let good = fs::read_to_string(folder().join("good/education/spin.toml")).unwrap();
    let lines: Vec<String> = good.lines().map(str::to_owned).collect();
    let values = ["1", "-1", "\"x\"", "[]", "{}", "[{}]", "true", "1.5", "2020-01-01", "[[1]]", "{ a = 1 }", "\"{{\""];
    let edit = (any::<prop::sample::Index>(), prop::sample::select(values.to_vec()), any::<u8>());
    prop::collection::vec(edit, 1..6).prop_map(move |edits| {
        let mut lines = lines.clone();
        for (at, value, kind) in edits {
            let at = at.index(lines.len());
            let line = lines[at].clone();
            match (kind % 4, line.split_once(" = ")) {
                (0 | 1, Some((key, _))) => lines[at] = format!("{key} = {value}"),
                (2, _) => drop(lines.remove(at)),
                _ => lines.swap(0, at),
            }
        }
        lines.join("\n")
    })
}

proptest! {
    #[test]
    fn any_text_is_a_manifest_or_a_list_of_problems(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn a_damaged_manifest_is_a_manifest_or_a_list_of_problems(text in near_manifest()) {
        check(&text);
    }
}

fn check(text: &str) {
    let path = folder().join("good/education/spin.toml");
    match Manifest::parse(&path, text) {
        Ok(manifest) => assert!(manifest.components.values().all(|component| !component.source.as_os_str().is_empty())),
        Err(problems) => {
            assert!(!problems.is_empty());
            let lines = text.lines().count();
            assert!(problems.iter().all(|problem| problem.line <= lines + 1 && !problem.message.is_empty()));
        }
    }
}

#[test]
fn policies_of_the_mesh_have_defaults_and_presets() {
    let manifest = parsed(
        r#"
spin_manifest_version = 2
[application]
name = "mesh"
[application.tool.weft.mesh]
retry = { preset = "messaging", cap_ms = 70 }
faults = [{ callee = "seats", delay_ms = 20 }]
[component.seats]
source = "seats.wasm"
[component.seats.tool.weft.mesh.breaker]
failure_threshold = 7
"#,
    );
    let calls = &manifest.mesh.calls;
    let retry = calls.retry.as_ref().unwrap();
    assert_eq!((retry.max_retries, retry.base_ms, retry.factor_percent, retry.cap_ms), (10, 2_000, 150, 70));
    assert_eq!((calls.breaker, calls.hedge), (None, None));
    let rule = &manifest.mesh.faults[0];
    assert_eq!((rule.percent, rule.delay_ms, rule.abort), (100, Some(20), None));
    let own = &manifest.components["seats"].mesh;
    let breaker = own.breaker.unwrap();
    assert_eq!((breaker.failure_threshold, breaker.volume_threshold, breaker.reset_after_ms), (7, 10, 30_000));
    assert!(breaker.enabled && !breaker.http && own.retry.is_none());
}
