//! Which answers are compressed. Compressing them belongs to the gateway.

use std::sync::Arc;

use crate::manifest::section::Section;

/// Most media types.
const MAX_TYPES: usize = 64;
/// What the gateway can do, in the order in which it is preferred.
const ALGORITHMS: [&str; 3] = ["zstd", "br", "gzip"];
/// What is text inside. Pictures, films, fonts in WOFF2 and archives are compressed already.
const TYPES: [&str; 12] = [
    "text/*",
    "application/json",
    "application/*+json",
    "application/x-ndjson",
    "application/javascript",
    "application/manifest+json",
    "application/xml",
    "application/*+xml",
    "application/wasm",
    "image/svg+xml",
    "image/bmp",
    "font/ttf",
];

/// `[application.tool.weft.gateway.compression]`: answers are compressed in a way that the client accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compression {
    /// `zstd`, `br` and `gzip`, in the order in which they are preferred; all three by default.
    pub algorithms: Vec<Arc<str>>,
    /// The smallest answer that is compressed, in bytes: 0 to 1 MiB, 1 KiB by default.
    pub min_bytes: u32,
    /// Media types that are compressed, at most 64: `text/html`, `text/*`, `application/*+json`.
    pub types: Vec<Arc<str>>,
}

impl Default for Compression {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
        Self { algorithms: list(&ALGORITHMS), min_bytes: 1024, types: list(&TYPES) }
    }
}

impl Compression {
    pub(in crate::manifest) fn read(section: Section<'_>) -> Self {
        let mut compression = Self::default();
        let list = |key, is_valid: fn(&str) -> bool, syntax| {
            let names = section.names(key, is_valid, syntax);
            (!names.is_empty()).then(|| names.into_iter().map(|name| name.value).collect())
        };
        let is_algorithm = |text: &str| ALGORITHMS.contains(&text);
        if let Some(algorithms) = list("algorithms", is_algorithm, "one of zstd, br and gzip") {
            compression.algorithms = algorithms;
        }
        if let Some(types) =
            list("types", is_media_type, "a media type such as text/html, text/* or application/*+json")
        {
            compression.types = types;
        }
        if compression.types.len() > MAX_TYPES {
            section.report(section.line, format!("`types` has at most {MAX_TYPES} media types"));
        }
        compression.min_bytes = section.number("min_bytes", 0..=1 << 20, compression.min_bytes);
        section.finish();
        compression
    }
}

fn is_media_type(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-._".contains(&byte))
    };
    let is_subtype = |subtype: &str| match subtype.strip_prefix('*') {
        Some(rest) => rest.is_empty() || rest.strip_prefix('+').is_some_and(is_word),
        None => is_word(subtype),
    };
    text.split_once('/').is_some_and(|(kind, subtype)| is_word(kind) && is_subtype(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_may_end_in_a_wildcard() {
        for good in TYPES.into_iter().chain(["text/html", "application/vnd.api+json"]) {
            assert!(is_media_type(good), "{good}");
        }
        for bad in ["", "text", "text/", "*/*", "/html", "text/ht*", "text/html; charset=utf-8", "Text/HTML", "a/*b"] {
            assert!(!is_media_type(bad), "{bad}");
        }
    }
}
