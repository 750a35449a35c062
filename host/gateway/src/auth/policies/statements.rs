//! The files of policies read into statements: what each is called, and on which line of which file it stands.

use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr as _;

use cedar_policy::{Policy, PolicyId, PolicySet};
use weft_core::manifest::{Diagnostic, PolicyFile};

/// The annotation that names a policy.
const ID: &str = "id";
/// Policies of all files.
const MAX_POLICIES: usize = 1_000;

/// Where a statement begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'f> {
    pub file: &'f PolicyFile,
    /// In bytes.
    at: usize,
}

impl Place<'_> {
    /// A problem of the statement, on the line of what Cedar points at, if it does, else where the statement begins.
    pub fn problem(&self, points_at: Option<usize>, message: String) -> Diagnostic {
        Diagnostic::new(&self.file.path, line_of(&self.file.text, points_at.unwrap_or(self.at)), message)
    }
}

/// All policies under their own names, and where they stand.
pub(super) fn parsed(files: &[PolicyFile]) -> Result<(PolicySet, HashMap<PolicyId, Place<'_>>), Vec<Diagnostic>> {
    let (mut set, mut places, mut problems) = (PolicySet::new(), HashMap::new(), Vec::new());
    for file in files {
        let read = match PolicySet::from_str(&file.text) {
            Ok(read) => read,
            Err(error) => {
                let line = line_of(&file.text, offset(&error).unwrap_or_default());
                problems.push(Diagnostic::new(&file.path, line, error.to_string()));
                continue;
            }
        };
        let begins = beginnings(&file.text, &read);
        let place = |id: &PolicyId| Place { file, at: begins.get(id).copied().unwrap_or_default() };
        for template in read.templates() {
            let message = "a template is no policy: it has ?principal or ?resource";
            problems.push(place(template.id()).problem(None, message.to_owned()));
        }
        for (number, policy) in read.policies().enumerate() {
            let place = place(policy.id());
            let policy = policy.new_id(named(policy, &file.path, number));
            if places.len() == MAX_POLICIES {
                problems.push(place.problem(None, format!("there are more than {MAX_POLICIES} policies")));
                break;
            }
            if places.insert(policy.id().clone(), place).is_some() {
                problems.push(place.problem(None, format!("two policies are called {}", policy.id())));
            } else if let Err(error) = set.add(policy) {
                problems.push(place.problem(None, error.to_string()));
            }
        }
    }
    if problems.is_empty() { Ok((set, places)) } else { Err(problems) }
}

/// Where each statement of a text begins. Cedar counts them (`policy0`, ...) and keeps the text of each, but does not tell its place.
fn beginnings(text: &str, read: &PolicySet) -> HashMap<PolicyId, usize> {
    let policies = read.policies().filter_map(|policy| Some((policy.id().clone(), policy.to_cedar()?)));
    let templates = read.templates().map(|template| (template.id().clone(), template.to_cedar()));
    let statements: HashMap<PolicyId, String> = policies.chain(templates).collect();
    let (mut begins, mut at) = (HashMap::new(), 0);
    for number in 0..statements.len() {
        let id = PolicyId::new(format!("policy{number}"));
        at += blank(text.get(at..).unwrap_or_default());
        let length = statements.get(&id).map_or(0, String::len);
        begins.insert(id, at);
        at += length;
    }
    begins
}

/// The bytes of blanks and comments before the next statement.
fn blank(text: &str) -> usize {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        match rest.strip_prefix("//") {
            Some(comment) => rest = comment.find(['\n', '\r']).and_then(|end| comment.get(end..)).unwrap_or_default(),
            None => return text.len() - rest.len(),
        }
    }
}

/// What its annotation `@id` says, else its file and number.
fn named(policy: &Policy, file: &Path, number: usize) -> PolicyId {
    let own = policy.annotation(ID).filter(|id| !id.is_empty()).map(ToOwned::to_owned);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    PolicyId::new(own.unwrap_or_else(|| format!("{name}#{}", number + 1)))
}

/// Where in its text an error is, in bytes.
pub(super) fn offset(error: &dyn miette::Diagnostic) -> Option<usize> {
    error.labels()?.map(|label| label.offset()).next()
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_has_its_line() {
        let text = "// permit (principal, action, resource);\n\
                    permit (principal, action, resource);  permit (principal, action, resource);\n\n\
                    @id(\"a // b\")\n@note(\"é;\")\nforbid (principal, action, resource) // why;\n when { \"//\" like \"*\" };\n\
                    \u{a0}// the last; permit\r\n\
                    permit (principal == ?principal, action, resource);";
        let read = PolicySet::from_str(text).unwrap();
        let begins = beginnings(text, &read);
        let lines: Vec<usize> =
            (0..4).map(|number| line_of(text, begins[&PolicyId::new(format!("policy{number}"))])).collect();
        assert_eq!(lines, [2, 2, 4, 9]);
        assert!(text[begins[&PolicyId::new("policy2")]..].starts_with("@id(\"a"));
        assert!(text[begins[&PolicyId::new("policy3")]..].starts_with("permit (principal =="));
    }
}
