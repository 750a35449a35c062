//! A migration's text as single statements: Spin runs one at a time. Refuses what no migration may do.

use super::lexer::{Lexer, Token};
use super::{Error, invalid, is_reserved};

/// What a migration's statements may not begin with: the transaction is ours, the settings are the connection's.
const REFUSED: [&str; 10] =
    ["ATTACH", "BEGIN", "COMMIT", "DETACH", "END", "PRAGMA", "RELEASE", "ROLLBACK", "SAVEPOINT", "VACUUM"];

/// The statements of a migration, in order, without their semicolons.
pub(crate) fn statements(sql: &str) -> Result<Vec<&str>, Error> {
    let mut lexer = Lexer::new(sql);
    let (mut found, mut open) = (Vec::new(), Open::default());
    while let Some((at, token)) = lexer.next()? {
        match token {
            Token::End if open.blocks == 0 => {
                found.extend(open.begin.and_then(|begin| sql.get(begin..at)));
                open = Open::default();
            }
            Token::Word(word) => open.word(at, word)?,
            Token::Quoted(name) => open.name(at, name)?,
            Token::Parameter(_) => return Err(invalid(at, "a migration has no parameters")),
            _ => open.other(at),
        }
    }
    found.extend(open.begin.and_then(|begin| sql.get(begin..lexer.at())));
    Ok(found)
}

/// The statement that is being read.
#[derive(Default)]
struct Open {
    begin: Option<usize>,
    /// The first word is CREATE.
    creates: bool,
    trigger: bool,
    /// Blocks of a trigger that are open: BEGIN and CASE, ended by END.
    blocks: usize,
}

impl Open {
    fn word(&mut self, at: usize, word: &str) -> Result<(), Error> {
        let upper = word.to_ascii_uppercase();
        if self.begin.is_none() {
            if REFUSED.contains(&upper.as_str()) {
                return Err(Error::Denied(format!("{upper} is not permitted in a migration (at byte {at})")));
            }
            self.creates = upper == "CREATE";
        }
        self.trigger |= self.creates && upper == "TRIGGER";
        match upper.as_str() {
            "BEGIN" | "CASE" if self.trigger => self.blocks += 1,
            "END" if self.trigger => self.blocks = self.blocks.saturating_sub(1),
            _ => {}
        }
        self.name(at, word)
    }

    fn name(&mut self, at: usize, name: &str) -> Result<(), Error> {
        self.other(at);
        if is_reserved(name) {
            return Err(Error::Denied(format!("the name `{name}` is reserved (at byte {at})")));
        }
        Ok(())
    }

    fn other(&mut self, at: usize) {
        self.begin.get_or_insert(at);
    }
}
