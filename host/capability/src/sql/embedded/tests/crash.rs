//! Processes that die: what was acknowledged is there, what was not is there as a whole or not at all, and a flush
//! stands between a commit and its acknowledgement.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::*;
use crate::events::{Append, ExpectedVersion, NewEvent};

const DIR: &str = "WEFT_TEST_SQL_DIR";
const TASKS: &str = "WEFT_TEST_SQL_TASKS";
const APPENDS: &str = "WEFT_TEST_SQL_APPENDS";
const FAILPOINT: &str = "WEFT_FAILPOINT";
const COMMITS_A_TASK: usize = 5_000;

/// The process that is killed: commits, and writes `ack <key>` for each acknowledgement.
#[test]
#[ignore = "run by the other tests as a process of its own"]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let tasks: usize = std::env::var(TASKS).unwrap().parse().unwrap();
    let failpoints = Failpoints::parse(&std::env::var(FAILPOINT).unwrap_or_default()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        // The clock of the one who opens the files again: the age of records is not what is tested.
        let clock = Arc::new(ManualClock::at_ms(START_MS));
        let context = ContextSettings { name: "school".to_owned(), migrations: None };
        let host = SqlHost::open(Path::new(&dir), &[context], clock, failpoints).unwrap();
        let database = host.database("school").unwrap();
        let store = host.events("school").unwrap();
        let appends = std::env::var_os(APPENDS).is_some();
        let committing = (0..tasks).map(|task| {
            let (database, store) = (Arc::clone(&database), Arc::clone(&store));
            tokio::spawn(async move {
                for number in 0..COMMITS_A_TASK {
                    let key = format!("{task}-{number}");
                    if appends {
                        store.append(effect(&key), vec![next(task, number)]).await.unwrap();
                    } else {
                        database.commit(effect(&key)).await.unwrap();
                    }
                    // One write, so that a kill cannot cut it in two.
                    std::io::stdout().write_all(format!("ack {key}\n").as_bytes()).unwrap();
                }
            })
        });
        futures::future::try_join_all(committing).await.unwrap();
    });
}

/// The two events of a task's stream that come after so many pairs.
fn next(task: usize, number: usize) -> Append {
    let event = |half: usize| NewEvent {
        id: Some(format!("{task}-{number}-{half}")),
        kind: "tested".to_owned(),
        topic: "tested".to_owned(),
        correlation_id: None,
        causation_id: None,
        traceparent: None,
        metadata: None,
        data: b"1".to_vec(),
    };
    let expected = ExpectedVersion::Exact(u64::try_from(number * 2).unwrap());
    Append { stream: format!("task-{task}"), expected, events: vec![event(0), event(1)] }
}

/// The command that runs [`child`] on the files of `fixture`, under `tool` if there is one.
fn child_command(fixture: &Fixture, tasks: usize, tool: &[&str]) -> Command {
    let exe = std::env::current_exe().unwrap();
    let name = format!("{}::child", module_path!().split_once("::").unwrap().1);
    let mut command = match tool {
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(exe);
            command
        }
        [] => Command::new(exe),
    };
    command.args([&name, "--exact", "--ignored", "--nocapture"]);
    command.env(DIR, fixture.dir.path()).env(TASKS, tasks.to_string()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Reads acknowledgements until `enough` or the end, kills the process, and reads what it had written by then.
fn acknowledged(mut child: Child, enough: usize) -> (Vec<String>, ExitStatus) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acks = Vec::new();
    for line in &mut lines {
        // The first one follows words of the test harness on its line.
        acks.extend(line.unwrap().split_once("ack ").map(|(_, key)| key.to_owned()));
        if acks.len() >= enough {
            break;
        }
    }
    child.kill().unwrap();
    for line in lines {
        acks.extend(line.unwrap().split_once("ack ").map(|(_, key)| key.to_owned()));
    }
    (acks, child.wait().unwrap())
}

/// A directory with a migrated database that no host has open.
fn closed() -> Fixture {
    let fixture = fixture();
    fixture.host.shutdown();
    fixture
}

