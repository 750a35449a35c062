//! How two sets of data are compared: rows as multisets, without what differs between two runs of the same input, and
//! with what a saga that is undone may leave.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use weft_capability::sqlite_tables::Table;

use super::data::Data;

/// Rows that a message shows of each side.
const SHOWN: usize = 3;

/// `context.table`, or a column of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    table: String,
    column: Option<String>,
}

impl FromStr for Ignored {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split('.').collect();
        match words.as_slice() {
            [context, table] => Ok(Self { table: format!("{context}.{table}"), column: None }),
            [context, table, column] => {
                Ok(Self { table: format!("{context}.{table}"), column: Some((*column).to_owned()) })
            }
            _ => Err("expected CONTEXT.TABLE or CONTEXT.TABLE.COLUMN".to_owned()),
        }
    }
}

/// Rows of `context.table` that an undone saga may leave: all, or those with this value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    table: String,
    only: Option<(String, String)>,
}

impl FromStr for Trace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected CONTEXT.TABLE or CONTEXT.TABLE:COLUMN=VALUE".to_owned();
        let (table, only) = match text.split_once(':') {
            None => (text, None),
            Some((table, only)) => {
                let (column, value) = only.split_once('=').ok_or_else(expected)?;
                (table, Some((column.to_owned(), value.to_owned())))
            }
        };
        if table.split('.').count() != 2 {
            return Err(expected());
        }
        Ok(Self { table: table.to_owned(), only })
    }
}

impl Trace {
    fn covers(&self, table: &str, columns: &[String], row: &[String]) -> bool {
        let has = |(column, value): &(String, String)| {
            columns.iter().position(|name| name == column).and_then(|at| row.get(at)) == Some(value)
        };
        self.table == table && self.only.as_ref().is_none_or(has)
    }
}

/// What is compared, and what is not.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Never compared.
    ignored: Vec<Ignored>,
    /// Left by a saga that is undone.
    traces: Vec<Trace>,
    /// Columns, by table, that differ between two runs of the same input: ids and times.
    masked: BTreeSet<(String, String)>,
}

type Rows = BTreeMap<Vec<String>, usize>;

impl Rules {
    /// What is never compared, and what an undone saga may leave.
    pub fn new(ignored: Vec<Ignored>, traces: Vec<Trace>) -> Self {
        Self { ignored, traces, masked: BTreeSet::new() }
    }

    /// Columns that differ between two runs of the same input are not compared.
    pub fn learn(&mut self, one: &Data, other: &Data) {
        for (name, table) in &one.tables {
            let Some(other) = other.tables.get(name) else { continue };
            for (at, column) in table.columns.iter().enumerate() {
                let values = |table: &Table| {
                    let mut values: Vec<_> = table.rows.iter().filter_map(|row| row.get(at)).cloned().collect();
                    values.sort_unstable();
                    values
                };
                let (one, other) = (values(table), values(other));
                // Where there are more rows than before, something else is wrong.
                if one.len() == other.len() && one != other {
                    self.masked.insert((name.clone(), column.clone()));
                }
            }
        }
    }

    /// What `found` has that `wanted` has not, and the other way round; none if there is nothing of it.
    pub fn difference(&self, found: &Data, wanted: &Data) -> Option<String> {
        self.compare(found, wanted, &[], false)
    }

    /// What `found` has that `wanted` has not.
    pub fn surplus(&self, found: &Data, wanted: &Data) -> Option<String> {
        self.compare(found, wanted, &[], true)
    }

    /// As [`Rules::difference`], where `found` may have the traces of a saga that was undone.
    pub fn difference_undone(&self, found: &Data, before: &Data) -> Option<String> {
        self.compare(found, before, &self.traces, false)
    }

    fn compare(&self, found: &Data, wanted: &Data, traces: &[Trace], may_lack: bool) -> Option<String> {
        let names: BTreeSet<&String> = found.tables.keys().chain(wanted.tables.keys()).collect();
        let differences = names.into_iter().filter_map(|name| {
            if self.ignored.iter().any(|ignored| ignored.column.is_none() && ignored.table == *name) {
                return None;
            }
            let may_leave = |row: &[String]| {
                let columns = found.tables.get(name).map_or(&[][..], |table| &table.columns);
                traces.iter().any(|trace| trace.covers(name, columns, row))
            };
            let (mut extra, mut missing) = (self.rows(name, found), self.rows(name, wanted));
            take_away(&mut extra, &mut missing);
            if may_lack {
                missing.clear();
            }
            let left: Rows = self.left(name, found, &extra, may_leave);
            (!left.is_empty() || !missing.is_empty()).then(|| describe(name, &left, &missing))
        });
        let differences: Vec<String> = differences.collect();
        (!differences.is_empty()).then(|| differences.join("; "))
    }

