//! Rate limits, API keys and tokens of services of a running host: what clients are told, what an operator does and sees, and what a new
//! manifest keeps.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;

use serde_json::{Value, json};
use weft_tests::http::Response;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::servers;
use weft_tests::tokens::Token;
use weft_tests::wait::eventually;

const LIMIT_HEADERS: [&str; 5] =
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit", "ratelimit-policy"];

fn manifest() -> PathBuf {
    repository::root().join("tests/applications/gateway/spin.toml")
}

fn options() -> Options {
    Options { manifest: manifest(), rate_limits: true, ..Options::default() }
}

/// What a command of `weft` prints, which has to succeed.
fn weft(platform: &Platform, arguments: &[&str]) -> String {
    let (status, stdout, stderr) = platform.weft(arguments);
    assert!(status.success(), "{arguments:?}: {stderr}");
    stdout
}

/// A new key and its id.
fn create(platform: &Platform, options: &[&str]) -> (String, String) {
    let mut arguments = vec!["api-keys", "create", "--owner", "crawler", "--role", "robot", "--permission", "greet"];
    arguments.extend(options);
    arguments.push("--json");
    let made: Value = serde_json::from_str(&weft(platform, &arguments)).expect("JSON");
    let text = |name: &str| made[name].as_str().expect(name).to_owned();
    (text("key"), text("id"))
}

fn robots(platform: &Platform, key: &str) -> Response {
    platform.get("/robots").header("x-api-key", key).send()
}

fn as_user(platform: &Platform, path: &str, user: &str) -> Response {
    let token = platform.token(&Token { sub: user.to_owned(), ..Token::default() });
    platform.get(path).token(&token).send()
}

