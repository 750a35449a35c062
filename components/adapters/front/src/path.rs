//! Which request paths are taken at all. Refused with 400, because two readers of one URL could disagree about them: `.`
//! and `..` segments, also encoded; encoded `/` and `\`, and a plain `\`; control characters; broken percent-encoding; bytes
//! that are no UTF-8.

/// Accepts or refuses a whole path.
pub(crate) fn check(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("The request target must be a path that begins with a slash.");
    }
    path.split('/').try_for_each(check_segment)
}

fn check_segment(segment: &str) -> Result<(), &'static str> {
    let decoded = decode(segment)?;
    if matches!(&*decoded, "." | "..") {
        return Err("The path contains a dot segment.");
    }
    if decoded.contains(['/', '\\']) {
        return Err("The path contains a backslash or an encoded slash.");
    }
    if decoded.contains(char::is_control) {
        return Err("The path contains a control character.");
    }
    Ok(())
}

fn decode(segment: &str) -> Result<String, &'static str> {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (high, low) = (bytes.next().and_then(hex_digit), bytes.next().and_then(hex_digit));
        let (Some(high), Some(low)) = (high, low) else {
            return Err("The path contains a percent sign that two hex digits do not follow.");
        };
        decoded.push(high << 4 | low);
    }
    String::from_utf8(decoded).map_err(|_| "The path is not UTF-8 after percent-decoding.")
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn takes_ordinary_paths_and_refuses_what_two_readers_could_read_differently() {
        for good in ["/", "/api/courses", "/a.b/..c/...", "/caf%C3%A9", "/a%20b", "//a", "/a+b:c@d"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "*",
            "a/b",
            "/.",
            "/a/../b",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/a%00b",
            "/a%0d%0a",
            "/a%7f",
            "/a%",
            "/a%4",
            "/a%zz",
            "/a%+1",
            "/%ff",
            "/%c3%28",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
