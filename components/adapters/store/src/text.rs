//! The text of a statement: the portable rules it has to keep (those of `weft:sql`, the same as under Weft), whether it
//! only reads, and how it reads in SQLite's own words (`?2` for `$2`). As there is no authorizer under Spin, these rules are
//! also what keeps a function away from what is not its own. Knows strings, quoted names and comments, no grammar.

mod lexer;
mod script;

use crate::bindings::weft::sql::types::{Error, Value};
use crate::check::limits;
use lexer::{Lexer, Token};

pub(crate) use script::statements;

/// Beginnings that are SQL, but not for functions.
const REFUSED: [&str; 24] = [
    "ALTER",
    "ANALYZE",
    "ATTACH",
    "BEGIN",
    "CALL",
    "COMMIT",
    "COPY",
    "CREATE",
    "DETACH",
    "DO",
    "DROP",
    "END",
    "EXPLAIN",
    "GRANT",
    "LOCK",
    "PRAGMA",
    "REINDEX",
    "RELEASE",
    "ROLLBACK",
    "SAVEPOINT",
    "SET",
    "START",
    "TRUNCATE",
    "VACUUM",
];

/// A statement that keeps the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What SQLite is given.
    pub sql: String,
    /// How many parameters it takes.
    pub parameters: usize,
    /// Whether it changes nothing.
    pub reads: bool,
}

/// Checks a statement and its parameters.
///
/// # Errors
/// Which rule it breaks, and where.
pub fn statement(sql: &str, parameters: &[Value]) -> Result<Checked, Error> {
    let checked = check(sql)?;
    if checked.parameters != parameters.len() {
        let (wanted, given) = (checked.parameters, parameters.len());
        return Err(Error::Invalid(format!("the statement takes {wanted} parameters, and {given} are given")));
    }
    parameters.iter().enumerate().try_for_each(|(index, value)| parameter(index + 1, value))?;
    Ok(checked)
}

fn parameter(number: usize, value: &Value) -> Result<(), Error> {
    match value {
        Value::Float64(float) if float.is_nan() => {
            Err(Error::Invalid(format!("${number} is NaN, which engines disagree about; use NULL")))
        }
        Value::Text(text) if text.contains('\0') => {
            Err(Error::Invalid(format!("${number} has a NUL in its text; use a blob")))
        }
        value if bytes(value) > limits::VALUE_BYTES => {
            Err(Error::TooLarge(format!("${number} has {} bytes, at most {} fit", bytes(value), limits::VALUE_BYTES)))
        }
        _ => Ok(()),
    }
}

/// What a value counts against limits on bytes.
pub(crate) fn bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Boolean(_) => 1,
        Value::Int64(_) | Value::Float64(_) => 8,
        Value::Text(text) => text.len(),
        Value::Blob(blob) => blob.len(),
    }
}

/// Checks the text of a statement.
///
/// # Errors
/// Which rule it breaks, and where.
pub fn check(sql: &str) -> Result<Checked, Error> {
    if sql.len() > limits::SQL_BYTES {
        return Err(Error::TooLarge(format!("the text has {} bytes, at most {} fit", sql.len(), limits::SQL_BYTES)));
    }
    let mut lexer = Lexer::new(sql);
    let mut reading = Reading::default();
    let mut rewritten = Rewritten::new(sql);
    while let Some((at, token)) = lexer.next()? {
        if let Token::Parameter(_) = token {
            rewritten.replace(at, at + 1, "?");
        }
        reading.take(at, &token)?;
    }
    let parameters = reading.end()?;
    Ok(Checked { sql: rewritten.end(), parameters, reads: reading.reads })
}

/// A copy of a text, with other words in some places.
struct Rewritten<'a> {
    text: &'a str,
    copied: usize,
    out: String,
}

impl<'a> Rewritten<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, copied: 0, out: String::with_capacity(text.len()) }
    }

    fn replace(&mut self, from: usize, to: usize, by: &str) {
        self.out.push_str(self.text.get(self.copied..from).unwrap_or_default());
        self.out.push_str(by);
        self.copied = to;
    }

    fn end(mut self) -> String {
        self.out.push_str(self.text.get(self.copied..).unwrap_or_default());
        self.out
    }
}