/// The names of the limits that refused.
fn violated(answer: &Response) -> Vec<String> {
    let problem = answer.expect(429);
    assert_eq!(problem["type"], "urn:weft:problem:rate-limited");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let names = problem["violated-policies"].as_array().expect("the limits");
    names.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

#[test]
fn several_limits_hold_at_once_and_what_is_refused_is_counted_by_none() {
    let platform = Platform::start_with(&options());
    for left in ["2", "1", "0"] {
        let answer = platform.get("/hello").send();
        assert_eq!((answer.status, answer.header("x-ratelimit-remaining")), (200, Some(left)));
        assert_eq!(answer.header("x-ratelimit-limit"), Some("3"));
    }
    let refused = platform.get("/hello").send();
    assert_eq!(violated(&refused), ["default", "slower"]);
    for name in LIMIT_HEADERS {
        assert!(refused.header(name).is_some(), "{name}: {:?}", refused.headers);
    }
    // Of the two the one that lasts longer is told.
    assert_eq!(refused.header("ratelimit-policy"), Some("\"slower\";q=3;w=3600"));
    let retry: u64 = refused.header("retry-after").expect("when to come back").parse().expect("seconds");
    assert!((3_000..=3_600).contains(&retry), "{retry}");
    assert_eq!(refused.header("ratelimit"), Some(&*format!("\"slower\";r=0;t={retry}")));
    // A user is counted by itself, over all routes of a limit.
    for user in ["ada", "bob"] {
        let statuses = [0; 4].map(|_| as_user(&platform, "/mine", user).status);
        assert_eq!(statuses, [200, 200, 200, 429], "{user}");
        assert_eq!(violated(&as_user(&platform, "/hello", user)), ["default"]);
    }
    for _ in 0..20 {
        let free = platform.get("/free").send();
        assert_eq!((free.status, free.header("ratelimit")), (200, None));
        assert_eq!(platform.get("/livez").send().status, 200);
    }
    let limits: Value = serde_json::from_str(&weft(&platform, &["limits", "--json"])).expect("JSON");
    let limit = |name: &str| {
        let all = limits.as_array().expect("limits").iter();
        all.clone().find(|limit| limit["name"] == name).unwrap_or_else(|| panic!("{name}: {limits}")).clone()
    };
    // Nine were admitted of the fifteen that were asked; six were refused by the first limit, one of them by both.
    assert_eq!((&limit("default")["admitted"], &limit("default")["refused"]), (&json!(9), &json!(5)));
    assert_eq!((&limit("slower")["admitted"], &limit("slower")["refused"]), (&json!(3), &json!(1)));
    assert_eq!(limit("everyone")["admitted"], 9, "what is refused is not counted");
    assert_eq!(limit("address")["admitted"], 3);
    assert_eq!(limit("default")["callers"][0]["used"], 3);
    let table = weft(&platform, &["limits"]);
    assert!(table.contains("user ada") && table.contains("ip 127.0.0.1"), "{table}");
}

#[test]
fn an_api_key_has_its_tier_until_it_is_revoked() {
    let mut platform = Platform::start_with(&options());
    let (free, free_id) = create(&platform, &["--name", "plain"]);
    let (premium, premium_id) = create(&platform, &["--tier", "premium", "--expires-in", "1d"]);
    assert!(free.starts_with("weft_") && free != premium);
    for count in 0..6 {
        assert_eq!(robots(&platform, &free).status, if count < 3 { 200 } else { 429 }, "{count}");
        let answer = robots(&platform, &premium);
        assert_eq!((answer.status, answer.header("x-ratelimit-limit")), (200, Some("6")), "{count}");
    }
    assert_eq!(violated(&robots(&platform, &premium)), ["premium-per-minute"]);
    assert_eq!(violated(&robots(&platform, &free)), ["free-per-minute"]);
    assert_eq!(platform.get("/robots").send().status, 401);
    assert_eq!(as_user(&platform, "/robots", "ada").status, 403, "a student is no robot");
    let listed: Value = serde_json::from_str(&weft(&platform, &["api-keys", "list", "--json"])).expect("JSON");
    let ids: Vec<_> =
        listed.as_array().expect("keys").iter().map(|key| key["id"].as_str().unwrap_or_default()).collect();
    assert_eq!(ids, [&free_id, &premium_id]);
    assert!(!listed.to_string().contains(&free), "a key is shown once");

    weft(&platform, &["api-keys", "revoke", &free_id, "--reason", "lost"]);
    let revoked = robots(&platform, &free);
    assert_eq!((revoked.status, revoked.header("www-authenticate")), (401, Some("ApiKey error=\"invalid_key\"")));
    let (status, _, stderr) = platform.weft(&["api-keys", "revoke", &free_id]);
    assert!(!status.success() && stderr.contains("there is no API key"), "{stderr}");
    let (status, _, stderr) = platform.weft(&["api-keys", "create", "--owner", "x", "--tier", "golden"]);
    assert!(!status.success() && stderr.contains("no tier \"golden\""), "{stderr}");

    // Keys are kept, counts are not.
    assert!(platform.stop().success());
    platform.run(&options()).expect("the host starts on what it left");
    assert_eq!(robots(&platform, &free).status, 401);
    assert_eq!(robots(&platform, &premium).status, 200);
    let audit = weft(&platform, &["audit", "--json"]);
    for told in ["create api key", "revoke api key", "lost", &free_id, "crawler"] {
        assert!(audit.contains(told), "{told}: {audit}");
    }
    assert!(!audit.contains(&free) && !audit.contains(&premium), "{audit}");
}

fn service_token(platform: &Platform, arguments: &[&str]) -> String {
    weft(platform, &[&["service-tokens", "create"], arguments].concat()).trim().to_owned()
}

fn grades(platform: &Platform, token: &str) -> u16 {
    platform.get("/grades").token(token).send().status
}

#[test]
fn policies_decide_where_roles_cannot() {
    let platform = Platform::start_with(&options());
    assert_eq!(as_user(&platform, "/accounts/ada", "ada").status, 200);
    let refused = as_user(&platform, "/accounts/ada", "eve");
    assert_eq!(refused.expect(403)["type"], "urn:weft:problem:forbidden");
    // Which policies there are is nobody's business.
    let forbidden = as_user(&platform, "/accounts/closed", "closed").expect(403);
    assert_eq!(forbidden["detail"], "A policy does not let you use this route so.");
    let audit = service_token(&platform, &["audit"]);
    let seen = |path: &str, token: &str| platform.get(path).token(token).send().status;
    assert_eq!((seen("/accounts/ada", &audit), seen("/accounts/closed", &audit)), (200, 403));
    assert_eq!(seen("/accounts/ada", &service_token(&platform, &["billing"])), 403);
    eventually("the audit log says why", || {
        let audit = weft(&platform, &["audit", "--about", "refuse request"]);
        let is_told = audit.contains("policy closed") && audit.contains("no policy permits it");
        if is_told { Ok(()) } else { Err(audit) }
    });
}

#[test]
fn services_are_let_in_where_they_are_named_until_their_tokens_are_void() {
    let mut platform = Platform::start_with(&options());
    let create = |arguments: &[&str]| service_token(&platform, arguments);
    let seen = |token: &str| grades(&platform, token);
    let grading = create(&["grading", "--permission", "greet", "--reason", "nightly"]);
    assert_eq!(seen(&grading), 200);
    assert_eq!(seen(&create(&["reports-monthly", "--permission", "greet", "--expires-in", "5m"])), 200);
    assert_eq!(seen(&create(&["grading"])), 403, "it lacks the permission");
    assert_eq!(seen(&create(&["billing", "--permission", "greet"])), 403, "the route does not name it");
    assert_eq!(as_user(&platform, "/grades", "ada").status, 403, "nor users");
    assert_eq!(platform.get("/robots").token(&grading).send().status, 403, "which other routes are for");
    assert_eq!(platform.get("/grades").send().status, 401);

    weft(&platform, &["service-tokens", "void", "grading", "--reason", "lost"]);
    assert_eq!(seen(&grading), 401);
    let anew = create(&["grading", "--permission", "greet"]);
    assert_eq!(seen(&anew), 200, "one of the same second is as good as later ones");
    for (wrong, told) in [
        (&["users"][..], "no name of a service"),
        (&["a b"], "no name of a service"),
        (&["grading", "--expires-in", "2d"], "1s to 24h"),
        (&["grading", "--permission", "a,b"], "no permission"),
    ] {
        let (status, _, stderr) = platform.weft(&[&["service-tokens", "create"], wrong].concat());
        assert!(!status.success() && stderr.contains(told), "{wrong:?}: {stderr}");
    }

    // What is void stays void, and what was decided stands in the audit log.
    assert!(platform.stop().success());
    platform.run(&options()).expect("the host starts on what it left");
    assert_eq!((grades(&platform, &grading), grades(&platform, &anew)), (401, 200));
    let audit = weft(&platform, &["audit", "--json"]);
    for told in ["create service token", "void service tokens", "nightly", "allow request", "service:grading"] {
        assert!(audit.contains(told), "{told}: {audit}");
    }
    assert!(!audit.contains(&anew), "{audit}");
}

/// A request that the function never answers.
fn hold(platform: &Platform, key: &str) -> TcpStream {
    let address = platform.url().strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).expect("the host listens");
    let request = format!("GET /hold?do=sleep HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the host reads");
    stream
}

