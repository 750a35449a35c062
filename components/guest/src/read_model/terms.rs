//! Words as they are searched for: the same for texts and for queries, so that whoever writes an index and whoever reads
//! it agree. Pure: no language is known, and no list of words is left out.

use std::collections::BTreeSet;

use crate::params;
use crate::sql::{Statement, Value, sql};

/// Longer words are cut: what is beyond is addresses and codes.
const TERM_MAX_CHARS: usize = 64;
/// Terms that one statement writes: few enough for its parameters.
const TERMS_PER_STATEMENT: usize = 200;

/// The words of a text in their order: in lower case, without accents, letters and digits alone. Each sign of a script
/// that writes no spaces (Han, kana) is a word of its own.
#[must_use]
pub fn terms(text: &str) -> Vec<String> {
    let (mut terms, mut term) = (Vec::new(), String::new());
    for c in text.chars().filter(|c| !is_accent(*c)).flat_map(char::to_lowercase) {
        if is_unspaced(c) && c.is_alphanumeric() {
            end(&mut terms, &mut term);
            terms.push(c.to_string());
        } else if c.is_alphanumeric() {
            match plain(c) {
                Some(letters) => term.push_str(letters),
                None => term.push(c),
            }
        } else if !is_accent(c) {
            end(&mut terms, &mut term);
        }
    }
    end(&mut terms, &mut term);
    terms
}

/// What a projection writes so that `id` is found by the words of these texts, and by no others.
#[must_use]
pub fn index(table: &str, id: &str, texts: &[&str]) -> Vec<Statement> {
    let found: BTreeSet<String> = texts.iter().flat_map(|text| terms(text)).collect();
    let found: Vec<String> = found.into_iter().collect();
    let insert = |terms: &[String]| {
        let places: Vec<String> = (2..terms.len() + 2).map(|number| format!("(${number}, $1)")).collect();
        let parameters = std::iter::once(Value::from(id)).chain(terms.iter().map(Value::from)).collect();
        sql(&format!("INSERT INTO {table} (term, id) VALUES {}", places.join(", ")), parameters)
    };
    std::iter::once(unindex(table, id)).chain(found.chunks(TERMS_PER_STATEMENT).map(insert)).collect()
}

/// What a projection writes so that `id` is found no more.
#[must_use]
pub fn unindex(table: &str, id: &str) -> Statement {
    sql(&format!("DELETE FROM {table} WHERE id = $1"), params![id])
}

fn end(terms: &mut Vec<String>, term: &mut String) {
    if !term.is_empty() {
        terms.push(term.chars().take(TERM_MAX_CHARS).collect());
        term.clear();
    }
}

/// Whether the character is a mark on the letter before it; two are kana's.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{3099}' | '\u{309a}')
}

/// Whether the character is of a script that writes no spaces between words and has a sign for a word.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{323af}')
}

/// The letters without marks, for the letters of European languages; they are in lower case.
fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        'à'..='å' | 'ā' | 'ă' | 'ą' | 'ǎ' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ĥ' | 'ħ' => "h",
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => "i",
        'ĵ' => "j",
        'ķ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
        'œ' => "oe",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'ţ' | 'ť' | 'ŧ' | 'ț' => "t",
        'þ' => "th",
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
        'ŵ' => "w",
        'ý' | 'ÿ' | 'ŷ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_found_in_every_spelling() {
        assert_eq!(terms("Übung macht den MEISTER!"), ["ubung", "macht", "den", "meister"]);
        assert_eq!(terms("cafe\u{301} CAFÉ Straße Łódź"), ["cafe", "cafe", "strasse", "lodz"]);
        assert_eq!(terms("CS-101, İstanbul"), ["cs", "101", "istanbul"]);
        assert_eq!(terms("編訳 x"), ["編", "訳", "x"]);
        assert_eq!(terms("か\u{3099}・カ゛x"), ["か", "カ", "x"]);
        assert_eq!(terms("Разбор"), ["разбор"]);
        assert_eq!(terms(" ?! "), Vec::<String>::new());
    }

    #[test]
    fn an_index_is_written_anew() {
        let [delete, insert] = index("words", "i", &["a b", "B c"]).try_into().unwrap();
        assert_eq!(delete.sql, "DELETE FROM words WHERE id = $1");
        assert_eq!(insert.sql, "INSERT INTO words (term, id) VALUES ($2, $1), ($3, $1), ($4, $1)");
        assert_eq!(insert.parameters, params!["i", "a", "b", "c"]);
        assert_eq!(index("words", "i", &[""]).len(), 1);
        let many: String = (0..1000).map(|number| format!("{number} ")).collect();
        assert_eq!(index("words", "i", &[&many]).len(), 6);
    }

    proptest! {
        #[test]
        fn a_term_is_its_own_only_term(text in "\\PC{0,80}") {
            for term in terms(&text) {
                prop_assert!(!term.is_empty());
                // No wildcard of LIKE, nothing to quote.
                prop_assert!(term.chars().all(char::is_alphanumeric), "{term:?}");
                prop_assert_eq!(terms(&term).concat().chars().take(64).collect::<String>(), term.chars().take(64).collect::<String>());
            }
        }

        #[test]
        fn case_makes_no_difference(text in "[a-zA-Zà-öÀ-Ö ]{0,60}") {
            prop_assert_eq!(terms(&text), terms(&text.to_uppercase()));
        }
    }
}
