//! Limits that only show under pressure: queues, a full disk, the age of records.

use futures::future::{join_all, poll_immediate};

use super::super::session::{Role, Session};
use super::super::{Embedded, schema};
use super::*;

fn small(queue: usize) -> (Fixture, SqlSettings) {
    let settings = SqlSettings { queue, readers: 2, cursors: 1, ..SqlSettings::default() };
    let mut fixture = fixture();
    fixture.host.shutdown();
    let context = ContextSettings { name: "school".to_owned(), migrations: None };
    let clock = Arc::clone(&fixture.clock) as _;
    fixture.host = SqlHost::open_with(fixture.dir.path(), &[context], clock, Failpoints::none(), &settings).unwrap();
    (fixture, settings)
}

fn overloaded<T>(result: &Result<T, SqlError>) -> bool {
    matches!(result, Err(SqlError::Unavailable { maybe_done: false, reason: weft_core::Reason::Overloaded, .. }))
}

#[tokio::test]
async fn queues_are_bounded_and_waiting_ends() {
    let (fixture, settings) = small(3);
    let database = fixture.database();
    let transaction = database.begin("test".into()).await.unwrap();
    let mut waiting: Vec<_> = (0..3).map(|n| database.commit(effect(&n.to_string()))).collect();
    for commit in &mut waiting {
        assert!(poll_immediate(commit).await.is_none());
    }
    assert!(overloaded(&database.commit(effect("one too many")).await));
    // One cursor may be open here, and the second waits for it until its time has passed.
    let cursor = database.open("SELECT 1".to_owned(), vec![]).await.unwrap();
    let mut second = database.open("SELECT 1".to_owned(), vec![]);
    assert!(poll_immediate(&mut second).await.is_none());
    fixture.advance(Duration::from_millis(settings.acquire_ms));
    assert!(overloaded(&second.await.map(drop)));
    // By now the transaction's time has passed too; whoever waited gave up or was served, but never half.
    let results = join_all(waiting).await;
    assert!(results.iter().all(|result| result.is_ok() || overloaded(result)), "{results:?}");
    drop((cursor, transaction));
    let done = i64::try_from(results.iter().filter(|result| result.is_ok()).count()).unwrap();
    while let Err(error) = database.commit(effect("after")).await {
        // Who gave up keeps a place until the writer comes by.
        assert!(overloaded(&Err::<(), _>(error)));
        tokio::task::yield_now().await;
    }
    assert_eq!(count(&*database, "effects").await, done + 1);
}

#[tokio::test]
async fn a_call_that_was_given_up_does_not_begin() {
    let fixture = fixture();
    let database = fixture.database();
    let transaction = database.begin("test".into()).await.unwrap();
    let mut dropped = database.commit(effect("dropped"));
    assert!(poll_immediate(&mut dropped).await.is_none());
    drop(dropped);
    transaction.rollback().await.unwrap();
    database.commit(effect("kept")).await.unwrap();
    assert_eq!(count(&*database, "effects").await, 1);
}

#[tokio::test]
async fn a_full_disk_refuses_one_commit_and_spares_the_others() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("full.db");
    let clock: Arc<dyn weft_core::Clock> = Arc::new(ManualClock::at_ms(START_MS));
    let session = Session::open(&path, Role::Writer, Arc::clone(&clock)).unwrap();
    schema::ensure(session.host()).unwrap();
    session.host().execute_batch("CREATE TABLE effects (key TEXT, value BIGINT); PRAGMA max_page_count = 50").unwrap();
    let context = ContextSettings { name: "full".to_owned(), migrations: None };
    let database =
        Embedded::start(&context, path, session, (SqlSettings::default(), clock, Failpoints::none())).unwrap();
    let large = || commit("large", "INSERT INTO effects (key) VALUES ($1)", vec![Value::Text("x".repeat(500_000))]);
    // Held back by a transaction, they come as one group.
    let transaction = database.begin("test".into()).await.unwrap();
    let calls = [effect("before"), large(), effect("after")].map(|commit| database.commit(commit));
    let both = async { futures::join!(join_all(calls), transaction.rollback()) };
    let (results, _) = both.await;
    let full = results[1].as_ref().unwrap_err();
    assert!(full.to_string().contains("the disk is full") && full.is_retryable(), "{full}");
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    assert_eq!(count(&database, "effects").await, 2);
    database.close();
    database.join();
}

#[tokio::test]
async fn records_are_kept_for_thirty_days() {
    let fixture = fixture();
    let database = fixture.database();
    let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
    let revoke = |key: &str| {
        let key = OperationKey::new("test", key);
        database.revoke(crate::sql::Revocation { key, statements: vec![], events: vec![] })
    };
    let recorded = |key: &str| database.recorded(OperationKey::new("test", key));
    // More than one batch of the cleanup.
    for first in (0..1_200).step_by(100) {
        let commits = (first..first + 100).map(|n| database.commit(effect(&format!("old-{n}"))));
        assert!(join_all(commits).await.iter().all(Result::is_ok));
    }
    database.commit(effect("undone")).await.unwrap();
    fixture.advance(days(20));
    revoke("undone").await.unwrap();
    fixture.advance(days(10));
    database.commit(effect("exactly thirty days")).await.unwrap();
    assert!(recorded("old-0").await.unwrap().is_some(), "thirty days are not more than thirty days");
    fixture.advance(days(1));
    for n in 0..4 {
        database.commit(effect(&format!("new-{n}"))).await.unwrap();
    }
    for old in ["old-0", "old-600", "old-1199"] {
        assert_eq!(recorded(old).await, Ok(None), "{old}");
    }
    assert_eq!(recorded("undone").await, Err(SqlError::Revoked), "a tombstone's age begins with the revocation");
    assert!(recorded("exactly thirty days").await.unwrap().is_some());
    fixture.advance(days(21));
    database.commit(effect("last")).await.unwrap();
    assert_eq!(recorded("undone").await, Ok(None));
}