#[test]
fn requests_at_a_time_are_counted_until_they_end() {
    let platform = Platform::start_with(&options());
    let (key, _) = create(&platform, &["--tier", "premium"]);
    let held = [hold(&platform, &key), hold(&platform, &key)];
    let refused = eventually("two are in work", || {
        let in_work = || {
            let limits: Value = serde_json::from_str(&weft(&platform, &["limits", "--json"])).expect("JSON");
            let limits = limits.as_array().expect("limits").clone();
            limits.into_iter().find(|limit| limit["name"] == "premium-concurrent").expect("the limit")
        };
        let limit = in_work();
        if limit["callers"][0]["used"] == 2 { Ok(robots(&platform, &key)) } else { Err(limit) }
    });
    assert_eq!(violated(&refused), ["premium-concurrent"]);
    assert_eq!(refused.header("retry-after"), Some("1"));
    // A client that goes away ends its request.
    let [_first, second] = held;
    drop(second);
    let answer = eventually("one has ended", || {
        let answer = robots(&platform, &key);
        if answer.status == 200 { Ok(answer) } else { Err(answer) }
    });
    assert_eq!(answer.header("x-ratelimit-limit"), Some("6"));
}

#[test]
fn a_new_manifest_keeps_the_counts_of_what_it_leaves_as_it_was() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("spin.toml");
    let policies = manifest().with_file_name("access.cedar");
    std::fs::copy(policies, folder.path().join("access.cedar")).expect("the policies are copied");
    let text = std::fs::read_to_string(manifest()).expect("the manifest");
    let built = repository::root().join("components/target");
    let text = text.replace("../../../components/target", &built.to_string_lossy());
    std::fs::write(&path, &text).expect("a copy is written");
    let options = Options { manifest: path.clone(), options: vec!["--watch".to_owned()], ..options() };
    let platform = Platform::start_with(&options);
    for _ in 0..3 {
        assert_eq!(as_user(&platform, "/mine", "ada").status, 200);
    }
    let change = |from: &str, to: &str, what: &str, shows: &dyn Fn() -> bool| {
        let text = std::fs::read_to_string(&path).expect("the manifest");
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replace(from, to)).expect("the manifest is written");
        eventually(what, || if shows() { Ok(()) } else { Err(platform.log()) });
    };
    let has = |name: &str| weft(&platform, &["limits"]).contains(name);
    change("everyone = {", "all = {", "another limit has another name", &|| {
        // The route that names it has to change with it, so that this alone is refused as a whole.
        platform.log().contains("not deployed")
    });
    assert!(has("everyone"), "what is wrong changes nothing");
    change("\"everyone\"]", "\"all\"]", "another limit has another name", &|| has("all"));
    assert_eq!(violated(&as_user(&platform, "/mine", "ada")), ["default"], "it goes on counting");
    change("default = { limit = 3,", "default = { limit = 5,", "the limit is higher", &|| {
        as_user(&platform, "/mine", "ada").status == 200
    });
}