/// What is known of a statement so far.
#[derive(Default)]
struct Reading {
    seen: Vec<bool>,
    first: Option<String>,
    previous: String,
    depth: usize,
    /// What the statement does is known.
    decided: bool,
    reads: bool,
    ended: bool,
}

impl Reading {
    fn take(&mut self, at: usize, token: &Token<'_>) -> Result<(), Error> {
        if self.ended {
            return Err(invalid(at, "a second statement begins; a text is one statement"));
        }
        let word = if let Token::Word(word) = token { word.to_ascii_uppercase() } else { String::new() };
        if self.first.is_none() {
            first_word(at, token, &word)?;
            self.first = Some(word.clone());
        } else {
            self.further(at, token, &word)?;
        }
        self.decide(&word);
        self.previous = word;
        Ok(())
    }

    fn further(&mut self, at: usize, token: &Token<'_>, word: &str) -> Result<(), Error> {
        match token {
            Token::Word(name) | Token::Quoted(name) => reserved(at, name)?,
            Token::Parameter(number) => note(&mut self.seen, at, *number)?,
            Token::Open => self.depth += 1,
            Token::Close => self.depth = self.depth.saturating_sub(1),
            Token::End => self.ended = true,
            Token::Other => {}
        }
        if word == "OR" && matches!(self.previous.as_str(), "INSERT" | "UPDATE") {
            return Err(invalid(at, "OR after INSERT or UPDATE is not portable; use ON CONFLICT"));
        }
        Ok(())
    }

    /// The first verb outside parentheses says what the statement does: behind WITH those of its tables come first, in
    /// parentheses.
    fn decide(&mut self, word: &str) {
        if self.decided || self.depth > 0 {
            return;
        }
        match word {
            "SELECT" | "VALUES" => (self.decided, self.reads) = (true, true),
            "INSERT" | "UPDATE" | "DELETE" | "REPLACE" => self.decided = true,
            _ => {}
        }
    }

    fn end(&self) -> Result<usize, Error> {
        if self.first.is_none() {
            return Err(Error::Invalid("there is no statement in the text".to_owned()));
        }
        if let Some(missing) = self.seen.iter().position(|used| !used) {
            let (most, missing) = (self.seen.len(), missing + 1);
            let text = format!("${most} is used, but not ${missing}: number the parameters from $1 without gaps");
            return Err(Error::Invalid(text));
        }
        Ok(self.seen.len())
    }
}

fn invalid(at: usize, what: &str) -> Error {
    Error::Invalid(format!("{what} (at byte {at})"))
}

fn first_word(at: usize, token: &Token<'_>, word: &str) -> Result<(), Error> {
    if !matches!(token, Token::Word(_)) {
        return Err(invalid(at, "a statement begins with SELECT, VALUES, WITH, INSERT, UPDATE or DELETE"));
    }
    if matches!(word, "SELECT" | "VALUES" | "WITH" | "INSERT" | "UPDATE" | "DELETE") {
        return Ok(());
    }
    if REFUSED.contains(&word) {
        return Err(Error::Denied(format!(
            "{word} is not permitted in a function: it may run SELECT, VALUES, WITH, INSERT, UPDATE and DELETE; \
             tables are made by migrations, transactions by `begin`"
        )));
    }
    Err(invalid(at, &format!("`{word}` begins no statement; SELECT, VALUES, WITH, INSERT, UPDATE or DELETE do")))
}

/// Whether `name` belongs to us or to the engine.
fn is_reserved(name: &str) -> bool {
    let begins = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    name.to_ascii_lowercase().ends_with("__rebuild")
        || begins("weft_")
        || begins("sqlite_")
        || begins("pragma_")
        || name.eq_ignore_ascii_case("load_extension")
}

fn reserved(at: usize, word: &str) -> Result<(), Error> {
    if is_reserved(word) {
        return Err(Error::Denied(format!("the name `{word}` is reserved (at byte {at})")));
    }
    Ok(())
}

fn note(seen: &mut Vec<bool>, at: usize, number: usize) -> Result<(), Error> {
    if number > limits::PARAMETERS {
        let most = limits::PARAMETERS;
        return Err(Error::TooLarge(format!("parameter ${number} (at byte {at}); at most {most} fit")));
    }
    if seen.len() < number {
        seen.resize(number, false);
    }
    if let Some(used) = number.checked_sub(1).and_then(|index| seen.get_mut(index)) {
        *used = true;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
