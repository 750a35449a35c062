//! External services in a host that runs: requests go through the mesh to their instances; what fails is made again elsewhere, left out,
//! left alone.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;

use serde_json::{Value, json};
use weft_tests::isolation::component;
use weft_tests::origin::Origin;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::wait::eventually;

struct Bench {
    platform: Platform,
    origins: Vec<Origin>,
}

impl Bench {
    /// A host with so many of the servers one, two and three.
    fn start(servers: usize) -> Self {
        let names = ["one", "two", "three"];
        let origins: Vec<Origin> = names[..servers].iter().map(|name| Origin::start(name)).collect();
        let manifest = repository::root().join("tests/applications/services/spin.toml");
        let mut options = Options { manifest, ..Options::default() };
        for (name, origin) in names.iter().zip(&origins) {
            options = options.env(&format!("SPIN_VARIABLE_{}", name.to_uppercase()), &origin.url());
        }
        Self { platform: Platform::start_with(&options), origins }
    }

    /// What a component of the host is answered by a service: the status and the body, or the error in words.
    fn ask(&self, component: &str, service: &str, body: &str) -> (u16, String) {
        let url = format!("http://{service}.weft.internal/x");
        let request = self.platform.request("POST", &format!("/{component}/fetch"));
        let answer = request.header("x-url", &url).body(body).send();
        let text = answer.text();
        if answer.status != 200 {
            return (0, text);
        }
        let (status, body) = text.split_once('\n').expect("the component tells status and body");
        (status.parse().expect("a status"), body.to_owned())
    }

    fn get(&self, service: &str) -> (u16, String) {
        self.ask("shop", service, "")
    }

    fn weft(&self, arguments: &[&str]) -> String {
        let (status, stdout, why) = self.platform.weft(arguments);
        assert!(status.success(), "weft {arguments:?}: {why}");
        stdout
    }

    fn refused(&self, arguments: &[&str], says: &str) {
        let (status, _, why) = self.platform.weft(arguments);
        assert!(!status.success() && why.contains(says), "weft {arguments:?}: {why}");
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.weft(&[arguments, &["--json"]].concat())).expect("JSON")
    }
}

