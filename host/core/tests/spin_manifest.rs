//! Spin's manifest: every key of it is taken or refused by name, and what the forms mean that have no file of their own.

use std::collections::BTreeMap;
use std::path::Path;

use weft_core::manifest::{DependencySource, HttpTrigger, Inherits, Lookup, Manifest, TriggerTarget, Variables, find};

const EVERYTHING: &str = include_str!("manifests/good/spin/spin.toml");
const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn read(text: &str, profile: Option<&str>) -> Result<Manifest, String> {
    let refused = |problems: Vec<_>| problems.iter().map(|problem| format!("{problem}\n")).collect::<String>();
    Manifest::parse_with(Path::new("spin.toml"), text, profile).map_err(refused)
}

fn everything(profile: Option<&str>) -> Manifest {
    read(EVERYTHING, profile).unwrap()
}

fn served(manifest: &Manifest, path: &str) -> String {
    match find(&manifest.routes, "localhost", "GET", path) {
        Lookup::Found(route, _) => route.component.to_string(),
        other => format!("{other:?}"),
    }
}

/// What stands in `%` is added to a manifest that is sound without it.
fn with(place: &str, line: &str) -> Result<Manifest, String> {
    let (application, trigger, component) = match place {
        "root" => return read(&format!("{line}\n{}", base("", "", "")), None),
        "application" => (line, "", ""),
        "trigger" => ("", line, ""),
        "component" => ("", "", line),
        other => return read(&format!("{}[{other}]\n{line}\n", base("", "", "")), None),
    };
    read(&base(application, trigger, component), None)
}

fn base(application: &str, trigger: &str, component: &str) -> String {
    format!(
        "spin_manifest_version = 2\n[application]\nname = \"x\"\n{application}\n[[trigger.http]]\nroute = \"/\"\n\
         component = \"a\"\n{trigger}\n[component.a]\nsource = \"a.wasm\"\n{component}\n[component.b]\nsource = \"b.wasm\"\n"
    )
}

/// Every key of Spin's schema where it stands, with a value, and what is said of it; nothing if it is taken.
const KEYS: &[(&str, &str, &str)] = &[
    ("application", "version = '1'", ""),
    ("application", "description = 'x'", ""),
    ("application", "authors = ['x']", ""),
    ("application", "targets = ['spin-up:4.0']", ""),
    ("application", "trigger.http.base = '/v1'", ""),
    ("application", "trigger.redis.address = 'x'", "application.trigger.redis"),
    ("application", "tool.x.y = 1", ""),
    ("variables", "x = { default = '', description = 'x', secret = true }", ""),
    ("variables", "x = { required = false }", "neither a default nor `required = true`"),
    ("trigger", "id = 'x'", ""),
    ("trigger", "components = { x = 'a' }", ""),
    ("trigger", "static_response = { body = '' }", "a component and a static response"),
    ("trigger", "executor = { type = 'http' }", ""),
    ("trigger", "executor = { type = 'spin' }", ""),
    ("trigger", "executor = { type = 'wagi' }", "wagi is not supported"),
    ("trigger", "dependencies.middleware = [{ component = 'b' }]", ""),
    ("trigger", "dependencies.middleware = [{ path = 'b.wasm' }]", ""),
    ("trigger", "dependencies.middleware = [{ package = 'a:b', version = '1' }]", "is in a registry"),
    ("trigger", "dependencies.middleware = [{ url = 'http://x/b', digest = 'sha256:' }]", "is on a network"),
    ("trigger", "dependencies.filter = []", "trigger.http.dependencies.filter"),
    ("trigger.redis", "channel = 'x'", "trigger.redis` is a trigger that Weft does not serve"),
    ("component", "description = 'x'", ""),
    ("component", "variables = { x = 'y' }", ""),
    ("component", "environment = { x = 'y' }", ""),
    ("component", "files = ['x', { source = 'x', destination = '/x' }]", ""),
    ("component", "exclude_files = ['x']", ""),
    ("component", "allowed_http_hosts = ['example.com']", ""),
    ("component", "allowed_outbound_hosts = ['https://example.com']", ""),
    ("component", "allowed_outbound_hosts = ['insecure:allow-all']", "is not an allowed host"),
    ("component", "key_value_stores = ['x']", ""),
    ("component", "sqlite_databases = ['x']", ""),
    ("component", "ai_models = ['x']", "`ai_models` is not supported"),
    ("component", "targets = [{ url = 'x' }]", ""),
    ("component", "build = { command = 'x', workdir = 'x', watch = ['x'] }", ""),
    ("component", "tool.x.y = 1", ""),
    ("component", "dependencies_inherit_configuration = true", ""),
    ("component", "dependencies = { 'x:y' = { component = 'b' } }", ""),
    ("component", "dependencies = { 'x:y' = { path = 'b.wasm' } }", ""),
    ("component", "dependencies = { 'x:y' = '1.0.0' }", "is in a registry"),
    ("component", "dependencies = { 'x:y' = { version = '1', registry = 'x', package = 'x:y' } }", "is in a registry"),
    ("component", "dependencies = { 'x:y' = { url = 'https://x', digest = 'sha256:' } }", "is on a network"),
    ("component", "profile.x = { source = 'x' }", ""),
    ("component", "profile.x = { environment = { x = 'y' } }", ""),
    ("component", "profile.x = { dependencies = { 'x:y' = { component = 'b' } } }", ""),
    ("component", "profile.x = { build = { command = ['x'] } }", ""),
    ("component", "profile.x = { files = [] }", "changes source, build, environment and dependencies alone"),
    ("component.c", "source = { url = 'https://x', digest = 'sha256:' }", "is on a network"),
    ("component.c", "source = { registry = 'x', package = 'x:y', version = '1' }", "is in a registry"),
    ("root", "spin_version = '1'", "version 1"),
];