/// Opens the database again. Answers the keys with a record, each of which has its effect, once.
async fn keys_after_restart(fixture: &mut Fixture) -> Vec<String> {
    fixture.host = open(fixture.dir.path(), &fixture.clock).unwrap();
    let file = rusqlite::Connection::open(fixture.dir.path().join("sql/school.db")).unwrap();
    let keys = |sql: &str| -> Vec<String> {
        let mut select = file.prepare(sql).unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let recorded = keys("SELECT key FROM weft_done ORDER BY key");
    assert_eq!(recorded, keys("SELECT key FROM effects ORDER BY key"), "record and effect land together");
    for key in &recorded {
        // Asking again changes nothing.
        fixture.database().commit(effect(key)).await.unwrap();
    }
    assert_eq!(recorded, keys("SELECT key FROM effects ORDER BY key"));
    recorded
}

#[tokio::test]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let mut fixture = closed();
    let (acks, _) = acknowledged(child_command(&fixture, 16, &[]).spawn().unwrap(), 400);
    assert!(acks.len() >= 400, "{} commits were acknowledged", acks.len());
    let recorded = keys_after_restart(&mut fixture).await;
    let lost: Vec<_> = acks.iter().filter(|key| !recorded.contains(key)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::test]
async fn kill_9_loses_no_event_and_leaves_no_half() {
    const TASKS: usize = 16;
    let mut fixture = closed();
    let (acks, _) = acknowledged(child_command(&fixture, TASKS, &[]).env(APPENDS, "1").spawn().unwrap(), 400);
    assert!(acks.len() >= 400, "{} appends were acknowledged", acks.len());
    let recorded = keys_after_restart(&mut fixture).await;
    assert!(acks.iter().all(|key| recorded.contains(key)), "what was acknowledged is there");
    let store = fixture.host.events("school").unwrap();
    let mut events = 0;
    for task in 0..TASKS {
        let stream = format!("task-{task}");
        let version = usize::try_from(store.stream_version(stream.clone()).await.unwrap()).unwrap();
        let keys = recorded.iter().filter(|key| key.starts_with(&format!("{task}-"))).count();
        assert_eq!(version, 2 * keys, "{stream}: events land with their key, both or none");
        // It goes on where it was.
        let next = next(task, keys);
        store.append(effect(&format!("{task}-{keys}")), vec![next]).await.unwrap();
        events += version + 2;
    }
    let file = rusqlite::Connection::open(fixture.dir.path().join("sql/school.db")).unwrap();
    let count = "SELECT count(*), max(e.position), sum(o.position IS NOT NULL) FROM weft_events e \
                 LEFT JOIN (SELECT position, event FROM weft_outbox) o ON o.event = e.position";
    let counts: (i64, i64, i64) = file.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let all = i64::try_from(events).unwrap();
    assert_eq!(counts, (all, all, all), "positions have no gap, and each event has its row in the outbox");
    let sent = fixture.outbox().pending(events).await.unwrap();
    assert_eq!(sent.len(), events);
}

#[tokio::test]
async fn an_abort_at_a_commit_leaves_all_or_nothing() {
    for (failpoint, kept) in [("sql.before-commit:3", 2), ("sql.after-commit:3", 3)] {
        let mut fixture = closed();
        let mut command = child_command(&fixture, 1, &[]);
        let (acks, status) = acknowledged(command.env(FAILPOINT, failpoint).spawn().unwrap(), usize::MAX);
        assert!(!status.success(), "{failpoint}");
        assert_eq!(acks, ["0-0", "0-1"], "{failpoint}");
        let recorded = keys_after_restart(&mut fixture).await;
        assert_eq!(recorded, ["0-0", "0-1", "0-2"][..kept], "{failpoint}");
    }
}

#[tokio::test]
async fn a_flush_stands_between_commit_and_acknowledgement() {
    let fixture = closed();
    let trace = fixture.dir.path().join("trace");
    let tool = ["strace", "-f", "-y", "-e", "trace=write,pwrite64,fdatasync,fsync", "-o", trace.to_str().unwrap()];
    let child = match child_command(&fixture, 1, &tool).spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("SKIPPED: a_flush_stands_between_commit_and_acknowledgement: strace: {error}");
            return;
        }
    };
    let (acks, _) = acknowledged(child, 50);
    assert!(acks.len() >= 50, "strace runs the process: {} commits were acknowledged", acks.len());
    let checked = check_trace(&std::fs::read_to_string(trace).unwrap());
    assert!(checked >= 50, "{checked} acknowledgements are in the trace");
}

/// Follows the writes of a process that commits one after the other. Answers how many acknowledgements it has; each
/// has to come after a write to the log and a flush of that log that has returned.
fn check_trace(trace: &str) -> usize {
    let (mut written, mut flushed, mut acks) = (false, false, 0);
    let mut flushing = std::collections::HashSet::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        let on_log = call.contains("school.db-wal>");
        let is_flush = call.starts_with("fdatasync(") || call.starts_with("fsync(");
        if call.starts_with("pwrite64(") && on_log {
            (written, flushed) = (true, false);
        } else if is_flush && on_log && call.contains("<unfinished") {
            flushing.insert(thread);
        } else if (is_flush && on_log) || (call.contains("sync resumed>") && flushing.remove(thread)) {
            flushed = call.ends_with("= 0");
        } else if call.starts_with("write(1") && call.contains("\"ack ") {
            assert!(written && flushed, "acknowledgement {acks} stands before its flush: {line}");
            (written, flushed, acks) = (false, false, acks + 1);
        }
    }
    acks
}
