//! Interactive transactions: held open, committed, rolled back in every way.

use super::{Backend, SqlError, Value, commit, event, one, past_its_time, statement, text};
use crate::sql::{ConstraintKind, Transaction};

pub(super) async fn run(backend: &dyn Backend) {
    a_transaction_commits(backend).await;
    a_transaction_is_rolled_back(backend).await;
    a_transaction_ends_with_its_time(backend).await;
    a_failed_statement_undoes_itself_alone(backend).await;
    others_wait_for_an_open_one(backend).await;
}

const COUNT: &str = "SELECT COUNT(*) FROM items WHERE id = $1";

async fn begin(backend: &dyn Backend) -> Box<dyn Transaction> {
    backend.database().begin("conformance".into()).await.unwrap()
}

async fn insert(transaction: &mut dyn Transaction, id: &str) -> Result<u64, SqlError> {
    transaction.execute("INSERT INTO items (id) VALUES ($1)".to_owned(), vec![text(id)]).await
}

async fn count(backend: &dyn Backend, id: &str) -> Value {
    one(&*backend.database(), COUNT, [text(id)]).await
}

async fn a_transaction_commits(backend: &dyn Backend) {
    let mut transaction = begin(backend).await;
    assert_eq!(insert(&mut *transaction, "kept").await, Ok(1));
    let rows = transaction.query(COUNT.to_owned(), vec![text("kept")]).await.unwrap();
    assert_eq!(rows.rows, [[Value::Int64(1)]], "it reads its own writes");
    assert_eq!(count(backend, "kept").await, Value::Int64(0), "others do not yet");
    let update = "UPDATE items SET amount = amount + $1 WHERE id = $2 RETURNING amount";
    let rows = transaction.query(update.to_owned(), vec![Value::Int64(5), text("kept")]).await.unwrap();
    assert_eq!(rows.rows, [[Value::Int64(5)]]);
    transaction.commit(vec![event("tested.transaction", "1")]).await.unwrap();
    assert_eq!(one(&*backend.database(), "SELECT amount FROM items WHERE id = 'kept'", []).await, Value::Int64(5));
    let outbox = backend.outbox();
    let sent = outbox.pending(10).await.unwrap();
    assert_eq!(sent.last().unwrap().topic, "tested.transaction");
    outbox.forwarded(sent.last().unwrap().position).await.unwrap();
}

async fn a_transaction_is_rolled_back(backend: &dyn Backend) {
    let mut transaction = begin(backend).await;
    insert(&mut *transaction, "dropped").await.unwrap();
    drop(transaction);
    let mut transaction = begin(backend).await;
    insert(&mut *transaction, "rolled back").await.unwrap();
    transaction.rollback().await.unwrap();
    let mut transaction = begin(backend).await;
    insert(&mut *transaction, "bad event").await.unwrap();
    assert!(matches!(transaction.commit(vec![event("no topic", "1")]).await, Err(SqlError::Invalid(_))));
    for id in ["dropped", "rolled back", "bad event"] {
        // The next one comes only after the last has ended.
        begin(backend).await.rollback().await.unwrap();
        assert_eq!(count(backend, id).await, Value::Int64(0), "{id}");
    }
}

async fn a_transaction_ends_with_its_time(backend: &dyn Backend) {
    let mut transaction = begin(backend).await;
    insert(&mut *transaction, "late").await.unwrap();
    let next = past_its_time(backend, async {
        loop {
            // The clock may pass before it is this one's turn.
            match backend.database().begin("conformance".into()).await {
                Err(SqlError::Unavailable { .. }) => {}
                begun => return begun.map(drop),
            }
        }
    });
    assert_eq!(next.await, Ok(()), "the writer came free");
    assert_eq!(insert(&mut *transaction, "later").await, Err(SqlError::TransactionClosed));
    assert_eq!(transaction.commit(vec![]).await, Err(SqlError::TransactionClosed));
    assert_eq!(count(backend, "late").await, Value::Int64(0));
}

async fn a_failed_statement_undoes_itself_alone(backend: &dyn Backend) {
    let mut transaction = begin(backend).await;
    insert(&mut *transaction, "first").await.unwrap();
    let again = insert(&mut *transaction, "first").await;
    assert!(matches!(again, Err(SqlError::Constraint { kind: ConstraintKind::Unique, .. })), "{again:?}");
    insert(&mut *transaction, "second").await.unwrap();
    transaction.commit(vec![]).await.unwrap();
    assert_eq!(count(backend, "first").await, Value::Int64(1));
    assert_eq!(count(backend, "second").await, Value::Int64(1));
}

async fn others_wait_for_an_open_one(backend: &dyn Backend) {
    let mut transaction = begin(backend).await;
    let database = backend.database();
    let other = statement("INSERT INTO items (id) VALUES ('held') ON CONFLICT (id) DO NOTHING", []);
    let mut waiting = database.commit(commit("held", [other.expecting(0)]));
    assert!(futures::future::poll_immediate(&mut waiting).await.is_none());
    insert(&mut *transaction, "held").await.unwrap();
    transaction.commit(vec![]).await.unwrap();
    waiting.await.unwrap();
}
