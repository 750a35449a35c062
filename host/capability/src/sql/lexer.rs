//! The portable rules of a statement's text, checked before any engine sees it: one statement, of a kind that reads or
//! changes rows, `$n` parameters, no `::`, no reserved tables. It knows strings, quoted names and comments; the grammar
//! is left to the engine, and so is the enforcement of the sandbox.

use super::error::SqlError;
use super::limits;

/// What a statement may begin with.
const KINDS: [&str; 6] = ["SELECT", "VALUES", "WITH", "INSERT", "UPDATE", "DELETE"];

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

/// Checks the text of a statement. Answers how many parameters it takes; each of `$1` to that is in it.
pub(crate) fn check(sql: &str) -> Result<usize, SqlError> {
    if sql.len() > limits::SQL_BYTES {
        return Err(SqlError::TooLarge(format!("the text has {} bytes, at most {} fit", sql.len(), limits::SQL_BYTES)));
    }
    let mut lexer = Lexer { sql: sql.as_bytes(), at: 0 };
    let mut seen = Vec::new();
    let mut previous: Option<String> = None;
    let mut ended = false;
    while let Some((at, token)) = lexer.next()? {
        if ended {
            return Err(invalid(at, "a second statement begins; a text is one statement"));
        }
        let Some(first) = &previous else {
            previous = Some(first_word(at, &token)?);
            continue;
        };
        match &token {
            Token::Word(word) | Token::Quoted(word) => reserved(at, word)?,
            Token::Parameter(number) => note(&mut seen, at, *number)?,
            Token::End => ended = true,
            Token::Other => {}
        }
        let word = if let Token::Word(word) = token { word.to_ascii_uppercase() } else { String::new() };
        if word == "OR" && matches!(first.as_str(), "INSERT" | "UPDATE") {
            return Err(invalid(at, "OR after INSERT or UPDATE is not portable; use ON CONFLICT"));
        }
        previous = Some(word);
    }
    if previous.is_none() {
        return Err(SqlError::Invalid("there is no statement in the text".to_owned()));
    }
    if let Some(missing) = seen.iter().position(|used| !used) {
        return Err(SqlError::Invalid(format!(
            "${} is used, but not ${}: number the parameters from $1 without gaps",
            seen.len(),
            missing + 1
        )));
    }
    Ok(seen.len())
}

/// Refuses what no portable SQL has, in text that may hold any number of statements: that of a migration.
pub(crate) fn check_script(sql: &str) -> Result<(), SqlError> {
    let mut lexer = Lexer { sql: sql.as_bytes(), at: 0 };
    while lexer.next()?.is_some() {}
    Ok(())
}

fn invalid(at: usize, what: &str) -> SqlError {
    SqlError::Invalid(format!("{what} (at byte {at})"))
}

fn first_word(at: usize, token: &Token) -> Result<String, SqlError> {
    let Token::Word(word) = token else {
        return Err(invalid(at, "a statement begins with SELECT, VALUES, WITH, INSERT, UPDATE or DELETE"));
    };
    let word = word.to_ascii_uppercase();
    if KINDS.contains(&word.as_str()) {
        return Ok(word);
    }
    if REFUSED.contains(&word.as_str()) {
        return Err(SqlError::Denied(format!(
            "{word} is not permitted in a function: it may run SELECT, VALUES, WITH, INSERT, UPDATE and DELETE; \
             tables are made by migrations, transactions by `begin`"
        )));
    }
    Err(invalid(at, &format!("`{word}` begins no statement; SELECT, VALUES, WITH, INSERT, UPDATE or DELETE do")))
}

/// What the name of a table ends with that is made anew beside the one that is in use.
pub(crate) const REBUILD: &str = "__rebuild";

/// Whether `name` belongs to the host or to the engine.
pub(crate) fn is_reserved(name: &str) -> bool {
    let shadow = name.len().checked_sub(REBUILD.len()).and_then(|at| name.get(at..));
    shadow.is_some_and(|end| end.eq_ignore_ascii_case(REBUILD))
        || ["weft_", "sqlite_", "pragma_"]
            .iter()
            .any(|prefix| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)))
}

/// The text with other names where `renamed` gives one; strings and comments stay as they are.
pub(crate) fn rename(sql: &str, mut renamed: impl FnMut(&str) -> Option<String>) -> Result<String, SqlError> {
    let mut lexer = Lexer { sql: sql.as_bytes(), at: 0 };
    let (mut out, mut copied) = (String::with_capacity(sql.len() + 2 * REBUILD.len()), 0);
    while let Some((at, token)) = lexer.next()? {
        if let Token::Word(word) | Token::Quoted(word) = token
            && let Some(name) = renamed(word)
        {
            out.push_str(sql.get(copied..at).unwrap_or_default());
            out.push('"');
            out.push_str(&name);
            out.push('"');
            copied = lexer.at;
        }
    }
    out.push_str(sql.get(copied..).unwrap_or_default());
    Ok(out)
}

