//! Each feature of durable functions on the real host, as `components/examples/durable-orders` uses it: that it works, that a
//! host which is killed in the middle goes on with it, and what is left of it in the shop's book.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::sagas::invoke;
use weft_tests::wait::eventually;

/// An hour: nothing in these tests waits for it.
const HOUR_MS: u64 = 3_600_000;

fn options() -> Options {
    Options { manifest: repository::root().join("tests/applications/durable/spin.toml"), ..Options::default() }
}

fn start() -> Platform {
    Platform::start_with(&options())
}

/// A call whose end nobody waits for.
struct Begun(Child);

impl Drop for Begun {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Begins a saga and answers when it is known.
fn begin(platform: &Platform, component: &str, function: &str, key: &str, arguments: &[Value]) -> Begun {
    let begun = call(platform, component, function, key, arguments);
    eventually("the saga has begun", || saga(platform, key).ok_or("not yet"));
    begun
}

fn call(platform: &Platform, component: &str, function: &str, key: &str, arguments: &[Value]) -> Begun {
    let all: Vec<Value> = std::iter::once(json!(key)).chain(arguments.iter().cloned()).collect();
    let child = Command::new(repository::weft())
        .args(["invoke", component, function, &Value::from(all).to_string(), "--data"])
        .arg(platform.data())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Begun(child.expect("weft can be started"))
}

fn order(platform: &Platform, function: &str, key: &str, arguments: &[Value]) -> Begun {
    begin(platform, "orders", &format!("orders#{function}"), key, arguments)
}

fn saga(platform: &Platform, key: &str) -> Option<Value> {
    let (status, stdout, _) = platform.weft(&["saga", "show", key, "--json"]);
    status.success().then(|| serde_json::from_str(&stdout).expect("JSON"))
}

/// The saga once it has ended.
fn ended(platform: &Platform, key: &str) -> Value {
    eventually("the saga ends", || {
        let saga = saga(platform, key).ok_or_else(|| "no such saga".to_owned())?;
        let status = saga["status"].as_str().expect("a status");
        if matches!(status, "running" | "compensating" | "paused") { Err(saga.to_string()) } else { Ok(saga) }
    })
}

/// How a saga ended, and its answer.
fn answer(platform: &Platform, key: &str) -> (String, Value) {
    let saga = ended(platform, key);
    let answer = saga["result"].as_str().map_or(Value::Null, |text| serde_json::from_str(text).expect("JSON"));
    (saga["status"].as_str().expect("a status").to_owned(), answer)
}

fn completed(answer: impl Into<Value>) -> (String, Value) {
    ("completed".to_owned(), json!({ "ok": answer.into() }))
}

fn refused(why: &str) -> (String, Value) {
    ("compensated".to_owned(), json!({ "error": { "Refused": why } }))
}

/// What was done and not taken back.
fn book(platform: &Platform) -> Vec<String> {
    let (status, stdout, stderr) = platform.weft(&["invoke", "shop", "shop#book", "[]", "--json"]);
    assert!(status.success(), "{stderr}");
    let answer: Value = serde_json::from_str(&stdout).expect("JSON");
    serde_json::from_value(answer["ok"].clone()).expect("a list")
}

/// The steps of a saga that ended so, as `name: attempts`.
fn steps(saga: &Value, status: &str) -> Vec<String> {
    let steps = saga["steps"].as_array().expect("steps").iter().filter(|step| step["status"] == status);
    steps.map(|step| format!("{}: {}", step["name"].as_str().expect("a name"), step["attempts"])).collect()
}

fn wait_for_state(platform: &Platform, key: &str, wanted: &str) {
    eventually("the saga says where it stands", || {
        let seen = invoke(platform, "desk", "desk#state", &json!([key])).expect("the desk sees it");
        if seen.contains(wanted) { Ok(()) } else { Err(seen) }
    });
}

fn decide(platform: &Platform, key: &str, id: &str, approved: bool) {
    invoke(platform, "desk", "desk#decide", &json!([key, id, approved])).expect("the signal is taken");
}

fn restart(platform: &mut Platform) {
    platform.kill();
    platform.run(&options()).expect("the host starts again");
}

fn book_order(item: &str) -> Value {
    json!({ "item": item, "cents": 1200 })
}

#[test]
fn steps_are_tried_again_and_taken_back() {
    let platform = start();
    let _b = [("plain", "book"), ("again", "flaky"), ("none", "sold-out")]
        .map(|(key, item)| order(&platform, "buy", key, &[book_order(item)]));
    assert_eq!(answer(&platform, "plain"), completed("charged 1200"));
    assert_eq!(answer(&platform, "again"), completed("charged 1200"));
    assert_eq!(steps(&ended(&platform, "again"), "completed"), ["reserve: 2", "charge: 1"]);
    assert_eq!(answer(&platform, "none"), ("compensated".to_owned(), json!({ "error": "SoldOut" })));
    let reserved = ["again/reserve#1: reserved flaky", "plain/reserve#1: reserved book"];
    let charged = ["again/charge#1: charged 1200", "plain/charge#1: charged 1200"];
    assert_eq!(book(&platform), [charged[0], reserved[0], charged[1], reserved[1]]);
}

#[test]
fn an_answer_too_large_for_the_journal_fails_its_step_and_is_taken_back() {
    let platform = start();
    let _b = order(&platform, "bundle", "k", &[json!(["a", "huge"])]);
    let (status, answer) = answer(&platform, "k");
    assert_eq!(status, "compensated");
    assert!(answer.to_string().contains("1048576 bytes"), "{answer}");
    assert_eq!(book(&platform), Vec::<String>::new());
}

#[test]
fn a_timer_outlives_the_host() {
    let mut platform = start();
    let _short = order(&platform, "remind", "short", &[json!(1)]);
    assert_eq!(answer(&platform, "short"), completed("reserved reminder"));
    // Longer than an instance waits: the run ends, and another goes on.
    let _long = order(&platform, "remind", "long", &[json!(6000)]);
    eventually("the timer is set", || {
        let saga = saga(&platform, "long").expect("it has begun");
        if saga.to_string().contains("until-due") { Ok(()) } else { Err(saga) }
    });
    restart(&mut platform);
    assert_eq!(answer(&platform, "long"), completed("reserved reminder"));
    let reminders = ["long/remind#1: reserved reminder", "short/remind#1: reserved reminder"];
    assert_eq!(book(&platform), reminders);
}

#[test]
fn sagas_that_sleep_hold_no_instance() {
    let mut platform = start();
    // Far more than the component may have calls, running and waiting.
    for number in 0..40 {
        let begun = begin(&platform, "orders-few", "orders#remind", &format!("s{number}"), &[json!(HOUR_MS)]);
        drop(begun);
    }
    let _awake = begin(&platform, "orders-few", "orders#remind", "awake", &[json!(0)]);
    assert_eq!(answer(&platform, "awake"), completed("reserved reminder"));
    restart(&mut platform);
    let _again = begin(&platform, "orders-few", "orders#remind", "again", &[json!(0)]);
    assert_eq!(answer(&platform, "again"), completed("reserved reminder"));
    assert_eq!(saga(&platform, "s7").expect("it is known")["status"], "running");
}

#[test]
fn a_signal_from_another_function_is_waited_for_across_a_kill() {
    let mut platform = start();
    let _b = ["yes", "no"].map(|key| order(&platform, "approve", key, &[book_order("book")]));
    for key in ["yes", "no"] {
        wait_for_state(&platform, key, "waits for approval");
    }
    restart(&mut platform);
    // What was exposed before is still answered, and the reservation is not done again.
    wait_for_state(&platform, "yes", "waits for approval");
    decide(&platform, "yes", "1", true);
    // The same message again is no second signal.
    decide(&platform, "no", "1", false);
    assert_eq!(answer(&platform, "yes"), completed("approved"));
    assert_eq!(answer(&platform, "no"), refused("not approved"));
    assert_eq!(steps(&ended(&platform, "yes"), "completed"), ["reserve: 1"]);
    assert_eq!(book(&platform), ["yes/reserve#1: reserved book"]);
}

#[test]
fn a_signal_may_come_early_or_never() {
    let platform = start();
    let _b = order(&platform, "approve-within", "never", &[json!(1)]);
    assert_eq!(answer(&platform, "never"), refused("nobody answered in time"));
    let _b = order(&platform, "approve-within", "in-time", &[json!(HOUR_MS)]);
    decide(&platform, "in-time", "", true);
    assert_eq!(answer(&platform, "in-time"), completed("approved"));
}

#[test]
fn what_comes_first_comes_first_again() {
    let mut platform = start();
    let _b = order(&platform, "laps", "k", &[json!(1)]);
    let signal = |platform: &Platform, name: &str| {
        let (status, _, stderr) = platform.weft(&["saga", "signal", "k", name, "true"]);
        assert!(status.success(), "{stderr}");
    };
    // It has come before it is asked for, so that the first lap ends as soon as it begins; the others by the time.
    signal(&platform, "go");
    signal(&platform, "begin");
    wait_for_state(&platform, "k", "counted");
    restart(&mut platform);
    signal(&platform, "end");
    assert_eq!(answer(&platform, "k"), completed(1));
}

#[test]
fn a_cancelled_saga_hears_why_and_is_taken_back() {
    let mut platform = start();
    let _b = order(&platform, "approve", "k", &[book_order("book")]);
    wait_for_state(&platform, "k", "waits for approval");
    restart(&mut platform);
    invoke(&platform, "desk", "desk#withdraw", &json!(["k", "the customer has left"])).expect("it is cancelled");
    let saga = ended(&platform, "k");
    assert_eq!(saga["status"], "compensated");
    assert!(saga["result"].as_str().expect("an answer").contains("the customer has left"), "{saga}");
    wait_for_state(&platform, "k", "the customer has left");
    assert_eq!(book(&platform), Vec::<String>::new());
    // It has ended: neither order nor signal reaches it.
    for late in [json!(["k", "again"]), json!(["k", "1", true])] {
        let function = if late.as_array().expect("a list").len() == 2 { "desk#withdraw" } else { "desk#decide" };
        assert!(invoke(&platform, "desk", function, &late).is_err_and(|why| why.contains("ended")));
    }
    let foreign = invoke(&platform, "desk", "desk#state", &json!(["nobody"])).expect_err("there is none");
    assert!(foreign.contains("NotFound") || foreign.contains("not-found"), "{foreign}");
}

#[test]
fn a_deadline_cancels() {
    let mut platform = start();
    let _b = order(&platform, "hurry", "soon", &[json!(1)]);
    let _c = order(&platform, "hurry", "later", &[json!(6000)]);
    let (status, said) = answer(&platform, "soon");
    assert_eq!(status, "compensated");
    assert!(said.to_string().contains("deadline has passed"), "{said}");
    restart(&mut platform);
    assert_eq!(answer(&platform, "later").0, "compensated");
    assert_eq!(book(&platform), Vec::<String>::new());
}

#[test]
fn the_losers_of_a_race_are_taken_back() {
    let platform = start();
    let _b = order(&platform, "first", "k", &[json!(["never", "book", "never"])]);
    assert_eq!(answer(&platform, "k"), completed("1: reserved book"));
    assert_eq!(steps(&ended(&platform, "k"), "compensated"), ["offer-2: 1", "offer-0: 1"]);
    assert_eq!(book(&platform), ["k/offer-1#1: reserved book"]);
}

#[test]
fn many_steps_run_together() {
    let platform = start();
    let items: Vec<String> = (0..1500).map(|number| format!("i{number}")).collect();
    let _b = order(&platform, "bundle", "join", &[json!(items)]);
    let reserved: Vec<String> = items.iter().map(|item| format!("reserved {item}")).collect();
    assert_eq!(answer(&platform, "join"), completed(reserved));
    let _c = order(&platform, "restock", "each", &[json!(3000), json!(40)]);
    assert_eq!(answer(&platform, "each"), completed(3000));
    let with_sold_out: Vec<&str> = std::iter::repeat_n("book", 40).chain(["sold-out"]).collect();
    let _d = order(&platform, "bundle", "refused", &[json!(with_sold_out)]);
    assert_eq!(answer(&platform, "refused").0, "compensated");
    let book = book(&platform);
    assert_eq!(book.len(), 4500);
    assert!(!book.iter().any(|line| line.starts_with("refused/")));
}

#[test]
fn a_limit_holds_for_all_sagas() {
    let platform = start();
    let _b = ["a", "b"].map(|key| order(&platform, "bill", key, &[json!(15)]));
    let mut begun: Vec<u64> = Vec::new();
    for key in ["a", "b"] {
        assert_eq!(answer(&platform, key), completed(15));
        let saga = ended(&platform, key);
        let steps = saga["steps"].as_array().expect("steps").iter();
        begun.extend(steps.map(|step| step["started_at_ms"].as_u64().expect("a time")));
    }
    begun.sort_unstable();
    // Twenty a second are evenly spread: each has its turn, and none begins before it.
    let first_ms = saga(&platform, "a").expect("it has ended")["started_at_ms"].as_u64().expect("a time");
    let turns_ms = (0..).map(|turn| first_ms + 50 * turn);
    assert_eq!(begun.len(), 30);
    assert!(begun.iter().zip(turns_ms).all(|(begun_ms, turn_ms)| *begun_ms >= turn_ms), "{first_ms}: {begun:?}");
}

#[test]
fn a_child_outlives_the_host_and_answers_its_parent() {
    let mut platform = start();
    let begin = |platform: &Platform, key: &str, approved: bool| {
        begin(platform, "gifts", "gifts#wrap", key, &[book_order("book"), json!(approved)])
    };
    let _b = begin(&platform, "bought", true);
    assert_eq!(answer(&platform, "bought"), completed("wrapped: charged 1200"));
    let all = ["waits", "refused", "left", "stopped"];
    let _c = all.map(|key| begin(&platform, key, false));
    for key in all {
        eventually("the child has begun", || saga(&platform, &format!("{key}/approve#1")).ok_or("not yet"));
        wait_for_state(&platform, &format!("{key}/approve#1"), "waits for approval");
    }
    restart(&mut platform);
    decide(&platform, "waits/approve#1", "1", true);
    decide(&platform, "refused/approve#1", "1", false);
    assert_eq!(answer(&platform, "waits"), completed("wrapped: approved"));
    assert_eq!(answer(&platform, "refused"), refused("not approved"));
    // A parent sees the end of a child that is cancelled.
    invoke(&platform, "desk", "desk#withdraw", &json!(["left/approve#1", "changed"])).expect("it is cancelled");
    assert_eq!(answer(&platform, "left").0, "compensated");
    // A child is cancelled with its parent.
    let (status, _, stderr) = platform.weft(&["saga", "cancel", "stopped", "--reason", "no more gifts"]);
    assert!(status.success(), "{stderr}");
    assert_eq!(answer(&platform, "stopped").0, "compensated");
    let (status, said) = answer(&platform, "stopped/approve#1");
    assert_eq!(status, "compensated");
    assert!(said.to_string().contains("its parent is taken back"), "{said}");
    let book = book(&platform);
    let undone = ["refused/", "left/", "stopped/"];
    assert!(!book.iter().any(|line| undone.iter().any(|key| line.starts_with(key))), "{book:?}");
}

#[test]
fn an_endless_saga_goes_on_as_new() {
    let platform = start();
    let reading = json!({ "period": 1, "total": 0, "last": 150 });
    let _b = order(&platform, "meter", "k", &[reading]);
    assert_eq!(answer(&platform, "k"), completed(150));
    let book = book(&platform);
    assert_eq!(book.len(), 150);
    assert!(
        book.contains(&"k/charge#1: charged 1".to_owned()) && book.contains(&"k~149/charge#1: charged 150".to_owned())
    );
    // The journal is that of the last generation.
    assert_eq!(ended(&platform, "k")["steps"].as_array().expect("steps").len(), 1);
}

#[test]
fn a_start_from_a_function_is_durable_and_done_once() {
    let platform = start();
    for _ in 0..2 {
        invoke(&platform, "desk", "desk#place", &json!(["k", book_order("book")])).expect("it is placed");
    }
    assert_eq!(answer(&platform, "k"), completed("charged 1200"));
    assert_eq!(book(&platform), ["k/charge#1: charged 1200", "k/reserve#1: reserved book"]);
}

/// Sagas of all kinds run when the host is killed; each ends as it would have.
#[test]
fn whatever_runs_when_the_host_is_killed_ends_as_it_would_have() {
    let all = |platform: &Platform| {
        let items = json!((0..30).map(|number| format!("i{number}")).collect::<Vec<_>>());
        let reading = json!({ "period": 1, "total": 0, "last": 60 });
        vec![
            call(platform, "orders", "orders#bundle", "bundle", &[items]),
            call(platform, "orders", "orders#bundle", "undone", &[json!(["a", "b", "c", "sold-out", "d"])]),
            call(platform, "orders", "orders#first", "first", &[json!(["a", "b", "c", "never"])]),
            call(platform, "orders", "orders#restock", "restock", &[json!(60), json!(7)]),
            call(platform, "orders", "orders#meter", "meter", &[reading]),
            call(platform, "gifts", "gifts#wrap", "gift", &[book_order("book"), json!(true)]),
        ]
    };
    for done in [1, 25, 50, 75, 100, 125] {
        let mut platform = start();
        let before = all(&platform);
        eventually("so much is done", || {
            let lines = book(&platform).len();
            if lines >= done { Ok(()) } else { Err(lines) }
        });
        restart(&mut platform);
        drop(before);
        // Whoever got no answer asks again, under the same key.
        let _again = all(&platform);
        for key in ["bundle", "undone", "first", "restock", "meter", "gift"] {
            eventually("the saga has begun", || saga(&platform, key).ok_or("not yet"));
            let wanted = if key == "undone" { "compensated" } else { "completed" };
            assert_eq!(ended(&platform, key)["status"], wanted, "{key}, killed after {done}");
        }
        let book = book(&platform);
        let count = |start: &str| book.iter().filter(|line| line.starts_with(start)).count();
        let counts = ["bundle/", "undone/", "first/", "restock/", "meter", "gift/"].map(count);
        assert_eq!(counts, [30, 0, 1, 60, 60, 2], "killed after {done}: {book:?}");
    }
}
