//! A query as one portable SQL statement. Its text is made of the declaration's names alone; every value is a parameter.

use super::parse::{Comparison, From, Order, Query};
use super::{ReadModel, Scope};
use crate::sql::{Statement, Value, sql};

pub(super) fn statement(model: &ReadModel, query: &Query, scope: Scope) -> Statement {
    let Scope { condition, parameters } = scope;
    let mut text = Text { conditions: Vec::new(), parameters };
    if !condition.is_empty() {
        text.conditions.push(format!("({condition})"));
    }
    for filter in &query.filters {
        text.filter(filter.column, filter.comparison, &filter.values);
    }
    if let Some(table) = model.terms {
        text.words(model.key, table, &query.words);
    }
    let orders = query.order(model);
    let mut skip = String::new();
    match &query.from {
        From::Offset(0) => {}
        From::Offset(rows) => skip = format!(" OFFSET {}", text.place(Value::from(*rows))),
        From::After(values) => text.after(&orders, values),
    }
    let limit = text.place(Value::from(query.limit + 1));
    let order: Vec<String> = orders.iter().map(ordered).collect();
    let all =
        if text.conditions.is_empty() { String::new() } else { format!(" WHERE {}", text.conditions.join(" AND ")) };
    let (columns, order) = (columns(query, &orders), order.join(", "));
    sql(&format!("SELECT {columns} FROM {}{all} ORDER BY {order} LIMIT {limit}{skip}", model.table), text.parameters)
}

/// What is shown and what the next cursor is made of, each once.
fn columns(query: &Query, orders: &[Order]) -> String {
    let mut names: Vec<&str> = Vec::new();
    let wanted = query.fields.iter().map(|column| column.name).chain(orders.iter().map(|order| order.column.name));
    for name in wanted {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

fn ordered(order: &Order) -> String {
    format!("{}{}", order.column.name, if order.descending { " DESC" } else { "" })
}

/// A statement that grows, with the parameters that it has so far.
struct Text {
    conditions: Vec<String>,
    parameters: Vec<Value>,
}

impl Text {
    fn place(&mut self, value: Value) -> String {
        self.parameters.push(value);
        format!("${}", self.parameters.len())
    }

    fn filter(&mut self, column: &str, comparison: Comparison, values: &[Value]) {
        let places: Vec<String> = values.iter().map(|value| self.place(value.clone())).collect();
        let places = places.join(", ");
        let operator = match comparison {
            Comparison::Equal => "=",
            Comparison::NotEqual => "<>",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
            Comparison::In => "IN",
        };
        // Whoever asks for all but one value wants those too that have none.
        self.conditions.push(match comparison {
            Comparison::In => format!("{column} IN ({places})"),
            Comparison::NotEqual => format!("({column} <> {places} OR {column} IS NULL)"),
            _ => format!("{column} {operator} {places}"),
        });
    }

    /// Every word is there, the last one perhaps only begun. A term has no sign that means something to LIKE.
    fn words(&mut self, key: &str, table: &str, words: &[String]) {
        let Some((last, whole)) = words.split_last() else { return };
        for word in whole {
            let place = self.place(Value::from(word));
            self.conditions.push(format!("{key} IN (SELECT id FROM {table} WHERE term = {place})"));
        }
        let place = self.place(Value::from(format!("{last}%")));
        self.conditions.push(format!("{key} IN (SELECT id FROM {table} WHERE term LIKE {place})"));
    }

    /// The rows behind one: those greater in the first column, or equal there and greater in the second, and so on.
    fn after(&mut self, orders: &[Order], values: &[Value]) {
        let places: Vec<String> = values.iter().map(|value| self.place(value.clone())).collect();
        let (mut alternatives, mut equal) = (Vec::new(), String::new());
        for (order, place) in orders.iter().zip(&places) {
            let (name, further) = (order.column.name, if order.descending { "<" } else { ">" });
            alternatives.push(format!("({equal}{name} {further} {place})"));
            equal += &format!("{name} = {place} AND ");
        }
        self.conditions.push(format!("({})", alternatives.join(" OR ")));
    }
}
