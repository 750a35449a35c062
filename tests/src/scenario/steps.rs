//! What stands in a scenario's `steps.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::tokens::Token;

/// A scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    /// Accounts that there are from the start: name and role. `admin` is always there.
    #[serde(default)]
    pub people: BTreeMap<String, String>,
    /// File names of components that may not be built everywhere and without which it is skipped.
    #[serde(default)]
    pub needs: Vec<String>,
    /// What happens, in order.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

/// One request and what has to come of it. Texts may hold `${name}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// What it shows, in words; unique.
    pub name: String,
    /// Method and path.
    pub request: String,
    /// Whose token is sent: one of the people, or `admin`.
    #[serde(rename = "as")]
    pub actor: Option<String>,
    /// A token made by hand.
    pub token: Option<Token>,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A JSON body.
    pub json: Option<Value>,
    /// A body as it is.
    pub body: Option<String>,
    /// A body of that many spaces.
    pub body_bytes: Option<usize>,

    /// The status that has to come.
    pub status: u16,
    /// The problem that has to come: the last part of its type.
    pub problem: Option<String>,
    /// The field that the problem has to name.
    pub field: Option<String>,
    /// JSON pointers into the answer, and what has to stand there: a value, or a wildcard.
    #[serde(default)]
    pub expect: BTreeMap<String, Value>,
    /// Headers that have to come; `<any>` for any value.
    #[serde(default)]
    pub expect_headers: BTreeMap<String, String>,
    /// Whether to ask again until the answer is right: for what happens after an answer.
    #[serde(default)]
    pub eventually: bool,
    /// Names for parts of the answer, by JSON pointer.
    #[serde(default)]
    pub capture: BTreeMap<String, String>,
    /// Whether the whole answer is compared with the golden one.
    #[serde(default = "yes")]
    pub golden: bool,
}

fn yes() -> bool {
    true
}

impl Scenario {
    /// Reads a scenario.
    pub fn load(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let scenario: Self =
            toml_edit::de::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut names: Vec<&str> = scenario.steps.iter().map(|step| step.name.as_str()).collect();
        names.sort_unstable();
        let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
        assert!(twice.is_none(), "{}: two steps are named {:?}", path.display(), twice);
        scenario
    }
}