fn reserved(at: usize, word: &str) -> Result<(), SqlError> {
    if is_reserved(word) {
        return Err(SqlError::Denied(format!("the name `{word}` is reserved (at byte {at})")));
    }
    Ok(())
}

fn note(seen: &mut Vec<bool>, at: usize, number: usize) -> Result<(), SqlError> {
    if number > limits::PARAMETERS {
        return Err(SqlError::TooLarge(format!(
            "parameter ${number} (at byte {at}); at most {} fit",
            limits::PARAMETERS
        )));
    }
    if seen.len() < number {
        seen.resize(number, false);
    }
    if let Some(used) = number.checked_sub(1).and_then(|index| seen.get_mut(index)) {
        *used = true;
    }
    Ok(())
}

enum Token<'a> {
    Word(&'a str),
    Quoted(&'a str),
    Parameter(usize),
    /// A semicolon.
    End,
    Other,
}

struct Lexer<'a> {
    sql: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.sql.get(self.at + ahead).copied()
    }

    fn text(&self, from: usize, to: usize) -> &'a str {
        // Tokens begin and end at ASCII bytes, so that they are UTF-8 whenever the statement is.
        self.sql.get(from..to).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&wanted) {
            self.at += 1;
        }
    }

    /// Passes blanks and comments.
    fn skip_blank(&mut self) -> Result<(), SqlError> {
        loop {
            self.skip_while(|byte| byte.is_ascii_whitespace());
            match (self.peek(0), self.peek(1)) {
                (Some(b'-'), Some(b'-')) => self.skip_while(|byte| byte != b'\n'),
                (Some(b'/'), Some(b'*')) => self.skip_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn skip_comment(&mut self) -> Result<(), SqlError> {
        let start = self.at;
        self.at += 2;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'*'), Some(b'/')) => {
                    self.at += 2;
                    return Ok(());
                }
                // Engines disagree on whether comments nest.
                (Some(b'/'), Some(b'*')) => return Err(invalid(self.at, "a comment inside a comment is not portable")),
                (None, _) => return Err(invalid(start, "the comment does not end")),
                _ => self.at += 1,
            }
        }
    }

    fn next(&mut self) -> Result<Option<(usize, Token<'a>)>, SqlError> {
        self.skip_blank()?;
        let start = self.at;
        let Some(byte) = self.peek(0) else { return Ok(None) };
        let token = match byte {
            b'\'' => self.quoted(b'\'').map(|_| Token::Other)?,
            b'"' => Token::Quoted(self.quoted(b'"')?),
            b'$' => self.parameter()?,
            b';' => {
                self.at += 1;
                Token::End
            }
            byte if is_word_start(byte) => {
                self.skip_while(is_word);
                if self.peek(0) == Some(b'\'') {
                    return Err(invalid(start, "a prefixed literal is not portable; use a parameter"));
                }
                Token::Word(self.text(start, self.at))
            }
            byte if byte.is_ascii_digit() => {
                self.skip_while(|byte| is_word(byte) || byte == b'.');
                Token::Other
            }
            byte => {
                self.symbol(byte)?;
                Token::Other
            }
        };
        Ok(Some((start, token)))
    }

    /// Passes a string or a quoted name and answers what is inside.
    fn quoted(&mut self, quote: u8) -> Result<&'a str, SqlError> {
        let start = self.at;
        self.at += 1;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(byte), Some(next)) if byte == quote && next == quote => self.at += 2,
                (Some(byte), _) if byte == quote => {
                    self.at += 1;
                    return Ok(self.text(start + 1, self.at - 1));
                }
                (Some(0), _) => return Err(invalid(self.at, "NUL is not permitted")),
                (Some(_), _) => self.at += 1,
                (None, _) => return Err(invalid(start, "the quotation does not end")),
            }
        }
    }

    fn parameter(&mut self) -> Result<Token<'a>, SqlError> {
        let start = self.at;
        self.at += 1;
        self.skip_while(is_word);
        let digits = self.text(start + 1, self.at);
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        // The engine would read `$1(x)` as one name.
        match digits.parse() {
            Ok(number) if plain && self.peek(0) != Some(b'(') => Ok(Token::Parameter(number)),
            _ => Err(invalid(start, "parameters are written $1, $2 and so on")),
        }
    }

    fn symbol(&mut self, byte: u8) -> Result<(), SqlError> {
        let at = self.at;
        self.at += 1;
        match byte {
            b':' if self.peek(0) == Some(b':') => Err(invalid(at, "`::` is not portable; write CAST(x AS type)")),
            b'?' | b':' | b'@' | b'#' => Err(invalid(at, "parameters are written $1, $2 and so on")),
            b'`' | b'[' | b']' => Err(invalid(at, "names are quoted by \" alone")),
            0 => Err(invalid(at, "NUL is not permitted")),
            _ => Ok(()),
        }
    }
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_counted_wherever_they_stand() {
        for (sql, count) in [
            ("SELECT 1", 0),
            ("SELECT $2, $1", 2),
            ("select $1 where $1 = $1;", 1),
            ("SELECT '$7 ?', \"$8\" -- $9 ::\n , $1 /* ? :: ; */ ;  -- end", 1),
            ("SELECT 'it''s $3', \"a\"\"$4\", a$5, $1", 1),
            ("WITH x AS (SELECT 1) DELETE FROM t WHERE a IN ($1,$2)", 2),
        ] {
            assert_eq!(check(sql), Ok(count), "{sql}");
        }
    }

    #[test]
    fn what_is_not_portable_is_invalid() {
        for sql in [
            "",
            "  -- nothing",
            ";",
            "SELECT 1; SELECT 2",
            "SELECT ?",
            "SELECT ?1",
            "SELECT :name",
            "SELECT @name",
            "SELECT $name",
            "SELECT $1a",
            "SELECT $0",
            "SELECT $01",
            "SELECT $1(x)",
            "SELECT $",
            "SELECT $2",
            "SELECT a::text FROM t",
            "SELECT $1::bigint",
            "SELECT `a` FROM t",
            "SELECT [a] FROM t",
            "SELECT x'00'",
            "SELECT 'open",
            "SELECT /* open",
            "INSERT OR IGNORE INTO t VALUES (1)",
            "UPDATE OR ROLLBACK t SET a = 1",
            "REPLACE INTO t VALUES (1)",
            "(SELECT 1)",
            "SELECT '\0'",
        ] {
            assert!(matches!(check(sql), Err(SqlError::Invalid(_))), "{sql}: {:?}", check(sql));
        }
    }

    #[test]
    fn what_is_not_for_functions_is_denied() {
        for sql in [
            "ATTACH 'x' AS y",
            "/**/ pragma user_version",
            "BEGIN",
            "commit",
            "VACUUM INTO 'x'",
            "CREATE TABLE t (a TEXT)",
            "SELECT * FROM weft_done",
            "SELECT * FROM \"WEFT_outbox\"",
            "SELECT * FROM sqlite_master",
            "SELECT * FROM pragma_table_info('t')",
            "SELECT * FROM t__rebuild",
            "DELETE FROM \"t__REBUILD\"",
        ] {
            assert!(matches!(check(sql), Err(SqlError::Denied(_))), "{sql}: {:?}", check(sql));
        }
    }

    #[test]
    fn names_are_replaced_and_nothing_else() {
        let renamed = |name: &str| name.eq_ignore_ascii_case("t").then(|| "new".to_owned());
        for (sql, expected) in [
            ("SELECT t.a FROM t", "SELECT \"new\".a FROM \"new\""),
            ("INSERT INTO T (a) VALUES ('t', $1)", "INSERT INTO \"new\" (a) VALUES ('t', $1)"),
            ("UPDATE \"t\" SET a = 'it''s t' -- t\n", "UPDATE \"new\" SET a = 'it''s t' -- t\n"),
            ("SELECT tt, t_, at FROM x /* t */", "SELECT tt, t_, at FROM x /* t */"),
            ("SELECT 'ü', t FROM ü", "SELECT 'ü', \"new\" FROM ü"),
        ] {
            assert_eq!(rename(sql, renamed).as_deref(), Ok(expected), "{sql}");
        }
        assert!(rename("SELECT 'open", renamed).is_err());
    }

    #[test]
    fn sizes_are_bounded() {
        assert!(matches!(check("SELECT $1000"), Err(SqlError::TooLarge(_))));
        assert!(matches!(check("SELECT $99999999999999999999999"), Err(SqlError::Invalid(_))));
        let long = format!("SELECT '{}'", "x".repeat(limits::SQL_BYTES));
        assert!(matches!(check(&long), Err(SqlError::TooLarge(_))));
    }
}
