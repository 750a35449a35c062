//! Between this capability's values and the wire, by the client library's conversions.

use std::error::Error as StdError;

use bytes::{BufMut as _, BytesMut};
use jiff::civil;
use jiff::tz::Offset;
use rust_decimal::Decimal;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};
use uuid::Uuid;

use super::range::{Bound, Ranged};
use super::{Column, DataType, Date, Datetime, Error, Interval, Range, Row, Time, Value};

type Failure = Box<dyn StdError + Sync + Send>;

/// A column as the interface has it.
pub(super) fn column(column: &tokio_postgres::Column) -> Column {
    Column { name: column.name().to_owned(), kind: data_type(column.type_()) }
}

fn data_type(ty: &Type) -> DataType {
    match *ty {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 => DataType::Int64,
        Type::FLOAT4 => DataType::Floating32,
        Type::FLOAT8 => DataType::Floating64,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => DataType::Str,
        Type::BYTEA => DataType::Binary,
        Type::DATE => DataType::Date,
        Type::TIME => DataType::Time,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => DataType::Datetime,
        Type::UUID => DataType::Uuid,
        Type::JSONB => DataType::Jsonb,
        Type::NUMERIC => DataType::Decimal,
        Type::INT4_RANGE => DataType::RangeInt32,
        Type::INT8_RANGE => DataType::RangeInt64,
        Type::NUM_RANGE => DataType::RangeDecimal,
        Type::INT4_ARRAY => DataType::ArrayInt32,
        Type::INT8_ARRAY => DataType::ArrayInt64,
        Type::NUMERIC_ARRAY => DataType::ArrayDecimal,
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => DataType::ArrayStr,
        Type::INTERVAL => DataType::Interval,
        _ => DataType::Other(ty.name().to_owned()),
    }
}

