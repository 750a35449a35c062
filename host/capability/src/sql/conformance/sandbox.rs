//! What a function's SQL may not do, by whatever way it comes.

use super::{Backend, commit, one, past_its_time, query, statement};
use crate::sql::{SqlError, Value};

pub(super) async fn run(backend: &dyn Backend) {
    refused_everywhere(backend).await;
    a_query_changes_nothing(backend).await;
    endless_statements_are_interrupted(backend).await;
}

const DENIED: [&str; 19] = [
    "ATTACH DATABASE 'other.db' AS other",
    "DETACH DATABASE main",
    "PRAGMA user_version",
    "PRAGMA journal_mode = DELETE",
    "VACUUM INTO 'copy.db'",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT a",
    "RELEASE a",
    "CREATE TABLE mine (a TEXT)",
    "CREATE TEMP TABLE mine (a TEXT)",
    "DROP TABLE items",
    "ALTER TABLE items ADD COLUMN more TEXT",
    "SELECT * FROM weft_done",
    "SELECT * FROM \"weft_outbox\"",
    "INSERT INTO Weft_Done (owner) VALUES ('x')",
    "UPDATE weft_outbox SET topic = 'x'",
    "DELETE FROM items WHERE id IN (SELECT key FROM weft_done)",
];

const INVALID: [&str; 9] = [
    "SELECT 1; DELETE FROM items",
    "SELECT n::text FROM numbers",
    "SELECT ?",
    "SELECT :name",
    "SELECT @name",
    "SELECT nothing FROM nowhere",
    "SELEKT 1",
    "SELECT \"no such column\" FROM items",
    "",
];

async fn refused_everywhere(backend: &dyn Backend) {
    let database = backend.database();
    let cases = DENIED.iter().map(|sql| (*sql, true)).chain(INVALID.iter().map(|sql| (*sql, false)));
    for (index, (sql, denied)) in cases.enumerate() {
        let as_expected = |error: &SqlError| match error {
            SqlError::Denied(_) => denied,
            SqlError::Invalid(_) => !denied,
            _ => false,
        };
        let read = query(&*database, sql, []).await.unwrap_err();
        assert!(as_expected(&read), "query {sql}: {read:?}");
        let opened = database.open(sql.to_owned(), vec![]).await.map(drop).unwrap_err();
        assert!(as_expected(&opened), "open {sql}: {opened:?}");
        let committed = database.commit(commit(&format!("refused-{index}"), [statement(sql, [])])).await.unwrap_err();
        assert!(as_expected(&committed), "commit {sql}: {committed:?}");
        assert!(!committed.is_retryable());
        let mut transaction = database.begin("conformance".into()).await.unwrap();
        let executed = transaction.execute(sql.to_owned(), vec![]).await.unwrap_err();
        assert!(as_expected(&executed), "execute {sql}: {executed:?}");
        transaction.rollback().await.unwrap();
    }
    assert_eq!(one(&*database, "SELECT COUNT(*) FROM items WHERE id = 'no'", []).await, Value::Int64(0));
}

async fn a_query_changes_nothing(backend: &dyn Backend) {
    let database = backend.database();
    for sql in ["INSERT INTO items (id) VALUES ('no')", "DELETE FROM items RETURNING id", "UPDATE items SET amount = 1"]
    {
        assert!(matches!(query(&*database, sql, []).await, Err(SqlError::Denied(_))), "{sql}");
        assert!(matches!(database.open(sql.to_owned(), vec![]).await.map(drop), Err(SqlError::Denied(_))), "{sql}");
    }
}

async fn endless_statements_are_interrupted(backend: &dyn Backend) {
    let database = backend.database();
    let endless = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT COUNT(*) FROM c";
    let stopped = past_its_time(backend, async {
        loop {
            match query(&*database, endless, []).await {
                // The clock may pass before a thread has taken the query.
                Err(SqlError::Unavailable { .. }) => {}
                other => return other,
            }
        }
    });
    assert!(matches!(stopped.await, Err(SqlError::TooLarge(_))));
    let write = "INSERT INTO numbers (n) \
                 WITH RECURSIVE c (n) AS (SELECT 1000000 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c";
    // A neighbour in the same group loses nothing by it.
    let neighbour = commit("endless-neighbour", [statement("INSERT INTO items (id) VALUES ('neighbour')", [])]);
    let both = async {
        loop {
            let endless = database.commit(commit("endless", [statement(write, [])]));
            let (endless, neighbour) = futures::join!(endless, database.commit(neighbour.clone()));
            match (endless, neighbour) {
                (Err(SqlError::Unavailable { .. }), _) | (_, Err(SqlError::Unavailable { .. })) => {}
                both => return both,
            }
        }
    };
    let (endless, neighbour) = past_its_time(backend, both).await;
    assert!(matches!(endless, Err(SqlError::TooLarge(_))), "{endless:?}");
    assert!(neighbour.is_ok(), "{neighbour:?}");
    assert_eq!(one(&*database, "SELECT COUNT(*) FROM items WHERE id = 'neighbour'", []).await, Value::Int64(1));
    assert_eq!(one(&*database, "SELECT COUNT(*) FROM numbers WHERE n >= 1000000", []).await, Value::Int64(0));
}
