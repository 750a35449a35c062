//! Words, quotations, parameters and comments of SQL; refuses spellings that engines disagree about. What the words may be
//! is the caller's business.

use super::invalid;
use crate::bindings::weft::sql::types::Error;

pub(super) enum Token<'a> {
    Word(&'a str),
    Quoted(&'a str),
    Parameter(usize),
    Open,
    Close,
    /// A semicolon.
    End,
    Other,
}

pub(super) struct Lexer<'a> {
    sql: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(sql: &'a str) -> Self {
        Self { sql: sql.as_bytes(), at: 0 }
    }

    /// Where the next token is looked for.
    pub(super) fn at(&self) -> usize {
        self.at
    }

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
    fn skip_blank(&mut self) -> Result<(), Error> {
        loop {
            self.skip_while(|byte| byte.is_ascii_whitespace());
            match (self.peek(0), self.peek(1)) {
                (Some(b'-'), Some(b'-')) => self.skip_while(|byte| byte != b'\n'),
                (Some(b'/'), Some(b'*')) => self.skip_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn skip_comment(&mut self) -> Result<(), Error> {
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

    /// The next token and where it begins.
    pub(super) fn next(&mut self) -> Result<Option<(usize, Token<'a>)>, Error> {
        self.skip_blank()?;
        let start = self.at;
        let Some(byte) = self.peek(0) else { return Ok(None) };
        let token = match byte {
            b'\'' => self.quoted(b'\'').map(|_| Token::Other)?,
            b'"' => Token::Quoted(self.quoted(b'"')?),
            b'$' => self.parameter()?,
            b';' => self.one(Token::End),
            b'(' => self.one(Token::Open),
            b')' => self.one(Token::Close),
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

    fn one(&mut self, token: Token<'a>) -> Token<'a> {
        self.at += 1;
        token
    }

    /// Passes a string or a quoted name and answers what is inside.
    fn quoted(&mut self, quote: u8) -> Result<&'a str, Error> {
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

    fn parameter(&mut self) -> Result<Token<'a>, Error> {
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

    fn symbol(&mut self, byte: u8) -> Result<(), Error> {
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