#[test]
fn every_key_of_spin_is_taken_or_refused_by_name() {
    for (place, line, expected) in KEYS {
        match with(place, line) {
            Ok(_) => assert_eq!(*expected, "", "{place}: {line} is taken"),
            Err(said) => {
                assert!(!expected.is_empty() && said.contains(expected), "{place}: {line}: {said}");
                assert!(said.starts_with("spin.toml:"), "it has a line: {said}");
            }
        }
    }
}

#[test]
fn components_inside_triggers_are_components() {
    let manifest = everything(None);
    let ids: Vec<&str> = manifest.triggers.iter().map(|trigger| &*trigger.id).collect();
    assert_eq!(ids, ["fixed", "http-trigger1", "named", "main-http-trigger", "http-trigger2", "quiet-http-trigger"]);
    assert_eq!(served(&manifest, "/inline/x"), "http-trigger1-component");
    assert_eq!(served(&manifest, "/named/7"), "named-component");
    let inline = &manifest.components["http-trigger1-component"];
    assert_eq!((&*inline.grants.environment["A"], inline.source.value.to_str()), ("1", Some("./inline.wasm")));
    for (id, file) in [("inline-component1", "./two.wasm"), ("inline-component2", "./three.wasm")] {
        assert_eq!(manifest.components[id].source.value, Path::new(file), "{id}");
    }
}

