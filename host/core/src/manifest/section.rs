//! Reads a TOML table key by key: each reader checks the type and reports what is wrong, and [`Section::finish`]
//! reports the keys that nobody asked for. What the keys mean belongs to the files that ask.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;

use toml_edit::{ArrayOfTables, Item, TableLike, Value};

use super::diagnostic::Located;
use super::names;
use super::problems::Problems;

/// One table of the manifest.
pub(super) struct Section<'a> {
    problems: &'a Problems,
    table: &'a dyn TableLike,
    /// Opens every message, such as `component "x": `; empty for the application's own tables.
    subject: Arc<str>,
    /// Where the table stands within the subject, such as `tool.weft.limits`.
    path: String,
    pub(super) line: usize,
    asked: RefCell<Vec<&'static str>>,
}

/// What stands behind one key or in one place of an array.
#[derive(Clone)]
pub(super) struct Entry<'a> {
    problems: &'a Problems,
    subject: Arc<str>,
    path: String,
    node: Node<'a>,
    pub(super) line: usize,
}

#[derive(Clone)]
enum Node<'a> {
    Table(&'a dyn TableLike),
    Tables(&'a ArrayOfTables),
    Value(&'a Value),
}

impl<'a> Node<'a> {
    fn of_item(item: &'a Item) -> Option<Self> {
        match item {
            Item::None => None,
            Item::Table(table) => Some(Self::Table(table)),
            Item::ArrayOfTables(tables) => Some(Self::Tables(tables)),
            Item::Value(value) => Some(Self::of_value(value)),
        }
    }

    fn of_value(value: &'a Value) -> Self {
        match value {
            Value::InlineTable(table) => Self::Table(table),
            other => Self::Value(other),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Table(_) => "a table",
            Self::Tables(_) | Self::Value(Value::Array(_)) => "an array",
            Self::Value(Value::String(_)) => "a string",
            Self::Value(Value::Integer(_)) => "a number",
            Self::Value(Value::Float(_)) => "a fraction",
            Self::Value(Value::Boolean(_)) => "a truth value",
            Self::Value(Value::Datetime(_)) => "a date",
            Self::Value(Value::InlineTable(_)) => "a table",
        }
    }
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(problems: &'a Problems, table: &'a dyn TableLike) -> Self {
        Self { problems, table, subject: "".into(), path: String::new(), line: 1, asked: RefCell::default() }
    }

    /// The same table, with messages that open with `subject` and name keys from here on.
    pub(super) fn about(mut self, subject: &str) -> Self {
        self.subject = format!("{subject}: ").into();
        self.path.clear();
        self
    }

    pub(super) fn problems(&self) -> &'a Problems {
        self.problems
    }

    /// Reports a problem of this table.
    pub(super) fn report(&self, line: usize, message: impl Display) {
        self.problems.report(line, format!("{}{message}", self.subject));
    }

    /// Reports a problem of this table, with advice.
    pub(super) fn report_with_help(&self, line: usize, message: impl Display, help: impl Into<String>) {
        self.problems.report_with_help(line, format!("{}{message}", self.subject), help);
    }

    /// What `key` is called in messages.
    pub(super) fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn entry(&self, key: &str) -> Option<Entry<'a>> {
        let (written, item) = self.table.get_key_value(key)?;
        let node = Node::of_item(item)?;
        let line = written.span().or_else(|| item.span()).map_or(self.line, |span| self.problems.line(&span));
        Some(Entry { problems: self.problems, subject: self.subject.clone(), path: self.name(key), node, line })
    }

    /// The entry behind `key`, which is thereby known.
    pub(super) fn get(&self, key: &'static str) -> Option<Entry<'a>> {
        self.asked.borrow_mut().push(key);
        self.entry(key)
    }

    /// Every entry, for tables whose keys are names.
    pub(super) fn entries(&self) -> Vec<(Located<Arc<str>>, Entry<'a>)> {
        let keys = self.table.iter().map(|(key, _)| key);
        keys.filter_map(|key| self.entry(key).map(|entry| (Located::new(key.into(), entry.line), entry))).collect()
    }

    /// The table behind `key`.
    pub(super) fn section(&self, key: &'static str) -> Option<Section<'a>> {
        self.get(key)?.section()
    }

    /// The string behind `key`.
    pub(super) fn string(&self, key: &'static str) -> Option<Located<Arc<str>>> {
        self.get(key)?.string()
    }

    /// The string behind `key`, which has to be there.
    pub(super) fn required_string(&self, key: &'static str) -> Option<Located<Arc<str>>> {
        let Some(entry) = self.get(key) else {
            self.report_with_help(
                self.line,
                format!("`{}` is missing", self.name(key)),
                format!("add {key} = \"...\""),
            );
            return None;
        };
        entry.string()
    }

    /// The strings of the array behind `key`; none without it.
    pub(super) fn strings(&self, key: &'static str) -> Vec<Located<Arc<str>>> {
        self.get(key).map(|entry| entry.strings()).unwrap_or_default()
    }

    /// The strings of the array behind `key`, each checked by `is_valid`, which `syntax` puts into words.
    pub(super) fn names(
        &self,
        key: &'static str,
        is_valid: impl Fn(&str) -> bool,
        syntax: &str,
    ) -> Vec<Located<Arc<str>>> {
        let strings = self.strings(key);
        for (number, name) in strings.iter().enumerate() {
            if !is_valid(name) {
                self.report(name.line, format!("`{}`: {:?} is not {syntax}", self.name(key), &**name));
            } else if strings.iter().take(number).any(|earlier| earlier.value == name.value) {
                self.report(name.line, format!("`{}`: {:?} stands there twice", self.name(key), &**name));
            }
        }
        strings
    }

    /// The truth value behind `key`; `default` without it.
    pub(super) fn flag(&self, key: &'static str, default: bool) -> bool {
        self.get(key).and_then(|entry| entry.flag()).unwrap_or(default)
    }

    /// The whole number behind `key`, within `bounds`; `default` without it.
    pub(super) fn number<T>(&self, key: &'static str, bounds: RangeInclusive<T>, default: T) -> T
    where
        T: Copy + Display + PartialOrd + TryFrom<i64>,
    {
        self.get(key).and_then(|entry| entry.number(&bounds)).unwrap_or(default)
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        self.finish_with(|_| None);
    }

    /// Like [`Self::finish`], with advice of the caller's own before the nearest known key.
    pub(super) fn finish_with(self, advice: impl Fn(&str) -> Option<String>) {
        let asked = self.asked.borrow();
        for (key, entry) in self.entries() {
            if asked.contains(&&*key.value) {
                continue;
            }
            let help = advice(&key)
                .or_else(|| names::nearest(&key, asked.iter().copied()).map(|near| format!("did you mean `{near}`?")))
                .unwrap_or_else(|| known(&asked));
            self.report_with_help(key.line, format!("unknown key `{}`", entry.path), help);
        }
    }
}

fn json(value: &Value) -> Option<serde_json::Value> {
    match value {
        Value::String(text) => Some(text.value().as_str().into()),
        Value::Integer(number) => Some((*number.value()).into()),
        Value::Float(number) => serde_json::Number::from_f64(*number.value()).map(serde_json::Value::Number),
        Value::Boolean(flag) => Some((*flag.value()).into()),
        Value::Datetime(_) => None,
        Value::Array(items) => items.iter().map(json).collect::<Option<_>>().map(serde_json::Value::Array),
        Value::InlineTable(table) => {
            let members = table.iter().map(|(name, value)| Some((name.to_owned(), json(value)?)));
            members.collect::<Option<_>>().map(serde_json::Value::Object)
        }
    }
}

fn known(keys: &[&str]) -> String {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys.dedup();
    format!("known here: {}", keys.join(", "))
}

impl<'a> Entry<'a> {
    /// Reports a problem of this entry; `message` goes on after the entry's name.
    pub(super) fn report(&self, message: impl Display) {
        self.problems.report(self.line, format!("{}`{}` {message}", self.subject, self.path));
    }

    /// Reports a problem of this entry, with advice.
    pub(super) fn report_with_help(&self, message: impl Display, help: impl Into<String>) {
        self.problems.report_with_help(self.line, format!("{}`{}` {message}", self.subject, self.path), help);
    }

    fn expected<T>(&self, what: &str) -> Option<T> {
        self.report(format!("must be {what}, not {}", self.node.kind()));
        None
    }

    pub(super) fn is_string(&self) -> bool {
        matches!(self.node, Node::Value(Value::String(_)))
    }

    pub(super) fn is_integer(&self, number: i64) -> bool {
        matches!(self.node, Node::Value(Value::Integer(written)) if *written.value() == number)
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.node, Node::Table(_))
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.node, Node::Tables(_) | Node::Value(Value::Array(_)))
    }

    /// Whether nothing is in it: an empty array, table or string, or `false`.
    pub(super) fn is_empty(&self) -> bool {
        match self.node {
            Node::Table(table) => table.is_empty(),
            Node::Tables(tables) => tables.is_empty(),
            Node::Value(Value::Array(array)) => array.is_empty(),
            Node::Value(Value::String(text)) => text.value().is_empty(),
            Node::Value(Value::Boolean(flag)) => !*flag.value(),
            Node::Value(_) => false,
        }
    }

    pub(super) fn string(&self) -> Option<Located<Arc<str>>> {
        match self.node {
            Node::Value(Value::String(text)) => Some(Located::new(text.value().as_str().into(), self.line)),
            _ => self.expected("a string"),
        }
    }

    pub(super) fn flag(&self) -> Option<bool> {
        match self.node {
            Node::Value(Value::Boolean(flag)) => Some(*flag.value()),
            _ => self.expected("true or false"),
        }
    }

    /// The whole number, within `bounds`.
    pub(super) fn number<T>(&self, bounds: &RangeInclusive<T>) -> Option<T>
    where
        T: Copy + Display + PartialOrd + TryFrom<i64>,
    {
        let what = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let Node::Value(Value::Integer(written)) = self.node else {
            return self.expected(&what);
        };
        let number = T::try_from(*written.value()).ok().filter(|number| bounds.contains(number));
        if number.is_none() {
            self.report(format!("must be {what}, not {}", written.value()));
        }
        number
    }

    /// The value as JSON; there is no JSON for dates.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        let json = match self.node {
            Node::Value(value) => json(value),
            Node::Table(table) => {
                let members = table.iter().map(|(name, item)| Some((name.to_owned(), json(item.as_value()?)?)));
                members.collect::<Option<_>>().map(serde_json::Value::Object)
            }
            Node::Tables(_) => None,
        };
        if json.is_none() {
            self.report("has no form in JSON; write texts, numbers, truth values, and lists and inline tables of them");
        }
        json
    }

    /// The table.
    pub(super) fn section(self) -> Option<Section<'a>> {
        let Node::Table(table) = self.node else {
            return self.expected("a table");
        };
        let Self { problems, subject, path, line, .. } = self;
        Some(Section { problems, table, subject, path, line, asked: RefCell::default() })
    }

    /// The places of the array.
    pub(super) fn items(&self) -> Option<Vec<Entry<'a>>> {
        let item = |node, span: Option<std::ops::Range<usize>>| {
            let line = span.map_or(self.line, |span| self.problems.line(&span));
            Entry { problems: self.problems, subject: self.subject.clone(), path: self.path.clone(), node, line }
        };
        match self.node {
            Node::Tables(tables) => Some(tables.iter().map(|table| item(Node::Table(table), table.span())).collect()),
            Node::Value(Value::Array(array)) => {
                Some(array.iter().map(|value| item(Node::of_value(value), value.span())).collect())
            }
            _ => self.expected("an array"),
        }
    }

    /// The strings of the array.
    pub(super) fn strings(&self) -> Vec<Located<Arc<str>>> {
        self.items().unwrap_or_default().iter().filter_map(Entry::string).collect()
    }

    /// The string, or the strings of the array.
    pub(super) fn one_or_many(&self) -> Vec<Located<Arc<str>>> {
        if self.is_string() { self.string().into_iter().collect() } else { self.strings() }
    }
}
