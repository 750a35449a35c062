//! Which request paths are taken at all, and percent-decoding of captured segments.
//!
//! Refused with 400, because two readers of one URL could disagree about them: `.` and `..` segments, also encoded;
//! encoded `/` and `\`, and a plain `\`; NUL and other control characters; broken percent-encoding; bytes that are no
//! UTF-8. Everything else is matched as it stands: a literal segment is compared without decoding, as Spin does, and an
//! empty segment (`//`) matches no literal and no parameter.

use std::borrow::Cow;

/// Why a path is refused, for the client.
pub(crate) type PathError = &'static str;

/// Accepts or refuses a whole path.
pub(crate) fn check(path: &str) -> Result<(), PathError> {
    if !path.starts_with('/') {
        return Err("The request target must be a path that begins with a slash.");
    }
    // Nearly every path has none of these and is done after one pass over its bytes.
    if !path.bytes().any(|byte| matches!(byte, b'%' | b'\\' | b'.' | 0..=0x1f | 0x7f)) {
        return Ok(());
    }
    path.split('/').try_for_each(check_segment)
}

fn check_segment(segment: &str) -> Result<(), PathError> {
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

/// Percent-decodes one segment. `+` stays what it is.
pub(crate) fn decode(segment: &str) -> Result<Cow<'_, str>, PathError> {
    if !segment.contains('%') {
        return Ok(Cow::Borrowed(segment));
    }
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
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| "The path is not UTF-8 after percent-decoding.")
}

fn hex_digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_ordinary_paths() {
        for good in ["/", "/api/courses", "/a.b/..c/...", "/caf%C3%A9", "/a%20b", "//a", "/a+b:c@d"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn refuses_what_two_readers_could_read_differently() {
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

    #[test]
    fn decodes_once() {
        assert_eq!(decode("a%2520b").as_deref(), Ok("a%20b"));
        assert_eq!(decode("caf%C3%A9").as_deref(), Ok("café"));
        assert_eq!(decode("a+b").as_deref(), Ok("a+b"));
    }
}
