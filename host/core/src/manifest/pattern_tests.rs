//! Tests of route patterns: a table of what matches, and the rules of precedence as properties.

use super::*;
use proptest::prelude::*;

fn pattern(text: &str) -> RoutePattern {
    text.parse().unwrap()
}

/// Which of `routes` serves `path`.
fn best<'a>(routes: &[&'a str], path: &str) -> Option<&'a str> {
    let mut sorted: Vec<_> = routes.iter().map(|text| (pattern(text), *text)).collect();
    sorted.sort();
    sorted.iter().find(|(pattern, _)| pattern.matches(path).is_some()).map(|(_, text)| *text)
}

#[test]
fn matches_as_spin_does() {
    let rows = [
        ("/", "/", true),
        ("/", "/a", false),
        ("/a/b", "/a/b", true),
        ("/a/b", "/a/b/", true),
        ("/a/b/", "/a/b", true),
        ("/a/b", "/a/b//", false),
        ("/a/b", "/a", false),
        ("/a/b", "/a/b/c", false),
        ("/a", "/A", false),
        ("/a", "a", false),
        ("/a", "", false),
        ("/:x", "/a", true),
        ("/:x", "/", false),
        ("/a/:x/b", "/a//b", false),
        ("/...", "/", true),
        ("/...", "/a/b/", true),
        ("/a/...", "/a", true),
        ("/a/...", "/a/", true),
        ("/a/...", "/ab", false),
        ("/a/...", "/", false),
    ];
    for (route, path, expected) in rows {
        assert_eq!(pattern(route).matches(path).is_some(), expected, "{route} over {path:?}");
    }
}

#[test]
fn captures_parameters_and_the_rest() {
    let route = pattern("/api/:course/seats/:id/...");
    let found = route.matches("/api/c%201/seats/7/x/y/").unwrap();
    assert_eq!(found.parameters, [("course", "c%201"), ("id", "7")]);
    assert_eq!(found.wildcard, Some("/x/y/"));
    assert_eq!(pattern("/a/...").matches("/a").unwrap().wildcard, Some(""));
    assert_eq!(pattern("/a/...").matches("/a/").unwrap().wildcard, Some("/"));
    assert_eq!(pattern("/a").matches("/a").unwrap().wildcard, None);
}

#[test]
fn the_more_exact_route_serves() {
    let rows: [(&[&str], &str, &str); 7] = [
        (&["/...", "/one"], "/one", "/one"),
        (&["/one/...", "/one/two/...", "/one/two/three/..."], "/one/two/three/four", "/one/two/three/..."),
        (&["/:a", "/one"], "/one", "/one"),
        (&["/:a", "/..."], "/one", "/:a"),
        (&["/a/...", "/a"], "/a", "/a"),
        (&["/:a/b", "/a/:b"], "/a/b", "/a/:b"),
        (&["/:a/b/c", "/a/..."], "/a/b/c", "/a/..."),
    ];
    for (routes, path, expected) in rows {
        let reversed: Vec<_> = routes.iter().rev().copied().collect();
        assert_eq!(best(routes, path), Some(expected), "{routes:?} over {path}");
        assert_eq!(best(&reversed, path), Some(expected), "{reversed:?} over {path}");
    }
}

#[test]
fn refuses_what_is_no_route() {
    let rows = [
        ("", PatternError::NoSlash),
        ("a", PatternError::NoSlash),
        ("//", PatternError::EmptySegment),
        ("//...", PatternError::EmptySegment),
        ("/a//b", PatternError::EmptySegment),
        ("/a...", PatternError::Wildcard),
        ("/.../a", PatternError::Wildcard),
        ("/a/*", PatternError::Star),
        ("/:", PatternError::Parameter(":".into())),
        ("/:a.b", PatternError::Parameter(":a.b".into())),
        ("/:a/:a", PatternError::Repeated("a".into())),
        ("/a b", PatternError::Character(' ')),
        ("/a?b", PatternError::Character('?')),
        ("/a:b", PatternError::Character(':')),
        ("/ä", PatternError::Character('ä')),
    ];
    for (route, expected) in rows {
        assert_eq!(route.parse::<RoutePattern>().unwrap_err(), expected, "{route:?}");
    }
    let long = format!("/{}", "a".repeat(MAX_ROUTE_BYTES));
    assert_eq!(long.parse::<RoutePattern>(), Err(PatternError::TooLong));
}

fn any_pattern() -> impl Strategy<Value = RoutePattern> {
    let names = ["x", "y", "z", "v", "w"];
    let places = prop::collection::vec(prop::sample::select(vec!["a", "b", ":"]), 0..5);
    (places, any::<bool>()).prop_map(move |(places, wildcard)| {
        let place =
            |(place, name): (&&str, &str)| if *place == ":" { format!("/:{name}") } else { format!("/{place}") };
        let path: String = places.iter().zip(names).map(place).collect();
        let end = if wildcard {
            "/..."
        } else if path.is_empty() {
            "/"
        } else {
            ""
        };
        pattern(&format!("{path}{end}"))
    })
}

/// The definition of matching, on lists of segments.
fn naive(pattern: &RoutePattern, path: &[&str]) -> bool {
    let segments = pattern.segments();
    let long_enough = if pattern.is_wildcard() { path.len() >= segments.len() } else { path.len() == segments.len() };
    let fits = |(segment, text): (&Segment, &&str)| match segment {
        Segment::Literal(literal) => **literal == **text,
        Segment::Parameter(_) => true,
    };
    long_enough && segments.iter().zip(path).all(fits)
}

proptest! {
    #[test]
    fn agrees_with_the_definition(
        pattern in any_pattern(),
        path in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..6),
    ) {
        let text = format!("/{}", path.join("/"));
        prop_assert_eq!(pattern.matches(&text).is_some(), naive(&pattern, &path));
        if !path.is_empty() {
            prop_assert_eq!(pattern.matches(&format!("{text}/")).is_some(), naive(&pattern, &path));
        }
    }

    #[test]
    fn shown_as_it_was_written(pattern in any_pattern()) {
        prop_assert_eq!(pattern.to_string().parse::<RoutePattern>().unwrap(), pattern);
    }

    #[test]
    fn precedence_is_an_order(a in any_pattern(), b in any_pattern(), c in any_pattern()) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a.cmp(&b).is_eq(), a == b);
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
    }

    #[test]
    fn a_route_inside_another_goes_first(
        a in any_pattern(),
        b in any_pattern(),
    ) {
        // Every path over the alphabet up to a length that no pattern exceeds decides which set lies in which.
        let mut paths: Vec<Vec<&str>> = vec![vec![]];
        for from in 0.. {
            let Some(path) = paths.get(from).filter(|path| path.len() < 5).cloned() else { break };
            paths.extend(["a", "b", "c"].map(|next| path.iter().copied().chain([next]).collect()));
        }
        let inside = paths.iter().all(|path| !naive(&a, path) || naive(&b, path));
        let same = paths.iter().all(|path| naive(&a, path) == naive(&b, path));
        prop_assert_eq!(same, a.same_paths(&b));
        if inside && !same {
            prop_assert!(a < b, "{} matches less than {}", a, b);
        }
    }

    #[test]
    fn any_text_is_a_route_or_an_error(text in "[/:.*a-c ]{0,20}", path in "[/a-c.%]{0,20}") {
        if let Ok(pattern) = text.parse::<RoutePattern>() {
            let _ = pattern.matches(&path);
        }
    }
}
