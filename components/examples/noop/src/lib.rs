//! `example:bench/noop`: answers at once and writes nothing.

use example_bindings::exports::noop::{Error, Guest};

struct Component;

impl Guest for Component {
    async fn run(_key: String) -> Result<(), Error> {
        Ok(())
    }

    async fn undo(_key: String) -> Result<(), Error> {
        Ok(())
    }
}

example_bindings::exports::noop::export!(Component);