#[test]
fn the_education_platform_has_the_limits_of_its_services() {
    let platform = Platform::start_with(&Options { rate_limits: true, ..Options::default() });
    let courses = platform.get("/api/courses").send();
    assert_eq!(courses.header("ratelimit-policy"), Some("\"courses\";q=500;w=900"));
    assert_eq!(courses.header("x-ratelimit-remaining"), Some("499"));
    let login =
        || platform.post("/api/auth/login", &json!({ "email": "nobody@example.com", "password": "wrong" })).send();
    assert_eq!(login().header("ratelimit-policy"), Some("\"guessing\";q=100;w=10"));
    let statuses: Vec<u16> = (0..51).map(|_| as_user(&platform, "/api/payments", "ada").status).collect();
    let (last, admitted) = statuses.split_last().expect("answers");
    assert!(admitted.iter().all(|status| *status == 200) && *last == 429, "{statuses:?}");
    assert_eq!(violated(&as_user(&platform, "/api/payments", "ada")), ["payments"]);
    assert_eq!(as_user(&platform, "/api/payments", "bob").status, 200);
}

#[test]
fn hosts_count_together_in_a_redis_server() {
    let Some(redis) = servers::redis() else { return };
    let shared = options().env("SPIN_VARIABLE_LIMITS_REDIS", &format!("{redis}/6"));
    let hosts = [Platform::start_with(&shared), Platform::start_with(&shared)];
    // What an earlier run has counted is still there.
    let user = uuid::Uuid::new_v4().to_string();
    for (host, left) in [(0, "2"), (1, "1"), (0, "0")] {
        let answer = as_user(&hosts[host], "/mine", &user);
        assert_eq!((answer.status, answer.header("x-ratelimit-remaining")), (200, Some(left)), "{host}");
    }
    for host in &hosts {
        let refused = as_user(host, "/mine", &user);
        assert_eq!(violated(&refused), ["default"]);
        assert!(
            refused.header("retry-after").is_some_and(|after| after.parse::<u32>().is_ok_and(|s| s > 0 && s <= 916))
        );
    }
    assert_eq!(as_user(&hosts[1], "/mine", &format!("{user}-other")).status, 200);
}

#[test]
fn a_host_counts_for_itself_where_nobody_else_answers() {
    let alone = options().env("SPIN_VARIABLE_LIMITS_REDIS", "redis://127.0.0.1:1");
    let platform = Platform::start_with(&alone);
    for _ in 0..3 {
        assert_eq!(as_user(&platform, "/mine", "ada").status, 200);
    }
    assert_eq!(violated(&as_user(&platform, "/mine", "ada")), ["default"]);
    assert!(platform.log().contains("shared limits cannot be asked"));
}

#[test]
fn who_was_refused_is_in_the_audit_log() {
    let platform = Platform::start_with(&options());
    assert_eq!(platform.get("/robots").send().status, 401);
    let token = platform.token(&Token { sub: "ada".to_owned(), ..Token::default() });
    for _ in 0..3 {
        assert_eq!(platform.get("/robots").token(&token).send().status, 403);
    }
    let told = eventually("it is written", || {
        let lines = weft(&platform, &["audit", "--json", "--about", "refuse request"]);
        let entries: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let count: u64 = entries.iter().filter_map(|entry| entry["requests"]["count"].as_u64()).sum();
        if count == 4 { Ok(entries) } else { Err(lines) }
    });
    let of = |kind: &str| told.iter().find(|entry| entry["requests"]["kind"] == kind).expect("an entry");
    assert_eq!((&of("nobody")["requests"]["route"], &of("nobody")["outcome"]), (&json!("/robots"), &json!("refused")));
    assert_eq!((&of("user")["actor"], &of("user")["requests"]["subject"]), (&json!("user ada"), &json!("ada")));
    assert!(!told.iter().any(|entry| entry.to_string().contains(&token)), "no secret is in it");
}
