//! Values between `spin:postgres@4.2.0` and this capability: one for one.

use super::bindings::spin::postgres::postgres as wit;
use crate::postgres::{BoundKind, Column, DataType, DatabaseError, Error, Interval, Range, RowSet, Value};

impl From<wit::ParameterValue> for Value {
    fn from(value: wit::ParameterValue) -> Self {
        match value {
            wit::ParameterValue::Boolean(value) => Self::Boolean(value),
            wit::ParameterValue::Int8(value) => Self::Int8(value),
            wit::ParameterValue::Int16(value) => Self::Int16(value),
            wit::ParameterValue::Int32(value) => Self::Int32(value),
            wit::ParameterValue::Int64(value) => Self::Int64(value),
            wit::ParameterValue::Floating32(value) => Self::Floating32(value),
            wit::ParameterValue::Floating64(value) => Self::Floating64(value),
            wit::ParameterValue::Str(value) => Self::Str(value),
            wit::ParameterValue::Binary(value) => Self::Binary(value),
            wit::ParameterValue::Date(value) => Self::Date(value),
            wit::ParameterValue::Time(value) => Self::Time(value),
            wit::ParameterValue::Datetime(value) => Self::Datetime(value),
            wit::ParameterValue::Timestamp(value) => Self::Timestamp(value),
            wit::ParameterValue::Uuid(value) => Self::Uuid(value),
            wit::ParameterValue::Jsonb(value) => Self::Jsonb(value),
            wit::ParameterValue::Decimal(value) => Self::Decimal(value),
            wit::ParameterValue::RangeInt32(value) => Self::RangeInt32(range(value)),
            wit::ParameterValue::RangeInt64(value) => Self::RangeInt64(range(value)),
            wit::ParameterValue::RangeDecimal(value) => Self::RangeDecimal(range(value)),
            wit::ParameterValue::ArrayInt32(value) => Self::ArrayInt32(value),
            wit::ParameterValue::ArrayInt64(value) => Self::ArrayInt64(value),
            wit::ParameterValue::ArrayDecimal(value) => Self::ArrayDecimal(value),
            wit::ParameterValue::ArrayStr(value) => Self::ArrayStr(value),
            wit::ParameterValue::Interval(value) => Self::Interval(value.into()),
            wit::ParameterValue::DbNull => Self::Null,
        }
    }
}

impl From<Value> for wit::DbValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::DbNull,
            Value::Boolean(value) => Self::Boolean(value),
            Value::Int8(value) => Self::Int8(value),
            Value::Int16(value) => Self::Int16(value),
            Value::Int32(value) => Self::Int32(value),
            Value::Int64(value) => Self::Int64(value),
            Value::Floating32(value) => Self::Floating32(value),
            Value::Floating64(value) => Self::Floating64(value),
            Value::Str(value) => Self::Str(value),
            Value::Binary(value) => Self::Binary(value),
            Value::Date(value) => Self::Date(value),
            Value::Time(value) => Self::Time(value),
            Value::Datetime(value) => Self::Datetime(value),
            Value::Timestamp(value) => Self::Timestamp(value),
            Value::Uuid(value) => Self::Uuid(value),
            Value::Jsonb(value) => Self::Jsonb(value),
            Value::Decimal(value) => Self::Decimal(value),
            Value::RangeInt32(value) => Self::RangeInt32(wit_range(value)),
            Value::RangeInt64(value) => Self::RangeInt64(wit_range(value)),
            Value::RangeDecimal(value) => Self::RangeDecimal(wit_range(value)),
            Value::ArrayInt32(value) => Self::ArrayInt32(value),
            Value::ArrayInt64(value) => Self::ArrayInt64(value),
            Value::ArrayDecimal(value) => Self::ArrayDecimal(value),
            Value::ArrayStr(value) => Self::ArrayStr(value),
            Value::Interval(value) => Self::Interval(value.into()),
            Value::Unsupported(value) => Self::Unsupported(value),
        }
    }
}

impl From<DataType> for wit::DbDataType {
    fn from(kind: DataType) -> Self {
        match kind {
            DataType::Boolean => Self::Boolean,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::Floating32 => Self::Floating32,
            DataType::Floating64 => Self::Floating64,
            DataType::Str => Self::Str,
            DataType::Binary => Self::Binary,
            DataType::Date => Self::Date,
            DataType::Time => Self::Time,
            DataType::Datetime => Self::Datetime,
            DataType::Uuid => Self::Uuid,
            DataType::Jsonb => Self::Jsonb,
            DataType::Decimal => Self::Decimal,
            DataType::RangeInt32 => Self::RangeInt32,
            DataType::RangeInt64 => Self::RangeInt64,
            DataType::RangeDecimal => Self::RangeDecimal,
            DataType::ArrayInt32 => Self::ArrayInt32,
            DataType::ArrayInt64 => Self::ArrayInt64,
            DataType::ArrayDecimal => Self::ArrayDecimal,
            DataType::ArrayStr => Self::ArrayStr,
            DataType::Interval => Self::Interval,
            DataType::Other(name) => Self::Other(name),
        }
    }
}

impl From<Column> for wit::Column {
    fn from(column: Column) -> Self {
        Self { name: column.name, data_type: column.kind.into() }
    }
}

impl From<RowSet> for wit::RowSet {
    fn from(set: RowSet) -> Self {
        Self {
            columns: set.columns.into_iter().map(Into::into).collect(),
            rows: set.rows.into_iter().map(row).collect(),
        }
    }
}

/// A row of values.
pub(super) fn row(row: Vec<Value>) -> wit::Row {
    row.into_iter().map(wit::DbValue::from).collect()
}

type WitRange<T> = (Option<(T, wit::RangeBoundKind)>, Option<(T, wit::RangeBoundKind)>);

fn range<T>((lower, upper): WitRange<T>) -> Range<T> {
    let bound = |bound: Option<(T, wit::RangeBoundKind)>| {
        bound.map(|(value, kind)| match kind {
            wit::RangeBoundKind::Inclusive => (value, BoundKind::Inclusive),
            wit::RangeBoundKind::Exclusive => (value, BoundKind::Exclusive),
        })
    };
    (bound(lower), bound(upper))
}

fn wit_range<T>((lower, upper): Range<T>) -> WitRange<T> {
    let bound = |bound: Option<(T, BoundKind)>| {
        bound.map(|(value, kind)| match kind {
            BoundKind::Inclusive => (value, wit::RangeBoundKind::Inclusive),
            BoundKind::Exclusive => (value, wit::RangeBoundKind::Exclusive),
        })
    };
    (bound(lower), bound(upper))
}

impl From<wit::Interval> for Interval {
    fn from(interval: wit::Interval) -> Self {
        let wit::Interval { micros, days, months } = interval;
        Self { micros, days, months }
    }
}

impl From<Interval> for wit::Interval {
    fn from(interval: Interval) -> Self {
        let Interval { micros, days, months } = interval;
        Self { micros, days, months }
    }
}

impl From<Error> for wit::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::ConnectionFailed(text) => Self::ConnectionFailed(text),
            Error::BadParameter(text) => Self::BadParameter(text),
            Error::Database(error) => {
                let DatabaseError { as_text, severity, code, message, detail, extras } = *error;
                let error = wit::DbError { as_text, severity, code, message, detail, extras };
                Self::QueryFailed(wit::QueryError::DbError(error))
            }
            Error::QueryFailed(text) => Self::QueryFailed(wit::QueryError::Text(text)),
            Error::ValueConversionFailed(text) => Self::ValueConversionFailed(text),
            Error::Other(text) => Self::Other(text),
        }
    }
}
