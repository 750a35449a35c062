//! The actions on `weft:sql`, as bare as the interface is.

use serde_json::{Value as Json, json};
use weft_guest::bindings::weft::sql::database::{self, Transaction};
use weft_guest::sql::{Error, OperationKey, OutgoingEvent, Statement, Value};

use crate::script::{Action, End, in_turn, told};

fn owned(key: String) -> OperationKey {
    OperationKey { owner: "probe".to_string(), key }
}

/// Rows with their columns.
pub async fn query(sql: String, parameters: Vec<Value>) -> Json {
    told(database::query(sql, parameters).await.map(|rows| json!({ "columns": rows.columns, "rows": rows.rows })))
}

/// The record that is left.
pub async fn commit(key: String, fingerprint: String, statements: Vec<Statement>, events: Vec<OutgoingEvent>) -> Json {
    told(database::commit(owned(key), fingerprint, statements, events, b"done".to_vec()).await)
}

/// The record, if there is one.
pub async fn recorded(key: String) -> Json {
    told(database::recorded(owned(key)).await)
}

/// Whether the statements ran.
pub async fn revoke(key: String, statements: Vec<Statement>) -> Json {
    told(database::revoke(owned(key), statements, Vec::new()).await)
}

/// Columns, pages, rows, and the sum of the first column and of all lengths.
pub async fn cursor(sql: String, parameters: Vec<Value>, max_rows: u32) -> Json {
    told(read_all(sql, parameters, max_rows).await)
}

async fn read_all(sql: String, parameters: Vec<Value>, max_rows: u32) -> Result<Json, Error> {
    let cursor = database::open(sql, parameters).await?;
    let (mut pages, mut rows, mut largest_page, mut sum, mut bytes) = (0, 0, 0, 0_i64, 0);
    loop {
        let page = cursor.next(max_rows).await?;
        if page.is_empty() {
            break;
        }
        pages += 1;
        rows += page.len();
        largest_page = largest_page.max(page.len());
        for row in page {
            if let Some(Value::Int64(number)) = row.first() {
                sum += number;
            }
            bytes += row.iter().map(length).sum::<usize>();
        }
    }
    let columns = cursor.columns();
    Ok(
        json!({ "columns": columns, "pages": pages, "rows": rows, "largest_page": largest_page, "sum": sum, "bytes": bytes }),
    )
}

fn length(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        _ => 0,
    }
}

/// What each statement, each thing done meanwhile and the end came to.
pub async fn transaction(execute: Vec<Statement>, meanwhile: Vec<Action>, end: End) -> Json {
    let transaction = match database::begin().await {
        Ok(transaction) => transaction,
        Err(error) => return told::<(), _>(Err(error)),
    };
    let mut executed = Vec::new();
    for statement in execute {
        executed.push(told(transaction.execute(statement.sql, statement.parameters).await));
    }
    let meanwhile = in_turn(meanwhile).await;
    json!({ "executed": executed, "meanwhile": meanwhile, "end": finish(transaction, end).await })
}

async fn finish(transaction: Transaction, end: End) -> Json {
    match end {
        End::Commit => told(transaction.commit(Vec::new()).await),
        End::Rollback => told(transaction.rollback().await),
        End::Drop => {
            drop(transaction);
            Json::Null
        }
    }
}
