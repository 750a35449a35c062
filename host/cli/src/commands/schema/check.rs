//! `weft schema check`: what would become of the folder's schemas in a deployment, without deploying.

use std::path::PathBuf;

use anyhow::bail;
use serde::Serialize;

use weft_capability::schema::{Change, Refused, Types, deployed, plan};
use weft_core::{Clock as _, SystemClock};

use crate::assemble::{self, Place};
use crate::exit::Exit;
use crate::{output, schemas};

/// What `weft schema check` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The data directory of the deployment to compare with, whether or not a host runs on it; --data without it
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    /// For continuous integration: fail if there is nothing to compare with, and print one line for each problem
    #[arg(long)]
    ci: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "ci")]
    json: bool,
}

/// The outcome, as `--json` prints it.
#[derive(Serialize)]
struct Outcome<'a> {
    /// What would be registered.
    new: Vec<String>,
    /// What would be refused.
    refused: &'a [Refused],
}

/// Prints every change that would be refused; ends with [`Exit::Failure`] if there are any.
pub(super) fn run(args: &Args, place: &Place) -> anyhow::Result<Exit> {
    let manifest = place.load().map_err(assemble::refused)?;
    let given = schemas::given(&manifest)?;
    let data = args.against.as_ref().unwrap_or(&place.data);
    let types = match deployed(data)? {
        Some(types) => types,
        None if args.ci || args.against.is_some() => {
            bail!(
                "there are no deployed schemas in {}; name a deployment's data directory with --against",
                data.display()
            )
        }
        None => {
            output::note(&format!(
                "nothing is deployed in {}: the versions are compared with each other",
                data.display()
            ));
            Types::new()
        }
    };
    let clock = SystemClock::new(|_| Box::pin(std::future::ready(())));
    let count = given.len();
    let folder = manifest.schemas.folder.as_ref().map(|folder| folder.value.display().to_string()).unwrap_or_default();
    let planned = plan(&types, given, clock.now_ms());
    let (new, refused) = match &planned {
        Ok(plan) => (plan.new_versions().map(|(kind, version)| format!("{kind}/{version}")).collect(), &[][..]),
        Err(refused) => (Vec::new(), refused.as_slice()),
    };
    if args.json {
        output::json(&Outcome { new, refused })?;
    } else if args.ci {
        lines(&folder, refused)?.into_iter().try_for_each(|line| output::line(&line))?;
    } else {
        explain(&folder, refused)?;
        if refused.is_empty() {
            output::line(&format!("{count} schemas, {} of them new, no problems", new.len()))?;
            new.iter().try_for_each(|new| output::line(&format!("  new: {new}")))?;
        }
    }
    Ok(if refused.is_empty() { Exit::Success } else { Exit::Failure })
}

/// `file:pointer: what; why; what to do`.
fn lines(folder: &str, refused: &[Refused]) -> anyhow::Result<Vec<String>> {
    let lines = refused.iter().flat_map(|one| {
        one.changes.iter().map(move |Change { pointer, what, why, advice, .. }| {
            let line = format!("{folder}/{}/{}.json:{pointer}: {what}; {why}; {advice}", one.kind, one.version);
            output::printable(&line)
        })
    });
    Ok(lines.collect())
}

fn explain(folder: &str, refused: &[Refused]) -> anyhow::Result<()> {
    let mut count = 0;
    for one in refused {
        output::line(&format!("{folder}/{}/{}.json", one.kind, one.version))?;
        for change in &one.changes {
            count += 1;
            let at = if change.pointer.is_empty() { "(the whole)" } else { &change.pointer };
            let against =
                if change.version == 0 { String::new() } else { format!(" (against version {})", change.version) };
            output::line(&output::printable(&format!("  {at}: {}{against}", change.what)))?;
            output::line(&output::printable(&format!("    breaks: {}", change.why)))?;
            output::line(&output::printable(&format!("    do: {}", change.advice)))?;
        }
    }
    match count {
        0 => Ok(()),
        1 => Ok(output::line("1 problem")?),
        several => Ok(output::line(&format!("{several} problems"))?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_for_machines() {
        let change = Change {
            version: 1,
            pointer: "/properties/a".to_owned(),
            what: "the field is removed".to_owned(),
            why: "somebody reads it".to_owned(),
            advice: "keep it".to_owned(),
        };
        let refused = [Refused { kind: "t.made".to_owned(), version: 2, changes: vec![change] }];
        let expected = "s/t.made/2.json:/properties/a: the field is removed; somebody reads it; keep it";
        assert_eq!(lines("s", &refused).unwrap(), [expected]);
    }
}