    /// The rows of a table as they are compared: `column=value`, without what is masked.
    fn rows(&self, name: &str, data: &Data) -> Rows {
        let mut rows = Rows::new();
        let Some(table) = data.tables.get(name) else { return rows };
        for row in &table.rows {
            *rows.entry(self.shown(name, &table.columns, row)).or_default() += 1;
        }
        rows
    }

    fn shown(&self, name: &str, columns: &[String], row: &[String]) -> Vec<String> {
        let compared = |column: &String| {
            let is_ignored =
                |ignored: &Ignored| ignored.table == name && ignored.column.as_deref() == Some(column.as_str());
            !self.masked.contains(&(name.to_owned(), column.clone())) && !self.ignored.iter().any(is_ignored)
        };
        let values = columns.iter().zip(row).filter(|(column, _)| compared(column));
        values.map(|(column, value)| format!("{column}={value}")).collect()
    }

    /// The surplus without the rows that may be left.
    fn left(&self, name: &str, found: &Data, extra: &Rows, may_leave: impl Fn(&[String]) -> bool) -> Rows {
        let mut left = extra.clone();
        let Some(table) = found.tables.get(name) else { return left };
        for row in table.rows.iter().filter(|row| may_leave(row)) {
            let shown = self.shown(name, &table.columns, row);
            if let Some(count) = left.get_mut(&shown) {
                *count = count.saturating_sub(1);
            }
        }
        left.retain(|_, count| *count > 0);
        left
    }
}

/// What both have is taken out of both.
fn take_away(one: &mut Rows, other: &mut Rows) {
    for (row, count) in one.iter_mut() {
        if let Some(others) = other.get_mut(row) {
            let both = (*count).min(*others);
            *count -= both;
            *others -= both;
        }
    }
    one.retain(|_, count| *count > 0);
    other.retain(|_, count| *count > 0);
}

fn describe(name: &str, extra: &Rows, missing: &Rows) -> String {
    let side = |word: &str, rows: &Rows| {
        let all: usize = rows.values().sum();
        let shown = rows.iter().take(SHOWN).map(|(row, count)| {
            let times = if *count > 1 { format!("{count} times ") } else { String::new() };
            format!("{times}({})", row.join(", "))
        });
        let more = if rows.len() > SHOWN { format!(" and others, {all} in all") } else { String::new() };
        (all > 0).then(|| format!("{word} {}{more}", shown.collect::<Vec<_>>().join(", ")))
    };
    let sides: Vec<String> = [side("has", extra), side("lacks", missing)].into_iter().flatten().collect();
    format!("{name} {}", sides.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(rows: &[[&str; 3]]) -> Data {
        let columns = ["id", "status", "n"].map(str::to_owned).to_vec();
        let rows = rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect();
        let table = Table { name: "t".to_owned(), columns, rows };
        Data { tables: [("c.t".to_owned(), table)].into(), effects: Vec::new() }
    }

    fn learned() -> Rules {
        let mut rules = Rules::default();
        rules.learn(&data(&[["u1", "paid", "1"]]), &data(&[["u2", "paid", "1"]]));
        rules
    }

    #[test]
    fn ids_differ_and_numbers_do_not() {
        let rules = learned();
        let clean = data(&[["u1", "paid", "1"]]);
        assert_eq!(rules.difference(&data(&[["u3", "paid", "1"]]), &clean), None);
        let twice = rules.difference(&data(&[["u3", "paid", "2"]]), &clean);
        assert_eq!(twice.as_deref(), Some("c.t has (status=paid, n=2) and lacks (status=paid, n=1)"));
        let doubled = rules.difference(&data(&[["u3", "paid", "1"], ["u4", "paid", "1"]]), &clean);
        assert_eq!(doubled.as_deref(), Some("c.t has (status=paid, n=1)"));
    }

    #[test]
    fn traces_may_be_left_and_nothing_else() {
        let mut rules = learned();
        let left = data(&[["u1", "refunded", "1"], ["u2", "paid", "1"]]);
        let found = rules.difference_undone(&left, &data(&[])).unwrap();
        assert_eq!(found, "c.t has (status=paid, n=1), (status=refunded, n=1)");
        rules.traces = vec!["c.t:status=refunded".parse().unwrap()];
        assert_eq!(rules.difference_undone(&left, &data(&[])).unwrap(), "c.t has (status=paid, n=1)");
        assert!(rules.difference(&left, &data(&[])).unwrap().contains("refunded"));
        rules.ignored = vec!["c.t".parse().unwrap()];
        assert_eq!(rules.difference(&left, &data(&[])), None);
        rules.ignored = vec!["c.t.n".parse().unwrap()];
        assert_eq!(rules.difference(&data(&[["u1", "x", "5"]]), &data(&[["u2", "x", "6"]])), None);
    }

    #[test]
    fn bad_names_are_refused() {
        assert!("t".parse::<Ignored>().is_err() && "a.b.c.d".parse::<Ignored>().is_err());
        assert!("t:x=y".parse::<Trace>().is_err() && "c.t:x".parse::<Trace>().is_err());
    }
}
