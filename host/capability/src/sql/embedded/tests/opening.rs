//! Opening and closing: migrations, files that are not fit, and what stays.

use super::*;
use crate::sql::conformance::MIGRATION;

/// What opening `dir` says, once it has refused.
fn refusal(dir: &Path) -> String {
    match open(dir, &Arc::new(ManualClock::at_ms(START_MS))) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

fn opened(dir: &Path) -> SqlHost {
    open(dir, &Arc::new(ManualClock::at_ms(START_MS))).unwrap()
}

#[tokio::test]
async fn migrations_run_once_and_in_order() {
    let dir = TempDir::new().unwrap();
    let add =
        "-- the second needs the first\nINSERT INTO effects VALUES ('migrated', 1); CREATE INDEX e ON effects (key);";
    migrations(dir.path(), &[("0002_add.sql", add), ("0001_create.sql", MIGRATION), ("README.md", "not one")]);
    opened(dir.path()).shutdown();
    migrations(dir.path(), &[("0010_change.sql", "ALTER TABLE items ADD COLUMN more TEXT; DROP TABLE numbers;")]);
    let host = opened(dir.path());
    let database = host.database("school").unwrap();
    assert_eq!(count(&*database, "effects").await, 1);
    assert_eq!(database.query("SELECT more FROM items".to_owned(), vec![]).await.unwrap().rows, Vec::<Vec<_>>::new());
    host.shutdown();
}

#[test]
fn a_changed_history_is_refused() {
    let dir = TempDir::new().unwrap();
    migrations(dir.path(), &[("0002_create.sql", MIGRATION)]);
    opened(dir.path()).shutdown();
    migrations(dir.path(), &[("0001_late.sql", "CREATE TABLE late (a TEXT)")]);
    let late = refusal(dir.path());
    assert!(late.contains("0001_late.sql") && late.contains("higher number"), "{late}");
    std::fs::remove_file(dir.path().join("migrations/0001_late.sql")).unwrap();
    migrations(dir.path(), &[("0002_create.sql", "CREATE TABLE other (a TEXT)")]);
    let changed = refusal(dir.path());
    assert!(changed.contains("0002_create.sql") && changed.contains("changed after"), "{changed}");
    std::fs::remove_file(dir.path().join("migrations/0002_create.sql")).unwrap();
    let gone = refusal(dir.path());
    assert!(gone.contains("migration 0002") && gone.contains("gone"), "{gone}");
    migrations(dir.path(), &[("0002_create.sql", MIGRATION)]);
    opened(dir.path()).shutdown();
}

#[tokio::test]
async fn a_bad_migration_is_named_and_leaves_nothing() {
    for (name, sql, says) in [
        ("2_x.sql", "SELECT 1", "NNNN_name.sql"),
        ("0001_twin.sql", "SELECT 1", "same number"),
        ("0002_x.sql", "CREATE TABLE fine (a TEXT); CREATE TABEL x (a TEXT)", "TABEL"),
        ("0002_x.sql", "CREATE TABLE fine (a TEXT); SELECT '1'::text", "CAST"),
        ("0002_x.sql", "CREATE TABLE fine (a TEXT); ATTACH 'x.db' AS x", "denied"),
        ("0002_x.sql", "CREATE TABLE fine (a TEXT); PRAGMA user_version = 9", "denied"),
        ("0002_x.sql", "CREATE TABLE fine (a TEXT); COMMIT", "denied"),
        ("0002_x.sql", "CREATE TABLE fine (a TEXT); DELETE FROM weft_done", "denied"),
        ("0002_x.sql", "CREATE TABLE fine (a TEXT); DROP TABLE weft_outbox", "denied"),
        ("0002_x.sql", "CREATE TABLE weft_mine (a TEXT)", "denied"),
        ("0002_x.sql", "CREATE TRIGGER t AFTER INSERT ON weft_done BEGIN DELETE FROM effects; END", "denied"),
    ] {
        let dir = TempDir::new().unwrap();
        migrations(dir.path(), &[("0001_create.sql", MIGRATION), (name, sql)]);
        let refused = refusal(dir.path());
        assert!(refused.contains(says) && refused.contains("`school`"), "{sql}: {refused}");
        assert!(refused.contains(name) || says == "same number", "{sql}: {refused}");
        std::fs::remove_file(dir.path().join("migrations").join(name)).unwrap();
        let host = opened(dir.path());
        let fine = host.database("school").unwrap().query("SELECT * FROM fine".to_owned(), vec![]).await;
        assert!(matches!(fine, Err(SqlError::Invalid(_))), "{sql}: {fine:?}");
        host.shutdown();
    }
    let dir = TempDir::new().unwrap();
    assert!(refusal(dir.path()).contains("migrations"), "the folder is missing");
}

#[test]
fn unfit_files_are_named() {
    let dir = TempDir::new().unwrap();
    migrations(dir.path(), &[("0001_create.sql", MIGRATION)]);
    opened(dir.path()).shutdown();
    let file = dir.path().join("sql/school.db");
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let locked = refusal(dir.path());
    assert!(locked.contains("school.db") && locked.contains("another process"), "{locked}");
    other.execute_batch("ROLLBACK; PRAGMA user_version = 3").unwrap();
    drop(other);
    let newer = refusal(dir.path());
    assert!(newer.contains("school.db") && newer.contains("format 3"), "{newer}");
    std::fs::write(&file, "this is no database, but a text that is long enough to have a header".repeat(100)).unwrap();
    let damaged = refusal(dir.path());
    assert!(damaged.contains("school.db") && damaged.contains("damaged"), "{damaged}");
}

#[test]
fn names_of_contexts_are_checked() {
    let dir = TempDir::new().unwrap();
    for name in ["", "A", "../x", "a/b", "1a", "a.b", &"a".repeat(65)] {
        let context = ContextSettings { name: name.to_owned(), migrations: None };
        let clock = Arc::new(ManualClock::default());
        let opened = SqlHost::open(dir.path(), &[context], clock, Failpoints::none());
        assert!(matches!(opened, Err(OpenError::Name(_))), "{name}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let mut fixture = fixture();
    let mut eventful = effect("kept");
    eventful.events = ["a", "b"]
        .map(|name| crate::sql::OutgoingEvent {
            topic: name.to_owned(),
            kind: "tested".to_owned(),
            data: b"1".to_vec(),
            ..crate::sql::OutgoingEvent::default()
        })
        .to_vec();
    let record = fixture.database().commit(eventful).await.unwrap();
    let sent = fixture.outbox().pending(10).await.unwrap();
    fixture.outbox().forwarded(sent[0].position).await.unwrap();
    let transaction = fixture.database().begin("test".into()).await.unwrap();
    fixture.host.shutdown();
    assert_eq!(transaction.commit(vec![]).await, Err(SqlError::TransactionClosed));
    let closed = fixture.database().commit(effect("late")).await;
    assert!(matches!(closed, Err(SqlError::Unavailable { maybe_done: false, .. })), "{closed:?}");
    fixture.host = open(fixture.dir.path(), &fixture.clock).unwrap();
    let key = OperationKey::new("test", "kept");
    assert_eq!(fixture.database().recorded(key).await, Ok(Some(record)));
    fixture.outbox().changed().await;
    assert_eq!(fixture.outbox().pending(10).await.unwrap(), sent[1..]);
}