#[test]
fn routes_are_those_that_spin_makes_of_them() {
    let manifest = everything(None);
    let written = |path: &str| match find(&manifest.routes, "localhost", "GET", path) {
        Lookup::Found(route, _) => (route.written.to_string(), route.pattern.to_string()),
        other => (format!("{other:?}"), String::new()),
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(written("/inline/x/y"), pair("/inline/*", "/inline/..."));
    assert_eq!(written("/named/7"), pair("/named/:id/", "/named/:id"));
    assert_eq!(written("/guarded"), pair("guarded", "/guarded"));
    let Lookup::Found(fixed, _) = find(&manifest.routes, "localhost", "PUT", "/fixed") else { unreachable!() };
    let answer = fixed.static_response.as_ref().unwrap();
    assert_eq!((answer.status, &*answer.body, &*fixed.component), (418, "teapot", "fixed"));
    assert_eq!(answer.headers, [("content-type".into(), "text/plain".into())]);
}

#[test]
fn a_trigger_with_middleware_has_a_component_of_its_own() {
    let manifest = everything(None);
    assert_eq!(
        (served(&manifest, "/more/x"), served(&manifest, "/guarded")),
        ("main".into(), "main-for-http-trigger2".into())
    );
    let (whole, half) = (&manifest.components["main"], &manifest.components["main-for-http-trigger2"]);
    assert_eq!((half.split_from.as_deref(), &half.grants, &half.source), (Some("main"), &whole.grants, &whole.source));
    let guarded = manifest.triggers.iter().find(|trigger| trigger.is_of("main-for-http-trigger2")).unwrap();
    let inherits: Vec<&Inherits> = guarded.middleware.iter().map(|layer| &layer.inherits).collect();
    assert!(matches!(inherits[0], Inherits::Keys(keys) if keys.is_empty()) && *inherits[1] == Inherits::All);
    assert!(manifest.is_part(&manifest.components["guard"]) && !manifest.is_part(whole));
    assert_eq!(manifest.missing_sources().iter().filter(|one| one.message.contains("main.wasm")).count(), 1);
    // One route, or none with middleware, and the component is what it was.
    let one = base("", "dependencies.middleware = [{ component = 'b' }]", "");
    let one = read(&one, None).unwrap();
    assert_eq!((served(&one, "/"), one.components.len()), ("a".into(), 2));
}

#[test]
fn a_split_component_leaves_events_and_rules_with_the_first() {
    let manifest = read(
        "spin_manifest_version = 2\n[application]\nname = 'x'\n\
         [application.tool.weft.routes]\n\"POST /b\" = { component = 'a', public = true }\n\"GET /b\" = { component = 'c', public = true }\n\
         [[trigger.http]]\nroute = '/a'\ncomponent = 'a'\n[[trigger.http]]\nid = 't'\nroute = '/b'\ncomponent = 'a'\n\
         dependencies.middleware = [{ path = 'm.wasm' }]\n\
         [component.a.tool.weft]\nsource = 'a.wasm'\nsubscriptions = [{ topic = 't', name = 'n' }]\n\
         [component.c]\nsource = 'c.wasm'\n",
        None,
    )
    .unwrap();
    let of = |method: &str| match find(&manifest.routes, "localhost", method, "/b") {
        Lookup::Found(route, _) => route.component.to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!((of("POST"), of("GET")), ("a-for-t".into(), "c".into()));
    let subscriptions = |id: &str| manifest.components[id].subscriptions.len();
    assert_eq!((subscriptions("a"), subscriptions("a-for-t")), (1, 0));
}

#[test]
fn a_profile_changes_what_it_names() {
    let (plain, fast) = (everything(None), everything(Some("fast")));
    let main = |manifest: &Manifest| manifest.components["main"].clone();
    assert_eq!(main(&plain).profiles, ["fast".into(), "slow".into()]);
    assert_eq!((main(&plain).source.value.to_str(), main(&plain).digest), (Some("./main.wasm"), None));
    assert_eq!((main(&fast).source.value.to_str(), main(&fast).digest.as_deref()), (Some("./fast.wasm"), Some(DIGEST)));
    let environment = |manifest: &Manifest| -> Vec<String> {
        main(manifest).grants.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()
    };
    assert_eq!(environment(&plain), ["A=1", "B=2"]);
    assert_eq!(environment(&fast), ["A=1", "B=3", "C=4"]);
    let build = main(&fast).build.unwrap();
    assert_eq!((build.commands, build.workdir.to_str()), (vec!["three".into()], Some("./src")));
    let quiet = fast.components["quiet"].build.as_ref().unwrap();
    assert_eq!((&quiet.commands, plain.components["quiet"].build.is_none()), (&vec!["four".into()], true));
    let dependencies = |manifest: &Manifest| -> BTreeMap<String, String> {
        let file = |source: &DependencySource| match source {
            DependencySource::File(file) => file.path.display().to_string(),
            DependencySource::Component(id) => id.to_string(),
        };
        main(manifest).dependencies.iter().map(|one| (one.name.as_str().to_owned(), file(&one.source))).collect()
    };
    assert_eq!(dependencies(&plain)["a:b/g"], "./part.wasm");
    assert_eq!(dependencies(&fast)["a:b/g"], "./other.wasm");
    assert_eq!((dependencies(&plain).len(), dependencies(&fast).len()), (3, 4));
    assert!(main(&fast).dependencies.iter().all(|one| one.inherits == Inherits::All));
    assert_eq!(fast.components["named-component"].source.value.to_str(), Some("./fast-named.wasm"));
    let said = read(EVERYTHING, Some("none")).unwrap_err();
    assert_eq!(said, "spin.toml: no component has a profile \"none\"\n  help: the profiles are fast, slow\n");
}

#[test]
fn hosts_of_old_and_hosts_left_empty_are_those_of_spin() {
    let manifest = read(
        &base(
            "",
            "",
            "allowed_http_hosts = ['example.com', 'https://example.org:8443', 'insecure:allow-all']\n\
                       allowed_outbound_hosts = ['{{ a }}', 'http://{{ a }}', 'https://{{ b }}']",
        )
        .replace("[[trigger", "[variables]\na = { default = '' }\nb = { default = 'b.com' }\n[[trigger"),
        None,
    )
    .unwrap();
    let variables = Variables::resolve(&manifest, &|_| None, &BTreeMap::new()).unwrap();
    let hosts = variables.outbound_hosts(&manifest, &manifest.components["a"]).unwrap();
    assert!(hosts.allows("https", "b.com", None) && hosts.allows("http", "example.com", None));
    assert!(hosts.allows("https", "example.org", Some(8443)) && hosts.allows("http", "anything", Some(1)));
    assert!(hosts.allows_self("http") && !hosts.allows("redis", "example.com", Some(6379)));
}

#[test]
fn a_trigger_names_one_that_answers() {
    let manifest = everything(None);
    let is_static = |trigger: &&HttpTrigger| matches!(trigger.target, TriggerTarget::Static(_));
    assert_eq!(manifest.triggers.iter().filter(is_static).count(), 1);
    assert!(
        manifest.triggers.iter().filter(|trigger| !is_static(trigger)).all(|trigger| trigger.component().is_some())
    );
}
