//! Interactive transactions: held open, committed, rolled back in every way.

use adapter_store::TRANSACTION_MS;
use adapter_store::bindings::weft::sql::types::{ConstraintKind, Error, Value};

use crate::harness::*;

const COUNT: &str = "SELECT COUNT(*) FROM items WHERE id = $1";

fn insert(store: &mut TestStore, transaction: u64, id: &str) -> Result<u64, Error> {
    store.execute_in(transaction, "INSERT INTO items (id) VALUES ($1)", &[text(id)])
}

#[test]
fn a_transaction_commits() {
    let (mut store, _) = store();
    let transaction = store.begin().unwrap();
    assert_eq!(insert(&mut store, transaction, "kept"), Ok(1));
    let rows = store.query_in(transaction, COUNT, &[text("kept")]).unwrap();
    assert_eq!(rows.rows, [[Value::Int64(1)]], "it reads its own writes");
    assert_eq!(store.execute_in(transaction, "SELECT 1", &[]), Ok(0));
    let update = "UPDATE items SET amount = amount + $1 WHERE id = $2 RETURNING amount";
    let rows = store.query_in(transaction, update, &[Value::Int64(5), text("kept")]).unwrap();
    assert_eq!(rows.rows, [[Value::Int64(5)]]);
    assert_eq!(store.query(COUNT, &[text("kept")]), Err(Error::TransactionOpen));
    assert_eq!(commit(&mut store, "beside", vec![]), Err(Error::TransactionOpen));
    assert_eq!(store.begin(), Err(Error::TransactionOpen));
    store.commit_in(transaction, &[outgoing("tested.transaction", "1")]).unwrap();
    assert_eq!(one(&mut store, "SELECT amount FROM items WHERE id = 'kept'", &[]), Value::Int64(5));
    assert_eq!(log(&store), [("tested.transaction".to_owned(), "1".to_owned())]);
    assert_eq!(store.commit_in(transaction, &[]), Err(Error::TransactionClosed));
}

#[test]
fn a_transaction_is_rolled_back() {
    let (mut store, _) = store();
    let transaction = store.begin().unwrap();
    insert(&mut store, transaction, "rolled back").unwrap();
    store.rollback_in(transaction).unwrap();
    let transaction = store.begin().unwrap();
    insert(&mut store, transaction, "bad event").unwrap();
    assert!(matches!(store.commit_in(transaction, &[outgoing("no topic", "1")]), Err(Error::Invalid(_))));
    for id in ["rolled back", "bad event"] {
        assert_eq!(one(&mut store, COUNT, &[text(id)]), Value::Int64(0), "{id}");
    }
    assert_eq!(store.rollback_in(transaction), Err(Error::TransactionClosed));
}

#[test]
fn a_transaction_ends_with_its_time() {
    let (mut store, clock) = store();
    let transaction = store.begin().unwrap();
    insert(&mut store, transaction, "late").unwrap();
    clock.advance(TRANSACTION_MS);
    assert_eq!(insert(&mut store, transaction, "later"), Err(Error::TransactionClosed));
    assert_eq!(store.commit_in(transaction, &[]), Err(Error::TransactionClosed));
    let transaction = store.begin().unwrap();
    insert(&mut store, transaction, "late").unwrap();
    clock.advance(TRANSACTION_MS);
    assert_eq!(one(&mut store, COUNT, &[text("late")]), Value::Int64(0), "what comes next finds it ended");
}

#[test]
fn a_failed_statement_undoes_itself_alone() {
    let (mut store, _) = store();
    let transaction = store.begin().unwrap();
    insert(&mut store, transaction, "first").unwrap();
    let again = insert(&mut store, transaction, "first");
    assert!(
        matches!(&again, Err(Error::Constraint(violation)) if violation.kind == ConstraintKind::Unique),
        "{again:?}"
    );
    insert(&mut store, transaction, "second").unwrap();
    store.commit_in(transaction, &[]).unwrap();
    assert_eq!(one(&mut store, "SELECT COUNT(*) FROM items", &[]), Value::Int64(2));
}
