//! What a function's SQL may not do, by whatever way it comes.

use adapter_store::bindings::weft::sql::types::{Error, Value};

use crate::harness::*;

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
    "SELECT * FROM \"weft_log\"",
    "INSERT INTO Weft_Done (owner) VALUES ('x')",
    "UPDATE weft_log SET topic = 'x'",
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
    "SELECT nothing FROM items",
    "",
];

#[test]
fn refused_everywhere() {
    let (mut store, _) = store();
    let cases = DENIED.iter().map(|sql| (*sql, true)).chain(INVALID.iter().map(|sql| (*sql, false)));
    for (index, (sql, denied)) in cases.enumerate() {
        let as_expected = |error: &Error| match error {
            Error::Denied(_) => denied,
            Error::Invalid(_) => !denied,
            _ => false,
        };
        let read = store.query(sql, &[]).unwrap_err();
        assert!(as_expected(&read), "query {sql}: {read:?}");
        let opened = store.read_whole(sql, &[]).unwrap_err();
        assert!(as_expected(&opened), "open {sql}: {opened:?}");
        let committed = commit(&mut store, &format!("refused-{index}"), vec![statement(sql, [])]).unwrap_err();
        assert!(as_expected(&committed), "commit {sql}: {committed:?}");
        let transaction = store.begin().unwrap();
        let executed = store.execute_in(transaction, sql, &[]).unwrap_err();
        assert!(as_expected(&executed), "execute {sql}: {executed:?}");
        let queried = store.query_in(transaction, sql, &[]).unwrap_err();
        assert!(as_expected(&queried), "query in {sql}: {queried:?}");
        store.rollback_in(transaction).unwrap();
    }
    assert_eq!(one(&mut store, "SELECT COUNT(*) FROM items", &[]), Value::Int64(0));
}

#[test]
fn a_query_changes_nothing() {
    let (mut store, _) = store();
    for sql in [
        "INSERT INTO items (id) VALUES ('no')",
        "DELETE FROM items RETURNING id",
        "UPDATE items SET amount = 1",
        "WITH a AS (SELECT 1) INSERT INTO items (id) SELECT 'no' FROM a",
    ] {
        assert!(matches!(store.query(sql, &[]), Err(Error::Denied(_))), "{sql}");
        assert!(matches!(store.read_whole(sql, &[]), Err(Error::Denied(_))), "{sql}");
    }
}
