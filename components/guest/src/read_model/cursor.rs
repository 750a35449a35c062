//! Where a page ends: the sort that it has and the values of its last row, opaque to clients. It names values and not a
//! number of rows, so that rows that come or go in between move nothing.

use super::parse::{Order, Query};
use super::{Column, Kind, ReadModel};
use crate::cursor;
use crate::sql::{Error, Row, Value};

/// The cursor after `row`, which has the columns of the sort.
pub(super) fn of(model: &ReadModel, query: &Query, row: &Row) -> Result<String, Error> {
    let orders = query.order(model);
    let mut parts = vec![spelled(&orders)];
    for order in &orders {
        parts.push(text(order.column, row.value(order.column.name)?)?);
    }
    // As JSON: a value may have any character. Texts alone cannot fail.
    let parts = serde_json::to_string(&parts).unwrap_or_default();
    Ok(cursor::encode(&[&parts]))
}

/// The values that the page begins after; `None` if this is no cursor of this sort.
pub(super) fn read(given: &str, orders: &[Order]) -> Option<Vec<Value>> {
    let [parts] = cursor::decode::<1>(given)?;
    let parts: Vec<String> = serde_json::from_str(&parts).ok()?;
    let (sort, values) = parts.split_first()?;
    if *sort != spelled(orders) || values.len() != orders.len() {
        return None;
    }
    orders.iter().zip(values).map(|(order, text)| value(order.column, text)).collect()
}

fn spelled(orders: &[Order]) -> String {
    let one = |order: &Order| format!("{}{}", if order.descending { "-" } else { "" }, order.column.name);
    orders.iter().map(one).collect::<Vec<_>>().join(",")
}

fn text(column: &Column, value: &Value) -> Result<String, Error> {
    Ok(match value {
        Value::Text(text) => text.clone(),
        Value::Int64(number) => number.to_string(),
        // The shortest text that is read as the same number again.
        Value::Float64(number) => format!("{number:?}"),
        Value::Boolean(value) => i64::from(*value).to_string(),
        Value::Null | Value::Blob(_) => {
            return Err(Error::Invalid(format!("column {} is sorted by and is not NOT NULL", column.name)));
        }
    })
}

fn value(column: &Column, text: &str) -> Option<Value> {
    match column.kind {
        Kind::Text | Kind::OneOf(_) => (!text.contains('\0')).then(|| Value::from(text)),
        Kind::Integer => text.parse().ok().map(Value::Int64),
        Kind::Number => text.parse().ok().filter(|number: &f64| !number.is_nan()).map(Value::Float64),
        Kind::Boolean => matches!(text, "0" | "1").then(|| Value::Boolean(text == "1")),
        Kind::Json => None,
    }
}
