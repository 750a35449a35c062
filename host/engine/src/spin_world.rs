//! What Spin itself gives the components of an HTTP trigger, for hosts that run an application as Spin would: the list is
//! vendored, and a component may name an interface by any version that is compatible with one of the list.

/// One interface a line.
const IMPORTS: &str = include_str!("spin-up-4.1.0.txt");

/// What the list is of.
pub(crate) const WORLD: &str = "spin:up/http-trigger@4.1.0";

/// Which interfaces the components of a host may import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum World {
    /// All that this host has.
    #[default]
    Weft,
    /// Those of Spin's own world alone.
    Spin,
}

impl World {
    /// Whether it has the import `interface`.
    pub(crate) fn has(self, interface: &str) -> bool {
        let known = || IMPORTS.lines().filter(|line| !line.starts_with('#'));
        self == Self::Weft || known().any(|known| is_compatible(known, interface))
    }
}

/// Whether two names of interfaces stand for one by the rules of semantic versions: a release stands for all with the
/// same first number that is not 0, and a candidate or draft for itself.
fn is_compatible(one: &str, other: &str) -> bool {
    one == other || stem(one).is_some_and(|stem| self::stem(other) == Some(stem))
}

/// The name with the part of its version that has to be the same.
fn stem(interface: &str) -> Option<(&str, &str)> {
    let (name, version) = interface.split_once('@')?;
    if version.contains(['-', '+']) {
        return None;
    }
    let ends = version.match_indices('.').map(|(at, _)| at).chain([version.len()]);
    let significant =
        ends.filter_map(|end| version.get(..end)).find(|part| !part.split('.').all(|number| number == "0"));
    Some((name, significant.unwrap_or(version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_that_of_the_world_and_versions_are_compatible() {
        for interface in [
            "spin:key-value/key-value@3.0.0",
            "spin:postgres/postgres@4.0.0",
            "fermyon:spin/llm@2.0.0",
            "wasi:http/types@0.2.3",
            "wasi:http/client@0.3.0",
            "wasi:http/client@0.3.0-rc-2026-03-15",
            "wasi:keyvalue/store@0.2.0-draft2",
            "wasi:config/store@0.2.0-draft-2024-09-27",
        ] {
            assert!(World::Spin.has(interface), "{interface}");
        }
        for interface in [
            "weft:sql/database@0.1.0",
            "education:courses/seats@1.0.0",
            "spin:key-value/key-value@4.0.0",
            "spin:key-value/key-value",
            "wasi:http/types@0.4.0",
            "wasi:http/types@0.2.0-rc-2023-10-18",
            "wasi:http/client@0.3.0-rc-2026-01-06",
            "wasi:otel/tracing@0.2.0-rc.2",
            "wasi:keyvalue/watch@0.2.0-draft2",
            "# What",
        ] {
            assert!(!World::Spin.has(interface) && World::Weft.has(interface), "{interface}");
        }
        assert!(is_compatible("a:b/c@0.0.1", "a:b/c@0.0.1") && !is_compatible("a:b/c@0.0.1", "a:b/c@0.0.2"));
    }
}
