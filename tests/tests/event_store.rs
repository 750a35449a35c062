//! The event store on the real host, as `components/examples/ledger` uses it: a command is handled once, who comes
//! second decides again, snapshots are used, and what is appended arrives in order, once, also after a kill.

use serde_json::{Value, json};
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::wait::eventually;

fn options() -> Options {
    Options { manifest: repository::root().join("tests/applications/ledger/spin.toml"), ..Options::default() }
}

fn start() -> Platform {
    Platform::start_with(&options())
}

fn book(platform: &Platform, account: &str, key: &str, amount: i64) -> (u16, Value) {
    let answer = platform.post(&format!("/accounts/{account}"), &json!({ "key": key, "amount": amount })).send();
    (answer.status, answer.json()["balance"].take())
}

fn account(platform: &Platform, account: &str) -> Value {
    platform.get(&format!("/accounts/{account}")).send().expect(200)
}

/// The statement of an account, once it has so many lines.
fn statement(platform: &Platform, account: &str, lines: usize) -> Vec<String> {
    eventually("the subscription has noted all", || {
        let noted = platform.get(&format!("/accounts/{account}/statement")).send().expect(200)["lines"].take();
        let noted: Vec<String> = serde_json::from_value(noted).expect("lines");
        if noted.len() < lines { Err(format!("{} of {lines} lines", noted.len())) } else { Ok(noted) }
    })
}

#[test]
fn a_command_is_handled_once() {
    let platform = start();
    assert_eq!(book(&platform, "once", "a", 10), (200, json!(10)));
    assert_eq!(book(&platform, "once", "a", 10), (200, json!(10)));
    assert_eq!(book(&platform, "once", "b", -4), (200, json!(6)));
    assert_eq!(book(&platform, "once", "a", 10), (200, json!(10)), "the answer is that of then");
    assert_eq!(book(&platform, "once", "a", 11).0, 422, "the key belongs to another input");
    assert_eq!(book(&platform, "other", "a", 10).0, 422, "and to another account");
    assert_eq!(book(&platform, "once", "c", -7).0, 409, "there is not that much");
    assert_eq!(account(&platform, "once"), json!({ "balance": 6, "version": 2, "snapshot": null }));
}

#[test]
fn commands_that_race_are_decided_one_after_the_other() {
    const CLERKS: i64 = 8;
    let platform = start();
    assert_eq!(book(&platform, "raced", "open", 5), (200, json!(5)));
    // There is enough for five of them. Who gave up because others were always first asks again.
    std::thread::scope(|scope| {
        let clerks: Vec<_> = (0..CLERKS)
            .map(|clerk| {
                let platform = &platform;
                scope.spawn(move || {
                    eventually("the clerk is answered", || {
                        match book(platform, "raced", &format!("clerk-{clerk}"), -1) {
                            (503, _) => Err("others were first".to_owned()),
                            (status, _) => Ok(status),
                        }
                    })
                })
            })
            .collect();
        let answers: Vec<u16> = clerks.into_iter().map(|clerk| clerk.join().expect("a status")).collect();
        assert_eq!(answers.iter().filter(|status| **status == 200).count(), 5, "{answers:?}");
        assert!(answers.iter().all(|status| matches!(status, 200 | 409)), "{answers:?}");
    });
    let raced = account(&platform, "raced");
    assert_eq!((&raced["balance"], &raced["version"]), (&json!(0), &json!(6)));
}

#[test]
fn snapshots_are_kept_and_events_arrive_in_order_once() {
    let mut platform = start();
    for number in 1..=12 {
        assert_eq!(book(&platform, "long", &format!("k{number}"), number).0, 200);
    }
    // Kept when the sixth and the eleventh command had found five events since the last one.
    assert_eq!(account(&platform, "long"), json!({ "balance": 78, "version": 12, "snapshot": 10 }));
    platform.kill();
    platform.run(&options()).expect("the host starts again");
    assert_eq!(account(&platform, "long"), json!({ "balance": 78, "version": 12, "snapshot": 10 }));
    assert_eq!(book(&platform, "long", "last", -8), (200, json!(70)));
    let mut expected: Vec<String> =
        (1..=12).map(|number| format!("ledger.deposited {{\"amount\":{number}}}")).collect();
    expected.push("ledger.withdrawn {\"amount\":8}".to_owned());
    assert_eq!(statement(&platform, "long", 13), expected);
}

/// When and by what chance each event was projected, once there are so many.
fn moments(platform: &Platform, count: usize) -> Vec<(String, i64, String)> {
    eventually("the projection has taken all", || {
        let file = rusqlite::Connection::open(platform.data().join("sql/ledger.db")).expect("the database is there");
        let mut rows =
            file.prepare("SELECT event_id, at_ms, chance FROM ledger_moments ORDER BY event_id").expect("rows");
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("rows");
        let moments: Vec<_> = rows.collect::<Result<_, _>>().expect("a row");
        if moments.len() < count { Err(format!("{} of {count} rows", moments.len())) } else { Ok(moments) }
    })
}

#[test]
fn a_projection_sees_neither_time_nor_chance() {
    let platform = start();
    assert_eq!(book(&platform, "a", "1", 1).0, 200);
    let first = moments(&platform, 1);
    assert_eq!(book(&platform, "a", "2", 1).0, 200);
    let both = moments(&platform, 2);
    assert!(both.contains(&first[0]), "{both:?}");
    assert!(both.iter().all(|(_, at_ms, chance)| *at_ms == 0 && *chance == first[0].2), "{both:?}");
}
