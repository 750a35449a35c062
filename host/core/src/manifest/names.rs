//! The syntax of ids and names in a manifest, and the nearest known name to one that is not known.

/// The longest id or name, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Spin's kebab-case: words of letters and digits separated by `-`, each starting with a letter and of one case.
pub(super) fn is_kebab(name: &str) -> bool {
    is_words(name, '-')
}

/// A label: kebab-case or snake_case.
pub(super) fn is_label(name: &str) -> bool {
    is_words(name, '-') || is_words(name, '_')
}

/// A variable's name: snake_case in lower case.
pub(super) fn is_variable(name: &str) -> bool {
    is_words(name, '_') && !name.chars().any(|c| c.is_ascii_uppercase())
}

fn is_words(name: &str, separator: char) -> bool {
    name.len() <= MAX_NAME_BYTES && name.split(separator).all(is_word)
}

fn is_word(word: &str) -> bool {
    let lower = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let upper = word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    word.starts_with(|c: char| c.is_ascii_alphabetic()) && (lower || upper)
}

/// An interface's full name: `namespace:package/interface`, with `@version` where the package has one.
pub(super) fn is_interface(name: &str) -> bool {
    let (path, version) = match name.split_once('@') {
        Some((path, version)) => (path, Some(version)),
        None => (name, None),
    };
    let parts = path.split_once('/').and_then(|(package, interface)| Some((package.split_once(':')?, interface)));
    let Some(((namespace, package), interface)) = parts else {
        return false;
    };
    let names = is_kebab(namespace) && is_kebab(package) && is_kebab(interface);
    names && version.is_none_or(is_version)
}

/// Three numbers, and whatever follows a `-` or `+` in semantic versions.
fn is_version(version: &str) -> bool {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers = core.split('.').filter(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit())).count();
    let tail = version.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'));
    numbers == 3 && core.split('.').count() == 3 && tail
}

/// The candidate that `name` was most likely meant to be; `None` if none is near.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).max(1);
    let is_start = |candidate: &str| name.len() >= 3 && candidate.starts_with(name);
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed || is_start(candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance in characters; names beyond the length of any id are far from everything.
fn distance(from: &str, to: &str) -> usize {
    if from.len() > MAX_NAME_BYTES || to.len() > MAX_NAME_BYTES {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (number, from_char) in from.chars().enumerate() {
        let mut left = number + 1;
        let mut next = vec![left];
        for (to_char, (diagonal, above)) in to.chars().zip(row.iter().zip(row.iter().skip(1))) {
            left = (left + 1).min(above + 1).min(diagonal + usize::from(from_char != to_char));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// The id of a component or the name of a service, or the beginning of such and a `*`.
pub(super) fn is_pattern(text: &str) -> bool {
    is_kebab(text.strip_suffix('*').unwrap_or(text).trim_end_matches('-'))
}

/// Whether a pattern of [`is_pattern`] covers the name.
pub(super) fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// RFC 9110's token: a header's name, a method.
pub(super) fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// A host as it stands in a URL without a port, in lower case: a name in ASCII, or an address.
pub(super) fn is_host(name: &str) -> bool {
    let is_literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = is_literal {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_spin_has_them() {
        assert!(is_kebab("courses-create") && is_kebab("a") && is_kebab("HTTP-get2"));
        for bad in ["", "-a", "a--b", "a_b", "aB", "2a", "a-1", "ä", &"a".repeat(MAX_NAME_BYTES + 1)] {
            assert!(!is_kebab(bad), "{bad:?}");
        }
        assert!(is_label("snake_case") && is_label("kebab-case") && !is_label("b@d"));
        assert!(is_variable("jwt_private_key") && !is_variable("JWT") && !is_variable("a-b"));
    }

    #[test]
    fn interfaces_have_namespace_package_and_name() {
        for good in ["education:courses/seats@1.0.0", "a:b/c", "a:b/c@0.2.0-draft2"] {
            assert!(is_interface(good), "{good:?}");
        }
        for bad in
            ["", "seats", "courses/seats", "a:b", "a:b/c@1", "a:b/c@1.0", "a:b/c@x.y.z", "a:b/c/d", "a:b/c@1.0.0 "]
        {
            assert!(!is_interface(bad), "{bad:?}");
        }
    }

    #[test]
    fn nearest_is_near() {
        assert_eq!(nearest("memroy_mb", ["memory_mb", "cpu_ms"]), Some("memory_mb"));
        assert_eq!(nearest("nam", ["name", "base"]), Some("name"));
        assert_eq!(nearest("max_body", ["max_body_bytes", "cpu_ms"]), Some("max_body_bytes"));
        assert_eq!(nearest("frobnicate", ["memory_mb", "cpu_ms"]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
