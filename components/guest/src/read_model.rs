//! Read models: tables that projections or commands keep, declared once ([`ReadModel`]), and the answers that URL
//! parameters ask of them: filters, search by words, sort, fields, and pages by offset or cursor. What a client names is
//! looked up in the declaration, and what it gives is always a parameter, so that no text of a client becomes SQL. Who
//! may see which rows is the function's business: it says so by a [`Scope`].

mod cursor;
mod parse;
mod statement;
mod terms;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::http::{Problem, Request};
use crate::sql::{self, Error, Row, Statement, Value};

pub use parse::Query;
pub use terms::{index, terms, unindex};

/// Items of a page, unless the client says how many.
pub const LIMIT_DEFAULT: u32 = 20;
/// Items of a page at most.
pub const LIMIT_MAX: u32 = 100;
/// The furthest offset. Whoever goes further follows cursors, which cost the same on every page.
pub const OFFSET_MAX: u32 = 10_000;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TEXT. Times are text too: RFC 3339 in UTC, which sorts as time does.
    Text,
    /// TEXT that is one of these words.
    OneOf(&'static [&'static str]),
    /// BIGINT.
    Integer,
    /// DOUBLE PRECISION.
    Number,
    /// BOOLEAN.
    Boolean,
    /// TEXT with JSON in it; shown as what it says, neither filtered nor sorted by.
    Json,
}

/// A column that clients may see.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    name: &'static str,
    kind: Kind,
    filtered: bool,
    sorted: bool,
    shown: bool,
}

impl Column {
    /// A column that is shown, and that nothing is filtered or sorted by yet. Its name is a plain SQL name.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        assert!(is_plain(name), "the name of a column is lower-case letters, digits and underscores");
        Self { name, kind, filtered: false, sorted: false, shown: true }
    }

    /// Permits filters.
    #[must_use]
    pub const fn filtered(mut self) -> Self {
        assert!(!matches!(self.kind, Kind::Json), "nothing is filtered by JSON");
        self.filtered = true;
        self
    }

    /// Permits to sort by it: the column is NOT NULL, and has an index if the table grows.
    #[must_use]
    pub const fn sorted(mut self) -> Self {
        assert!(!matches!(self.kind, Kind::Json), "nothing is sorted by JSON");
        self.sorted = true;
        self
    }

    /// Shown to those alone who ask for it by `fields`.
    #[must_use]
    pub const fn on_demand(mut self) -> Self {
        self.shown = false;
        self
    }
}

/// A table and what clients may ask of it.
#[derive(Clone, Copy, Debug)]
pub struct ReadModel {
    /// The table, or several that are joined; then each column has a name of its own.
    pub table: &'static str,
    /// Its key: a TEXT column, unique and NOT NULL, that breaks ties of a sort.
    pub key: &'static str,
    /// What clients may see.
    pub columns: &'static [Column],
    /// What it is sorted by unless the client says otherwise, as in the parameter: `-created_at`.
    pub sort: &'static str,
    /// The table of its words, with the columns `term` and `id` (the key), as [`index`] writes it. Without one there is
    /// no parameter `q`.
    pub terms: Option<&'static str>,
}

impl ReadModel {
    fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    fn names(&self, wanted: impl Fn(&Column) -> bool) -> String {
        let names: Vec<&str> = self.columns.iter().filter(|column| wanted(column)).map(|column| column.name).collect();
        names.join(", ")
    }
}

/// Which rows there are for whoever asks, in SQL, its parameters from `$1` on. Values of the request go into
/// `parameters`, never into the text.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Such as `student_id = $1`; everything if it is empty.
    pub condition: &'static str,
    /// Each is used by the condition.
    pub parameters: Vec<Value>,
}

impl Scope {
    /// All rows.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// The rows of which the condition holds.
    #[must_use]
    pub fn only(condition: &'static str, parameters: Vec<Value>) -> Self {
        Self { condition, parameters }
    }
}

/// One page of an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page {
    /// Each with the fields that were asked for.
    pub items: Vec<Map<String, Json>>,
    /// Asks for the next page; none on the last one.
    pub next_cursor: Option<String>,
}

/// Answers a request with a page of a read model.
///
/// # Errors
/// 400 for a parameter that the model does not have, or with a value that it cannot take.
pub async fn answer(model: &ReadModel, request: &Request, scope: Scope) -> Result<Page, Problem> {
    Ok(query(model, &Query::parse(model, request.query_pairs())?, scope).await?)
}

/// Reads a page.
///
/// # Errors
/// As the database says.
pub async fn query(model: &ReadModel, query: &Query, scope: Scope) -> Result<Page, Error> {
    let Statement { sql: text, parameters, .. } = statement(model, query, scope);
    page(model, query, &sql::query(&text, parameters).await?)
}

/// The one statement that reads a page and a row more, which tells whether there is a next page.
#[must_use]
pub fn statement(model: &ReadModel, query: &Query, scope: Scope) -> Statement {
    statement::statement(model, query, scope)
}

fn page(model: &ReadModel, query: &Query, rows: &[Row]) -> Result<Page, Error> {
    let limit = query.limit as usize;
    let last = rows.get(..limit).and_then(<[Row]>::last).filter(|_| rows.len() > limit);
    let next_cursor = last.map(|row| cursor::of(model, query, row)).transpose()?;
    let item = |row: &Row| {
        query.fields.iter().map(|column| Ok((column.name.to_owned(), json(column, row.value(column.name)?)?))).collect()
    };
    let items = rows.iter().take(limit).map(item).collect::<Result<_, Error>>()?;
    Ok(Page { items, next_cursor })
}

fn json(column: &Column, value: &Value) -> Result<Json, Error> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Text(text) if column.kind == Kind::Json => serde_json::from_str(text)
            .map_err(|error| Error::Invalid(format!("column {} is no JSON: {error}", column.name)))?,
        Value::Text(text) => Json::from(text.as_str()),
        // SQLite answers an expression over booleans as an integer.
        Value::Int64(number) if column.kind == Kind::Boolean => Json::from(*number != 0),
        Value::Int64(number) => Json::from(*number),
        Value::Float64(number) => Json::from(*number),
        Value::Boolean(value) => Json::from(*value),
        Value::Blob(_) => {
            return Err(Error::Invalid(format!("column {} is BYTEA, which no client reads", column.name)));
        }
    })
}

/// Whether the name needs no quotes in SQL.
const fn is_plain(name: &str) -> bool {
    let (mut rest, mut plain) = (name.as_bytes(), !name.is_empty());
    while let [first, others @ ..] = rest {
        plain = plain && (first.is_ascii_lowercase() || first.is_ascii_digit() || *first == b'_');
        rest = others;
    }
    plain
}

#[cfg(test)]
mod tests;
