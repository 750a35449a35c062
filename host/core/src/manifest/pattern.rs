//! A route's path pattern with Spin's syntax and Spin's precedence. Methods and access belong to [`super::route`].

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The longest route, in bytes.
pub const MAX_ROUTE_BYTES: usize = 1024;

/// Why a text is no route. Client fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Longer than [`MAX_ROUTE_BYTES`].
    #[error("a route has at most {MAX_ROUTE_BYTES} bytes")]
    TooLong,
    /// No `/` at the start.
    #[error("a route starts with `/`")]
    NoSlash,
    /// `//`.
    #[error("a route has no empty segments")]
    EmptySegment,
    /// `...` that is not the last segment.
    #[error("`...` stands at the end alone, as in `/files/...`")]
    Wildcard,
    /// `*`, which other systems have.
    #[error("`*` is not a wildcard in a route: end it with `/...`")]
    Star,
    /// `:` without a name of letters, digits, `_` and `-`.
    #[error("{0:?} is not a parameter: `:` and a name of letters, digits, `_` and `-`")]
    Parameter(String),
    /// One name for two parameters.
    #[error("the parameter `:{0}` stands there twice")]
    Repeated(String),
    /// A character that no path has.
    #[error("{0:?} may not stand in a path; write it percent-encoded")]
    Character(char),
}

/// One segment of a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// Matches itself, byte for byte as it stands in the request, percent-encoding included.
    Literal(Box<str>),
    /// `:name`: matches any one segment that is not empty.
    Parameter(Box<str>),
}

/// A route's path: `/api/courses`, `/api/courses/:id`, `/files/...`.
///
/// A trailing slash means nothing, in the pattern and in the request. The order is that of precedence, the first to
/// try first: segment by segment a literal before a parameter before the end before `...`; so exact beats parameter
/// beats wildcard, and of two wildcards the longer wins. The default is `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RoutePattern {
    segments: Box<[Segment]>,
    wildcard: bool,
}

/// What a pattern's parameters and wildcard stand for in one path, not percent-decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures<'r, 'p> {
    /// Parameters by name, in the order of the path.
    pub parameters: Vec<(&'r str, &'p str)>,
    /// What stands for `...`, with its leading slash; empty if nothing does. `None` without a wildcard.
    pub wildcard: Option<&'p str>,
}

impl RoutePattern {
    /// The segments before any `...`.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether it ends in `...`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The path of one literal segment, which has only letters, digits and `-._`.
    pub(super) fn literal(segment: &'static str) -> Self {
        Self { segments: [Segment::Literal(segment.into())].into(), wildcard: false }
    }

    /// Whether it matches one path alone.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !self.wildcard && self.segments.iter().all(|segment| matches!(segment, Segment::Literal(_)))
    }

    /// Matches the path of a request, which starts with `/` and has no query.
    #[must_use]
    pub fn matches<'r, 'p>(&'r self, path: &'p str) -> Option<Captures<'r, 'p>> {
        let mut captures = Captures::default();
        // Always empty or starting with a slash.
        let mut rest = path;
        for segment in &self.segments {
            let (found, after) = first_segment(rest.strip_prefix('/')?);
            match segment {
                Segment::Literal(literal) if **literal == *found => {}
                Segment::Parameter(name) if !found.is_empty() => captures.parameters.push((name, found)),
                _ => return None,
            }
            rest = after;
        }
        if self.wildcard && (rest.is_empty() || rest.starts_with('/')) {
            captures.wildcard = Some(rest);
        } else if !matches!(rest, "" | "/") {
            return None;
        }
        Some(captures)
    }

    /// Whether both match the same paths, whatever their parameters are called.
    #[must_use]
    pub fn same_paths(&self, other: &Self) -> bool {
        let same = |(a, b): (&Segment, &Segment)| match (a, b) {
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            (Segment::Parameter(_), Segment::Parameter(_)) => true,
            _ => false,
        };
        self.wildcard == other.wildcard
            && self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(same)
    }

    /// This pattern below `base`, which has no wildcard.
    #[must_use]
    pub fn below(&self, base: &Self) -> Self {
        Self { segments: base.segments.iter().chain(&self.segments).cloned().collect(), wildcard: self.wildcard }
    }

    /// Where the place `at` stands in the order of precedence.
    fn rank(&self, at: usize) -> u8 {
        match self.segments.get(at) {
            Some(Segment::Literal(_)) => 0,
            Some(Segment::Parameter(_)) => 1,
            None if !self.wildcard => 2,
            None => 3,
        }
    }
}

/// The text before the first slash, and the rest with that slash.
fn first_segment(path: &str) -> (&str, &str) {
    path.find('/').and_then(|at| path.split_at_checked(at)).unwrap_or((path, ""))
}

impl Ord for RoutePattern {
    fn cmp(&self, other: &Self) -> Ordering {
        let places = 0..=self.segments.len().max(other.segments.len());
        let by_rank = places.map(|at| self.rank(at).cmp(&other.rank(at))).find(|order| order.is_ne());
        by_rank.unwrap_or_else(|| self.segments.cmp(&other.segments))
    }
}

impl PartialOrd for RoutePattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for RoutePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_ROUTE_BYTES {
            return Err(PatternError::TooLong);
        }
        let path = text.strip_prefix('/').ok_or(PatternError::NoSlash)?;
        let (path, wildcard) = match path.strip_suffix("...") {
            Some(before) if before.is_empty() || before.ends_with('/') => (before, true),
            Some(_) => return Err(PatternError::Wildcard),
            None => (path, false),
        };
        let path = match path.strip_suffix('/') {
            Some("") => return Err(PatternError::EmptySegment),
            Some(before) => before,
            None => path,
        };
        let mut segments: Vec<Segment> = Vec::new();
        for part in path.split('/').filter(|_| !path.is_empty()) {
            let segment = segment(part)?;
            if let Segment::Parameter(name) = &segment
                && segments.contains(&segment)
            {
                return Err(PatternError::Repeated(name.to_string()));
            }
            segments.push(segment);
        }
        Ok(Self { segments: segments.into(), wildcard })
    }
}

fn segment(part: &str) -> Result<Segment, PatternError> {
    if part.is_empty() {
        return Err(PatternError::EmptySegment);
    }
    if let Some(name) = part.strip_prefix(':') {
        let valid = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        return if valid && !name.is_empty() {
            Ok(Segment::Parameter(name.into()))
        } else {
            Err(PatternError::Parameter(part.to_owned()))
        };
    }
    if part.contains('*') {
        return Err(PatternError::Star);
    }
    if part == "..." {
        return Err(PatternError::Wildcard);
    }
    // RFC 3986's pchar, without `:` which Spin reads as a parameter in the middle of a segment too.
    match part.chars().find(|c| !(c.is_ascii_alphanumeric() || "-._~%!$&'()+,;=@".contains(*c))) {
        Some(found) => Err(PatternError::Character(found)),
        None => Ok(Segment::Literal(part.into())),
    }
}

impl fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Parameter(name) => write!(f, "/:{name}")?,
            }
        }
        match (self.wildcard, self.segments.is_empty()) {
            (true, _) => f.write_str("/..."),
            (false, true) => f.write_str("/"),
            (false, false) => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
