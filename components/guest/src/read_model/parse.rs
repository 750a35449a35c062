//! URL parameters as a query of one read model. A parameter that the model does not have, or a value that it cannot
//! take, is refused with the parameter's name and what may stand there.

use super::{Column, Kind, LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX, ReadModel, cursor, terms};
use crate::http::Problem;
use crate::sql::Value;

const QUERY_MAX_CHARS: usize = 100;
const WORDS_MAX: usize = 10;
const SORT_MAX: usize = 4;
const IN_MAX: usize = 50;
const TEXT_MAX_CHARS: usize = 200;
/// Parameters that are no filters.
const RESERVED: [&str; 6] = ["q", "sort", "fields", "limit", "offset", "cursor"];

/// How a filter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

impl Comparison {
    fn parse(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "ne" => Self::NotEqual,
            "lt" => Self::Less,
            "lte" => Self::LessOrEqual,
            "gt" => Self::Greater,
            "gte" => Self::GreaterOrEqual,
            "in" => Self::In,
            _ => return None,
        })
    }

    fn fits(self, kind: Kind) -> bool {
        match kind {
            Kind::Text | Kind::Integer | Kind::Number => true,
            Kind::OneOf(_) => matches!(self, Self::Equal | Self::NotEqual | Self::In),
            Kind::Boolean => matches!(self, Self::Equal | Self::NotEqual),
            Kind::Json => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filter {
    pub column: &'static str,
    pub comparison: Comparison,
    /// One, or some for [`Comparison::In`].
    pub values: Vec<Value>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub column: &'static Column,
    pub descending: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum From {
    Offset(u32),
    /// The values of the sort at the last row that was seen.
    After(Vec<Value>),
}

/// What a client asks of a read model.
#[derive(Clone, Debug)]
pub struct Query {
    pub(super) filters: Vec<Filter>,
    pub(super) words: Vec<String>,
    pub(super) sort: Vec<Order>,
    pub(super) fields: Vec<&'static Column>,
    pub(super) limit: u32,
    pub(super) from: From,
}

impl Query {
    /// Reads the parameters of a request.
    ///
    /// # Errors
    /// 400 with the parameter that is not acceptable.
    pub fn parse(model: &ReadModel, parameters: &[(String, String)]) -> Result<Self, Problem> {
        let mut filters = Vec::new();
        for (index, (name, value)) in parameters.iter().enumerate() {
            if parameters.iter().take(index).any(|(earlier, _)| earlier == name) {
                return Err(refused(name, "is given twice"));
            }
            if !RESERVED.contains(&name.as_str()) {
                filters.push(filter(model, name, value)?);
            }
        }
        let given = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let sort = sort(model, given("sort"))?;
        let mut query = Self {
            filters,
            words: given("q").map_or_else(|| Ok(Vec::new()), |text| words(model, text))?,
            sort,
            fields: fields(model, given("fields"))?,
            limit: number("limit", given("limit"), 1, LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT),
            from: From::Offset(0),
        };
        query.from = match (number("offset", given("offset"), 0, OFFSET_MAX)?, given("cursor")) {
            (Some(_), Some(_)) => return Err(refused("offset", "does not go with cursor: give one of them")),
            (offset, None) => From::Offset(offset.unwrap_or(0)),
            (None, Some(text)) => {
                let values = cursor::read(text, &query.order(model));
                let why = "is no cursor of this listing with this sort: take next_cursor as it is, with the same sort";
                From::After(values.ok_or_else(|| refused("cursor", why))?)
            }
        };
        Ok(query)
    }

    /// The whole order: what is asked for, and the key where that leaves a tie.
    pub(super) fn order(&self, model: &ReadModel) -> Vec<Order> {
        let mut orders = self.sort.clone();
        if !orders.iter().any(|order| order.column.name == model.key)
            && let Some(column) = model.column(model.key)
        {
            orders.push(Order { column, descending: orders.last().is_some_and(|last| last.descending) });
        }
        orders
    }
}

fn refused(parameter: &str, why: impl Into<String>) -> Problem {
    Problem::new(400, "invalid-parameter", "A query parameter is not valid").field(parameter, why)
}

fn filter(model: &ReadModel, name: &str, text: &str) -> Result<Filter, Problem> {
    let (field, suffix) = name.split_once('.').map_or((name, None), |(field, suffix)| (field, Some(suffix)));
    let column = model.column(field).filter(|column| column.filtered).ok_or_else(|| {
        let fields = model.names(|column| column.filtered);
        refused(name, format!("is no parameter here: there are {} and the fields {fields}", RESERVED.join(", ")))
    })?;
    let comparison = suffix.map_or(Some(Comparison::Equal), Comparison::parse);
    let comparison = comparison.filter(|comparison| comparison.fits(column.kind)).ok_or_else(|| {
        let suffixes: Vec<&str> = ["ne", "lt", "lte", "gt", "gte", "in"]
            .into_iter()
            .filter(|suffix| Comparison::parse(suffix).is_some_and(|comparison| comparison.fits(column.kind)))
            .collect();
        refused(name, format!("{field} takes nothing, or one of .{}", suffixes.join(" .")))
    })?;
    let texts: Vec<&str> = if comparison == Comparison::In { text.split(',').collect() } else { vec![text] };
    if texts.len() > IN_MAX {
        return Err(refused(name, format!("takes at most {IN_MAX} values")));
    }
    let values = texts.into_iter().map(|text| value(column, text).map_err(|why| refused(name, why)));
    Ok(Filter { column: column.name, comparison, values: values.collect::<Result<_, _>>()? })
}

fn value(column: &Column, text: &str) -> Result<Value, String> {
    match column.kind {
        Kind::Text if text.contains('\0') => Err("has a NUL character".to_owned()),
        Kind::Text if text.chars().count() > TEXT_MAX_CHARS => {
            Err(format!("has more than {TEXT_MAX_CHARS} characters"))
        }
        Kind::Text => Ok(Value::from(text)),
        Kind::OneOf(words) if words.contains(&text) => Ok(Value::from(text)),
        Kind::OneOf(words) => Err(format!("has to be one of {}", words.join(", "))),
        Kind::Integer => text.parse().map(Value::Int64).map_err(|_| "has to be a whole number".to_owned()),
        Kind::Number => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float64(number)),
            _ => Err("has to be a number".to_owned()),
        },
        Kind::Boolean => match text {
            "true" => Ok(Value::Boolean(true)),
            "false" => Ok(Value::Boolean(false)),
            _ => Err("has to be true or false".to_owned()),
        },
        Kind::Json => Err("cannot be compared".to_owned()),
    }
}

fn words(model: &ReadModel, text: &str) -> Result<Vec<String>, Problem> {
    if model.terms.is_none() {
        return Err(refused("q", "nothing is searched by words here"));
    }
    if text.chars().count() > QUERY_MAX_CHARS {
        return Err(refused("q", format!("has more than {QUERY_MAX_CHARS} characters")));
    }
    let words = terms(text);
    match words.len() {
        0 => Err(refused("q", "has no word: letters or digits")),
        1..=WORDS_MAX => Ok(words),
        _ => Err(refused("q", format!("has more than {WORDS_MAX} words"))),
    }
}

fn sort(model: &ReadModel, given: Option<&str>) -> Result<Vec<Order>, Problem> {
    let mut orders: Vec<Order> = Vec::new();
    for part in given.unwrap_or(model.sort).split(',') {
        let (name, descending) = part.strip_prefix('-').map_or((part, false), |name| (name, true));
        let column = model.column(name).filter(|column| column.sorted).ok_or_else(|| {
            let fields = model.names(|column| column.sorted);
            refused(
                "sort",
                format!("{part:?} is nothing to sort by: there are {fields}, each with - before it to turn it"),
            )
        })?;
        if orders.iter().any(|order| order.column.name == name) {
            return Err(refused("sort", format!("names {name} twice")));
        }
        orders.push(Order { column, descending });
    }
    if orders.len() > SORT_MAX {
        return Err(refused("sort", format!("names more than {SORT_MAX} fields")));
    }
    Ok(orders)
}

fn fields(model: &ReadModel, given: Option<&str>) -> Result<Vec<&'static Column>, Problem> {
    let Some(given) = given else { return Ok(model.columns.iter().filter(|column| column.shown).collect()) };
    let field = |name: &str| {
        let why = || format!("{name:?} is no field: there are {}", model.names(|_| true));
        model.column(name).ok_or_else(|| refused("fields", why()))
    };
    given.split(',').map(field).collect()
}

fn number(name: &str, given: Option<&str>, least: u32, most: u32) -> Result<Option<u32>, Problem> {
    let Some(text) = given else { return Ok(None) };
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    let why = || match name {
        "offset" => format!("has to be a number from {least} to {most}: further on, follow next_cursor"),
        _ => format!("has to be a number from {least} to {most}"),
    };
    number.map(Some).ok_or_else(|| refused(name, why()))
}