/// A row as the interface has it.
pub(super) fn row(row: &tokio_postgres::Row) -> Result<Row, Error> {
    let column = |at: usize| {
        row.try_get::<_, Option<Value>>(at).map(|value| value.unwrap_or(Value::Null)).map_err(|error| {
            let name = row.columns().get(at).map_or("?", tokio_postgres::Column::name);
            let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            Error::ValueConversionFailed(format!("column {name:?}: {cause}"))
        })
    };
    (0..row.len()).map(column).collect()
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        Ok(match *ty {
            Type::BOOL => Self::Boolean(bool::from_sql(ty, raw)?),
            Type::INT2 => Self::Int16(i16::from_sql(ty, raw)?),
            Type::INT4 => Self::Int32(i32::from_sql(ty, raw)?),
            Type::INT8 => Self::Int64(i64::from_sql(ty, raw)?),
            Type::FLOAT4 => Self::Floating32(f32::from_sql(ty, raw)?),
            Type::FLOAT8 => Self::Floating64(f64::from_sql(ty, raw)?),
            Type::TEXT | Type::VARCHAR | Type::BPCHAR => Self::Str(String::from_sql(ty, raw)?),
            Type::BYTEA => Self::Binary(raw.to_vec()),
            Type::DATE => Self::Date(from_date(civil::Date::from_sql(ty, raw)?)?),
            Type::TIME => Self::Time(from_time(civil::Time::from_sql(ty, raw)?)?),
            Type::TIMESTAMP => Self::Datetime(from_datetime(civil::DateTime::from_sql(ty, raw)?)?),
            Type::TIMESTAMPTZ => {
                Self::Datetime(from_datetime(Offset::UTC.to_datetime(jiff::Timestamp::from_sql(ty, raw)?))?)
            }
            Type::UUID => Self::Uuid(Uuid::from_sql(ty, raw)?.to_string()),
            Type::JSONB => match raw.split_first() {
                Some((1, text)) => Self::Jsonb(text.to_vec()),
                _ => return Err("JSONB of an unknown version".into()),
            },
            Type::NUMERIC => Self::Decimal(Decimal::from_sql(ty, raw)?.to_string()),
            Type::INT4_RANGE => Self::RangeInt32(Ranged::from_sql(ty, raw)?.0),
            Type::INT8_RANGE => Self::RangeInt64(Ranged::from_sql(ty, raw)?.0),
            Type::NUM_RANGE => Self::RangeDecimal(from_decimals(Ranged::<Decimal>::from_sql(ty, raw)?.0)),
            Type::INT4_ARRAY => Self::ArrayInt32(Vec::from_sql(ty, raw)?),
            Type::INT8_ARRAY => Self::ArrayInt64(Vec::from_sql(ty, raw)?),
            Type::NUMERIC_ARRAY => {
                let decimals = Vec::<Option<Decimal>>::from_sql(ty, raw)?;
                Self::ArrayDecimal(decimals.into_iter().map(|one| one.map(|one| one.to_string())).collect())
            }
            Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => Self::ArrayStr(Vec::from_sql(ty, raw)?),
            Type::INTERVAL => Self::Interval(from_interval(raw)?),
            _ => Self::Unsupported(raw.to_vec()),
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Boolean(value) => value.to_sql_checked(ty, out),
            Self::Int8(value) => value.to_sql_checked(ty, out),
            Self::Int16(value) => value.to_sql_checked(ty, out),
            Self::Int32(value) => value.to_sql_checked(ty, out),
            Self::Int64(value) => value.to_sql_checked(ty, out),
            Self::Floating32(value) => value.to_sql_checked(ty, out),
            Self::Floating64(value) => value.to_sql_checked(ty, out),
            Self::Str(value) => value.to_sql_checked(ty, out),
            Self::Binary(value) => value.to_sql_checked(ty, out),
            Self::Date(value) => to_date(*value)?.to_sql_checked(ty, out),
            Self::Time(value) => to_time(*value)?.to_sql_checked(ty, out),
            Self::Datetime(value) => {
                let value = to_datetime(*value)?;
                if *ty == Type::TIMESTAMPTZ {
                    return Offset::UTC.to_timestamp(value)?.to_sql_checked(ty, out);
                }
                value.to_sql_checked(ty, out)
            }
            Self::Timestamp(seconds) => jiff::Timestamp::from_second(*seconds)?.to_sql_checked(ty, out),
            Self::Uuid(value) => Uuid::parse_str(value)?.to_sql_checked(ty, out),
            Self::Jsonb(text) => to_json(text, ty, out),
            Self::Decimal(value) => to_decimal(value)?.to_sql_checked(ty, out),
            Self::RangeInt32(value) => range_to_sql(*value, ty, out),
            Self::RangeInt64(value) => range_to_sql(*value, ty, out),
            Self::RangeDecimal((lower, upper)) => {
                let bound = |bound: &Option<(String, _)>| match bound {
                    Some((value, kind)) => Ok::<_, Failure>(Some((to_decimal(value)?, *kind))),
                    None => Ok(None),
                };
                range_to_sql((bound(lower)?, bound(upper)?), ty, out)
            }
            Self::ArrayInt32(values) => values.to_sql_checked(ty, out),
            Self::ArrayInt64(values) => values.to_sql_checked(ty, out),
            Self::ArrayDecimal(values) => {
                let decimal = |one: &Option<String>| one.as_deref().map(to_decimal).transpose();
                values.iter().map(decimal).collect::<Result<Vec<_>, _>>()?.to_sql_checked(ty, out)
            }
            Self::ArrayStr(values) => values.to_sql_checked(ty, out),
            Self::Interval(value) => to_interval(*value, ty, out),
            Self::Unsupported(_) => Err("a value of an unsupported type is no parameter".into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        self.to_sql(ty, out)
    }
}

fn range_to_sql<T: Bound>(range: Range<T>, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
    Ranged(range).to_sql_checked(ty, out)
}

fn from_decimals((lower, upper): Range<Decimal>) -> Range<String> {
    let text = |bound: Option<(Decimal, _)>| bound.map(|(value, kind)| (value.to_string(), kind));
    (text(lower), text(upper))
}

fn to_decimal(text: &str) -> Result<Decimal, Failure> {
    Decimal::from_str_exact(text).map_err(|error| format!("{text:?} is no decimal: {error}").into())
}

fn to_json(text: &[u8], ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
    match *ty {
        Type::JSONB => out.put_u8(1),
        Type::JSON => {}
        _ => return Err(format!("JSON does not fit the type {}", ty.name()).into()),
    }
    out.put_slice(text);
    Ok(IsNull::No)
}

fn from_date(date: civil::Date) -> Result<Date, Failure> {
    Ok((date.year().into(), u8::try_from(date.month())?, u8::try_from(date.day())?))
}

fn from_time(time: civil::Time) -> Result<Time, Failure> {
    let nanosecond = u32::try_from(time.subsec_nanosecond())?;
    Ok((u8::try_from(time.hour())?, u8::try_from(time.minute())?, u8::try_from(time.second())?, nanosecond))
}

fn from_datetime(value: civil::DateTime) -> Result<Datetime, Failure> {
    let ((year, month, day), (hour, minute, second, nanosecond)) = (from_date(value.date())?, from_time(value.time())?);
    Ok((year, month, day, hour, minute, second, nanosecond))
}

fn to_date((year, month, day): Date) -> Result<civil::Date, Failure> {
    Ok(civil::Date::new(i16::try_from(year)?, i8::try_from(month)?, i8::try_from(day)?)?)
}

fn to_time((hour, minute, second, nanosecond): Time) -> Result<civil::Time, Failure> {
    let (hour, minute, second) = (i8::try_from(hour)?, i8::try_from(minute)?, i8::try_from(second)?);
    Ok(civil::Time::new(hour, minute, second, i32::try_from(nanosecond)?)?)
}

fn to_datetime((year, month, day, hour, minute, second, nanosecond): Datetime) -> Result<civil::DateTime, Failure> {
    Ok(to_date((year, month, day))?.to_datetime(to_time((hour, minute, second, nanosecond))?))
}

fn from_interval(raw: &[u8]) -> Result<Interval, Failure> {
    let (micros, rest) = raw.split_first_chunk().ok_or("a short interval")?;
    let (days, rest) = rest.split_first_chunk().ok_or("a short interval")?;
    let months = rest.try_into()?;
    Ok(Interval {
        micros: i64::from_be_bytes(*micros),
        days: i32::from_be_bytes(*days),
        months: i32::from_be_bytes(months),
    })
}

fn to_interval(value: Interval, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
    if *ty != Type::INTERVAL {
        return Err(format!("an interval does not fit the type {}", ty.name()).into());
    }
    out.put_i64(value.micros);
    out.put_i32(value.days);
    out.put_i32(value.months);
    Ok(IsNull::No)
}
