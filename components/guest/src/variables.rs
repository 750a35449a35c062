//! Configuration values that the manifest grants this function.

use crate::bindings::spin::variables::variables;

pub use crate::bindings::spin::variables::variables::Error;

/// The value of a variable. Names are those of the manifest, in lower case.
pub async fn get(name: &str) -> Result<String, Error> {
    variables::get(name.to_string()).await
}
