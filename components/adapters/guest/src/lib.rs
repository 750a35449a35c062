//! What the adapters that stand before functions share: the settings of their closed form, and calls of other components
//! of the application. What they do with it is their own.

pub mod bindings;
mod calling;

use adapter_settings::Settings;

pub use calling::{Answer, call};

/// What this closed form was told.
///
/// # Errors
/// In words, if it is not a document of ours.
pub fn settings() -> Result<Settings, String> {
    serde_json::from_str(&bindings::weft::adapter::settings::get())
        .map_err(|error| format!("the settings of this closed form: {error}"))
}
