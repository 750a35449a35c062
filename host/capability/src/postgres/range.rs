//! Ranges as PostgreSQL sends and takes them.

use std::error::Error as StdError;
use std::fmt;

use bytes::BytesMut;
use postgres_protocol::types::{Range as Raw, RangeBound, range_from_sql, range_to_sql};
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type};

use super::{BoundKind, Range};

type Failure = Box<dyn StdError + Sync + Send>;

/// A range of values of the client library. An empty one has two exclusive bounds that are equal, `(0,0)`, since the
/// interface has no word for it.
#[derive(Debug)]
pub(super) struct Ranged<T>(pub(super) Range<T>);

/// A type of bounds.
pub(super) trait Bound: for<'a> FromSql<'a> + ToSql + Default + fmt::Debug {}

impl Bound for i32 {}
impl Bound for i64 {}
impl Bound for rust_decimal::Decimal {}

fn bound_type(range: &Type) -> Option<&Type> {
    match range.kind() {
        Kind::Range(bound) => Some(bound),
        _ => None,
    }
}

impl<'a, T: Bound> FromSql<'a> for Ranged<T> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        let of = bound_type(ty).ok_or("not a range")?;
        let (lower, upper) = match range_from_sql(raw)? {
            Raw::Empty => {
                let nothing = || Some((T::default(), BoundKind::Exclusive));
                return Ok(Self((nothing(), nothing())));
            }
            Raw::Nonempty(lower, upper) => (lower, upper),
        };
        let bound = |bound: RangeBound<Option<&[u8]>>| {
            let (raw, kind) = match bound {
                RangeBound::Inclusive(raw) => (raw, BoundKind::Inclusive),
                RangeBound::Exclusive(raw) => (raw, BoundKind::Exclusive),
                RangeBound::Unbounded => return Ok::<_, Failure>(None),
            };
            raw.map(|raw| Ok((T::from_sql_owned(of, raw)?, kind))).transpose()
        };
        Ok(Self((bound(lower)?, bound(upper)?)))
    }

    fn accepts(ty: &Type) -> bool {
        bound_type(ty).is_some_and(<T as FromSql>::accepts)
    }
}

/// `FromSql` with the lifetime of the bytes at hand.
trait FromSqlNow: Sized {
    fn from_sql_owned(ty: &Type, raw: &[u8]) -> Result<Self, Failure>;
}

impl<T: Bound> FromSqlNow for T {
    fn from_sql_owned(ty: &Type, raw: &[u8]) -> Result<Self, Failure> {
        T::from_sql(ty, raw)
    }
}

impl<T: Bound> ToSql for Ranged<T> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        let of = bound_type(ty).ok_or("not a range")?;
        let bound = |bound: &Option<(T, BoundKind)>, out: &mut BytesMut| {
            let Some((value, kind)) = bound else { return Ok(RangeBound::Unbounded) };
            let null = match value.to_sql(of, out)? {
                IsNull::Yes => postgres_protocol::IsNull::Yes,
                IsNull::No => postgres_protocol::IsNull::No,
            };
            Ok(match kind {
                BoundKind::Inclusive => RangeBound::Inclusive(null),
                BoundKind::Exclusive => RangeBound::Exclusive(null),
            })
        };
        range_to_sql(|out| bound(&self.0.0, out), |out| bound(&self.0.1, out), out)?;
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        bound_type(ty).is_some_and(<T as ToSql>::accepts)
    }

    tokio_postgres::types::to_sql_checked!();
}
