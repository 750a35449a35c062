//! The snapshot of WASI 0.2 that version 2 of Spin's SDK was built with: its streams and its HTTP. All of it is answered
//! by what answers the release, so grants, limits and the way of a request are the release's; here is the glue alone.

pub mod glue;

/// How the names of the snapshot's interfaces end.
const SNAPSHOT: &str = "@0.2.0-rc-2023-10-18";

/// The interfaces that are here: all that the SDK imports. The rest of what its applications import of WASI is preview 1.
const INTERFACES: [&str; 4] = ["wasi:io/poll", "wasi:io/streams", "wasi:http/types", "wasi:http/outgoing-handler"];

/// Whether an import is one of the snapshot's that are here.
#[must_use]
pub fn has(import: &str) -> bool {
    import.strip_suffix(SNAPSHOT).is_some_and(|name| INTERFACES.contains(&name))
}