/// Asks the control socket as other programs do; what it gives waits for the answer.
fn watched(bench: &Bench, path: &str) -> impl FnOnce() -> Value + use<> {
    let data = bench.platform.data();
    let token = std::fs::read_to_string(data.join("token")).expect("the token");
    let mut socket = UnixStream::connect(data.join("control.sock")).expect("the host listens");
    let head =
        format!("GET {path} HTTP/1.1\r\nhost: weft\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).expect("it takes a request");
    let answer = thread::spawn(move || {
        let mut text = String::new();
        socket.read_to_string(&mut text).expect("an answer");
        text
    });
    move || {
        let text = answer.join().expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200"), "{text}");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

fn ok(name: &str) -> (u16, String) {
    (200, name.to_owned())
}

#[test]
fn requests_are_spread_over_the_instances() {
    let bench = Bench::start(3);
    for _ in 0..10 {
        for name in ["one", "two", "three"] {
            assert_eq!(bench.get("in-turn"), ok(name));
        }
    }
    assert!(bench.origins.iter().all(|origin| origin.asked() == vec!["GET /x"; 10]));
}

#[test]
fn only_who_is_granted_a_service_by_its_name_reaches_it() {
    let bench = Bench::start(1);
    assert_eq!(bench.get("once"), ok("one"));
    for component in ["wild", "alone"] {
        let (status, why) = bench.ask(component, "once", "");
        assert!(status == 0 && why.contains("HttpRequestDenied"), "{component}: {why}");
    }
    assert_eq!(bench.origins[0].asked().len(), 1);
    // What the manifest does not declare is not there, whoever may ask for it.
    assert_eq!(bench.get("nowhere").0, 503);
}

#[test]
fn a_dead_instance_is_left_out_and_nobody_notices() {
    let bench = Bench::start(3);
    assert_eq!(bench.get("in-turn"), ok("one"));
    bench.origins[1].stop();
    for _ in 0..40 {
        assert_eq!(bench.get("in-turn").0, 200);
    }
    let instance = || bench.json(&["services", "health", "in-turn"])["instances"][1].take();
    let ejected = instance();
    assert_eq!((&ejected["id"], &ejected["healthy"]), (&json!(bench.origins[1].id()), &json!(false)), "{ejected}");
    // Five in a row leave it out each time, and it may have been tried again since.
    assert!(ejected["failures"].as_u64().is_some_and(|failures| failures >= 5 && failures % 5 == 0), "{ejected}");
    assert!(bench.platform.log().contains("is left out for a while"), "{}", bench.platform.log());
    bench.origins[1].come_back();
    eventually("it gets requests again", || {
        let (status, name) = bench.get("in-turn");
        assert_eq!(status, 200);
        if name == "two" { Ok(()) } else { Err(name) }
    });
    assert_eq!(instance()["healthy"], true);
}

#[test]
fn an_instance_that_says_it_is_not_well_gets_no_requests() {
    let bench = Bench::start(2);
    let statuses = || {
        let detail = bench.json(&["services", "health", "checked"]);
        let of = |place: usize| detail["instances"][place]["status"].as_str().unwrap_or_default().to_owned();
        [of(0), of(1)]
    };
    let become_so = |expected: [&str; 2]| {
        eventually("the checks say so", || if statuses() == expected { Ok(()) } else { Err(statuses()) });
    };
    become_so(["passing", "passing"]);
    bench.origins[0].health(500);
    become_so(["critical", "passing"]);
    let _ = bench.origins[0].asked();
    for _ in 0..10 {
        assert_eq!(bench.get("checked"), ok("two"));
    }
    assert!(bench.origins[0].asked().is_empty());
    let healthy = bench.json(&["services", "health", "checked", "--healthy"]);
    assert_eq!(healthy["instances"].as_array().map(Vec::len), Some(1), "{healthy}");
    assert!(bench.weft(&["services", "health", "checked"]).contains("it answers 500"));
    // When none is well, all are taken: it is more likely that the checks are wrong.
    bench.origins[1].health(500);
    become_so(["critical", "critical"]);
    assert_eq!(bench.get("checked").0, 200);
    bench.origins[0].health(200);
    become_so(["passing", "critical"]);
    for _ in 0..10 {
        assert_eq!(bench.get("checked"), ok("one"));
    }
}

#[test]
fn what_may_be_made_again_is_and_nothing_else() {
    let bench = Bench::start(1);
    let origin = &bench.origins[0];
    for status in [429, 500, 502, 503, 504] {
        origin.answer_next(&[status, status]);
        assert_eq!(bench.get("again"), ok("one"), "{status}");
        assert_eq!(origin.asked(), ["GET /x"; 3]);
    }
    for status in [400, 401, 403, 404, 409, 422, 501] {
        origin.answer_next(&[status]);
        assert_eq!(bench.get("again").0, status, "{status}");
        assert_eq!(origin.asked().len(), 1);
    }
    // It may have had its effect.
    origin.answer_next(&[503]);
    assert_eq!(bench.ask("shop", "again", "an order"), (503, "one".to_owned()));
    assert_eq!(origin.asked(), ["POST /x"]);
    // What fails in the end is handed on as it came.
    origin.answer_always(Some(502));
    assert_eq!(bench.get("again"), (502, "one".to_owned()));
    assert_eq!(origin.asked().len(), 4);
}

#[test]
fn a_service_that_mostly_fails_is_left_alone() {
    let bench = Bench::start(1);
    bench.origins[0].answer_always(Some(500));
    for _ in 0..10 {
        assert_eq!(bench.get("once").0, 500);
    }
    assert_eq!(bench.origins[0].asked().len(), 10);
    assert_eq!(bench.get("once").0, 503, "it is refused");
    assert!(bench.origins[0].asked().is_empty());
    let list = bench.json(&["breakers", "list"]);
    let breaker = || list.as_array().and_then(|all| all.iter().find(|one| one["component"] == "once")).expect("once");
    assert_eq!((&breaker()["state"], &breaker()["refused"]), (&json!("open"), &json!(1)));
    assert!(bench.platform.log().contains("a breaker changed its state"));
    bench.origins[0].answer_always(None);
    bench.weft(&["breakers", "reset", "once"]);
    assert_eq!(bench.get("once"), ok("one"));
    // A fault on purpose needs no instance to be at fault.
    bench.weft(&["chaos", "add", "--callee", "once", "--caller", "shop", "--abort", "unavailable"]);
    let _ = bench.origins[0].asked();
    assert_eq!(bench.get("once").0, 503);
    assert!(bench.origins[0].asked().is_empty());
    let detail = bench.json(&["services", "health", "once"]);
    assert_eq!(detail["instances"][0]["failures"], 10, "{detail}");
}

#[test]
fn an_instance_that_is_gone_is_an_error_of_the_connection() {
    let bench = Bench::start(1);
    bench.origins[0].stop();
    let (status, why) = bench.get("once");
    assert!(status == 0 && why.contains("ConnectionRefused"), "{why}");
}

#[test]
fn instances_are_registered_found_kept_and_given_up() {
    let mut bench = Bench::start(0);
    let (one, two) = (Origin::start("one"), Origin::start("two"));
    assert_eq!(bench.get("found").0, 503, "it has no instance");
    let list = bench.json(&["services", "list"]);
    let index = list["index"].as_u64().expect("an index");
    let waiting = watched(&bench, &format!("/v1/services/found?index={index}&wait_ms=60000"));
    bench.weft(&["services", "register", "found", &one.url(), "--version", "1.0.0", "--tag", "eu", "--reason", "more"]);
    bench.weft(&["services", "register", "found", &two.url(), "--id", "second", "--version", "2.0.0"]);
    let told = waiting();
    assert!(told["index"].as_u64().is_some_and(|told| told > index), "{told}");
    assert_eq!(told["instances"][0]["id"], one.id(), "{told}");
    let found = |bench: &Bench, arguments: &[&str]| {
        let detail = bench.json(&[&["services", "health", "found"], arguments].concat());
        let ids = detail["instances"].as_array().expect("a list").iter();
        ids.map(|one| one["id"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(&bench, &["--version", "2.0.0"]), ["second"]);
    assert_eq!(found(&bench, &["--tag", "eu"]), [one.id()]);
    assert!(found(&bench, &["--tag", "us"]).is_empty());
    eventually("both get requests", || {
        let names = [bench.get("found").1, bench.get("found").1];
        if names[0] == names[1] { Err(names) } else { Ok(()) }
    });
    assert!(bench.weft(&["audit", "--json"]).contains("more"));

    // They are there again after a crash.
    bench.platform.kill();
    let manifest = repository::root().join("tests/applications/services/spin.toml");
    bench.platform.run(&Options { manifest, ..Options::default() }).expect("it starts again");
    assert_eq!(found(&bench, &[]).len(), 2);
    assert_eq!(bench.get("found").0, 200);

    // One is taken out by hand, the other when it has been gone for long.
    bench.weft(&["services", "deregister", "found", "second"]);
    assert_eq!(bench.get("found"), ok("one"));
    one.stop();
    eventually("it is given up", || {
        let left = found(&bench, &[]);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    assert!(bench.platform.log().contains("an instance is taken out"), "{}", bench.platform.log());
    let kept = bench.platform.data().join("services.json");
    eventually("that is kept", || match std::fs::read_to_string(&kept) {
        Ok(text) if text.trim() == "[]" => Ok(()),
        other => Err(other),
    });
}

#[test]
fn what_may_not_be_registered_is_refused() {
    let bench = Bench::start(1);
    let register = |name: &'static str, address: &'static str| ["services", "register", name, address];
    bench.refused(&register("public", "http://127.0.0.1:80"), "allow_private");
    bench.refused(&register("public", "http://10.0.0.1"), "private address");
    bench.refused(&register("nothing", "http://a.example"), "no service");
    bench.refused(&register("shop", "http://a.example"), "function of the application");
    bench.refused(&register("found", "a.example"), "no address");
    bench.refused(&["services", "deregister", "once", &bench.origins[0].id()], "declared in the manifest");
    // A name that leads to a private address is seen when it is asked.
    bench.weft(&["services", "register", "public", "http://localhost:1"]);
    let (status, why) = bench.get("public");
    assert!(status == 0 && why.contains("DestinationIpProhibited"), "{why}");
}

#[test]
fn functions_are_in_the_registry_too() {
    let bench = Bench::start(3);
    let list = bench.json(&["services", "list"]);
    let entry = |name: &str| {
        let all = list["services"].as_array().expect("a list");
        all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name}: {list}")).clone()
    };
    let service = entry("in-turn");
    assert_eq!((&service["kind"], &service["instances"]), (&json!("service"), &json!(3)), "{service}");
    assert_eq!(service["versions"], json!(["1.0.0", "2.0.0"]));
    assert_eq!(service["tags"], json!(["eu", "large", "old"]));
    let function = entry("shop");
    assert_eq!((&function["kind"], &function["healthy"]), (&json!("function"), &json!(1)), "{function}");
    let version = function["versions"][0].as_str().expect("a version").to_owned();
    let found = bench.json(&["services", "health", "shop", "--version", &version]);
    assert_eq!(found["instances"][0]["id"], "shop", "{found}");
    bench.refused(&["services", "health", "nobody"], "no service");
    // Whoever watches it is told of what is deployed, and not before.
    let index = found["index"].as_u64().expect("an index");
    let waiting = watched(&bench, &format!("/v1/services/shop?index={index}&wait_ms=60000"));
    let file = component("hello");
    bench.weft(&["deploy", "shop", file.to_str().expect("a path")]);
    let deployed = waiting();
    assert_eq!(deployed["instances"].as_array().map(Vec::len), Some(2), "{deployed}");
    let waiting = watched(&bench, &format!("/v1/services/shop?index={}&wait_ms=60000", deployed["index"]));
    bench.weft(&["canary", "weight", "shop", "25"]);
    let weighed = waiting();
    assert_eq!([0, 1].map(|one| &weighed["instances"][one]["weight"]), [&json!(7_500), &json!(2_500)], "{weighed}");
}

#[test]
fn an_instance_with_a_time_to_live_has_to_be_renewed() {
    let bench = Bench::start(0);
    let one = Origin::start("one");
    let id = bench.weft(&["services", "register", "found", &one.url(), "--ttl", "60s"]);
    let id = id.trim();
    bench.weft(&["services", "renew", "found", id]);
    bench.weft(&["services", "register", "found", &one.url(), "--id", "short", "--ttl", "1ms"]);
    eventually("it is given up", || {
        let detail = bench.json(&["services", "health", "found"]);
        let ids: Vec<_> = detail["instances"].as_array().expect("a list").iter().map(|one| one["id"].clone()).collect();
        if ids == [json!(id)] { Ok(()) } else { Err(ids) }
    });
    bench.refused(&["services", "renew", "found", "short"], "no instance");
}

#[test]
fn a_deployment_keeps_the_services_that_it_does_not_change() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let manifest = folder.path().join("spin.toml");
    let root = repository::root();
    let text = std::fs::read_to_string(root.join("tests/applications/services/spin.toml")).expect("the manifest");
    let text = text.replace("../../../components", &root.join("components").display().to_string());
    std::fs::write(&manifest, &text).expect("room");
    let (one, registered) = (Origin::start("one"), Origin::start("registered"));
    let options = Options { manifest: manifest.clone(), options: vec!["--watch".to_owned()], ..Options::default() };
    let platform = Platform::start_with(&options.env("SPIN_VARIABLE_ONE", &one.url()));
    let bench = Bench { platform, origins: Vec::new() };
    bench.weft(&["services", "register", "found", &registered.url()]);
    one.answer_always(Some(500));
    for _ in 0..10 {
        assert_eq!(bench.get("once").0, 500);
    }
    let index = |bench: &Bench| bench.json(&["services", "health", "once"])["index"].clone();
    let before = index(&bench);
    let added = "[application.tool.weft.mesh.services.added]\nendpoints = [\"http://added.example\"]\n";
    let changed = text
        .replace("deadline_ms = 2000", "deadline_ms = 2001")
        .replace("remove_after_ms = 300", "remove_after_ms = 301");
    assert_ne!(changed, text);
    std::fs::write(&manifest, format!("{text}\n{added}")).expect("room");
    eventually("it is deployed", || if bench.weft(&["services", "list"]).contains("added") { Ok(()) } else { Err(()) });
    assert_eq!((bench.get("once").0, index(&bench)), (503, before), "its breaker is open still, and nobody is told");
    assert_eq!(bench.get("found"), ok("registered"));
    // A policy that changes begins anew; instances and what is registered stay.
    std::fs::write(&manifest, changed).expect("room");
    eventually("it is deployed", || match bench.get("once").0 {
        500 => Ok(()),
        other => Err(other),
    });
    let instance = bench.json(&["services", "health", "once"])["instances"][0].take();
    assert!(instance["requests"].as_u64().is_some_and(|requests| requests > 10), "{instance}");
    assert_eq!(bench.get("found"), ok("registered"));
}

#[test]
fn what_breakers_do_is_told_as_it_happens() {
    let bench = Bench::start(1);
    let data = bench.platform.data();
    let mut watching = std::process::Command::new(repository::weft())
        .args(["--data".as_ref(), data.as_os_str()])
        .args(["breakers", "watch", "--json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("weft can be started");
    let mut told = std::io::BufReader::new(watching.stdout.take().expect("its output"));
    // Until it listens, nobody knows that it does: so both are done until the first is told.
    let first = {
        let (done, is_done) = std::sync::mpsc::channel();
        let reading = thread::spawn(move || {
            let mut line = String::new();
            std::io::BufRead::read_line(&mut told, &mut line).expect("a line");
            done.send(()).expect("the test waits");
            line
        });
        eventually("a change is told", || {
            bench.weft(&["breakers", "open", "once"]);
            bench.weft(&["breakers", "reset", "once"]);
            is_done.try_recv()
        });
        reading.join().expect("a line")
    };
    watching.kill().expect("it runs");
    watching.wait().expect("it ends");
    let change: Value = serde_json::from_str(&first).expect("JSON");
    assert_eq!(change["component"], "once", "{change}");
    assert!(change["to"] == "open" || change["to"] == "closed", "{change}");
}
