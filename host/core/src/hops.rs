//! How deep a request lies in requests that functions send to their own host: by `http://127.0.0.1`, by the public name,
//! through whatever stands in front. It travels in `CDN-Loop` (RFC 8586), which intermediaries pass on and add to. Depth
//! inside the host is in [`CallContext`](crate::CallContext).

/// The header's name.
pub const HEADER: &str = "cdn-loop";
/// Who we are in it.
const OWN: &str = "weft";

/// What a request that lies so deep says of itself.
#[must_use]
pub fn entry(depth: u16) -> String {
    format!("{OWN}; depth={depth}")
}

/// How deep a request lies that carries these values of the header: as deep as the deepest entry of ours says. Entries
/// of others, and what is none, count for nothing.
pub fn depth<'a>(values: impl Iterator<Item = &'a [u8]>) -> u16 {
    let entries = values.filter_map(|value| std::str::from_utf8(value).ok()).flat_map(|value| value.split(','));
    entries.filter_map(depth_of).max().unwrap_or(0)
}

fn depth_of(entry: &str) -> Option<u16> {
    let (name, parameters) = entry.split_once(';')?;
    let depth = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("depth="));
    depth.filter(|_| name.trim() == OWN)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_entry_counts() {
        let rows: [(&[&str], u16); 8] = [
            (&[], 0),
            (&["weft; depth=3"], 3),
            (&["weft; depth=3, weft; depth=7", "weft;depth=5"], 7),
            (&["other; depth=9, weft; depth=1"], 1),
            (&["weft"], 0),
            (&["weft; depth=70000", "weft; depth=-1", "weft; depth=x"], 0),
            (&["weft; a=b; depth=2"], 2),
            (&[",;,\u{e4}"], 0),
        ];
        for (values, expected) in rows {
            assert_eq!(depth(values.iter().map(|value| value.as_bytes())), expected, "{values:?}");
        }
        assert_eq!(depth([entry(31).as_bytes()].into_iter()), 31);
    }
}
