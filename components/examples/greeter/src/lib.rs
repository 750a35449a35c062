//! `example:greet/greeter`: greets by name. The smallest function that others call.

use example_bindings::exports::greeter::{Error, Guest};

struct Component;

impl Guest for Component {
    async fn greet(_key: String, name: String) -> Result<String, Error> {
        if name.trim().is_empty() { Err(Error::Nameless) } else { Ok(format!("Hello, {name}!")) }
    }
}

example_bindings::exports::greeter::export!(Component);
