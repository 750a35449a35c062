//! `weft check`: manifest, grants, imports and types, without running anything.

use serde::Serialize;
use weft_core::manifest::{Diagnostic, Manifest};
use weft_engine::{EngineError, FunctionSpec, LoadError};

use crate::assemble::Place;
use crate::composing::{self, Composed};
use crate::exit::{Exit, UsageError};
use crate::given::GivenArgs;
use crate::specs::{self, Made};
use crate::{https, keys, machine, output};

/// What `weft check` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// What is said of the application.
    #[command(flatten)]
    pub given: GivenArgs,
}

/// One problem, as `--json` prints it.
#[derive(Serialize)]
struct Entry<'a> {
    file: String,
    line: usize,
    message: &'a str,
    help: Option<&'a str>,
}

/// Prints all problems; ends with [`Exit::Failure`] if there are any.
///
/// # Errors
/// If checking itself fails.
pub fn run(args: &Args, place: &Place) -> anyhow::Result<Exit> {
    if !place.manifest.exists() {
        let message = format!("there is no manifest {}; name it with --manifest", place.manifest.display());
        return Err(UsageError(message).into());
    }
    let (problems, components) = match check(place)? {
        Ok(components) => (Vec::new(), components),
        Err(problems) => (problems, 0),
    };
    if args.json {
        let entries = problems.iter().map(|problem| Entry {
            file: problem.file.display().to_string(),
            line: problem.line,
            message: &problem.message,
            help: problem.help.as_deref(),
        });
        output::json(&entries.collect::<Vec<_>>())?;
    } else {
        for problem in &problems {
            output::line(&problem.to_string())?;
        }
        match problems.len() {
            0 => output::line(&format!("{}: {components} components, no problems", place.manifest.display()))?,
            1 => output::line("1 problem")?,
            several => output::line(&format!("{several} problems"))?,
        }
    }
    Ok(if problems.is_empty() { Exit::Success } else { Exit::Failure })
}

type Checked = Result<usize, Vec<Diagnostic>>;

/// How many components there are, or all problems.
fn check(place: &Place) -> anyhow::Result<Checked> {
    let manifest = match place.load() {
        Ok(manifest) => manifest,
        Err(problems) => return Ok(Err(problems)),
    };
    let missing = manifest.missing_sources();
    let composed = if missing.is_empty() { composing::composed(&manifest) } else { Ok(Composed::new()) };
    let functions = composed.and_then(|composed| {
        let variables = keys::resolve(&manifest, place)?;
        let services = specs::services(&manifest, &variables).map(drop);
        let functions = specs::functions(&manifest, &variables, &Made { composed, ..Made::default() });
        match (services, functions) {
            (Ok(()), functions) => functions,
            (Err(found), functions) => Err(found.into_iter().chain(functions.err().unwrap_or_default()).collect()),
        }
    });
    let missing: Vec<_> =
        https::problem(&manifest).into_iter().chain(weft_gateway::problems(&manifest)).chain(missing).collect();
    let functions = match functions {
        Ok(functions) if missing.is_empty() => functions,
        Ok(_) => return Ok(Err(missing)),
        Err(problems) => return Ok(Err(problems.into_iter().chain(missing).collect())),
    };
    let count = functions.len();
    Ok(match check_components(place, &manifest, functions)? {
        Ok(()) => Ok(count),
        Err(EngineError::Refused(problems)) => {
            let mut problems: Vec<_> = problems.iter().map(|problem| specs::located(&manifest, problem)).collect();
            problems.sort_by_key(|problem| problem.line);
            Err(problems)
        }
        Err(EngineError::Load(error)) => Err(vec![unloadable(&manifest, &error)]),
        Err(error) => return Err(error.into()),
    })
}

/// Compiles and checks. Compiled code is kept where a host keeps it if there is such a place; else nothing is left.
fn check_components(
    place: &Place,
    manifest: &Manifest,
    functions: Vec<FunctionSpec>,
) -> anyhow::Result<Result<(), EngineError>> {
    let nowhere = tempfile::tempdir()?;
    let data = if place.data.is_dir() { place.data.as_path() } else { nowhere.path() };
    Ok(weft_engine::check_functions(&machine::engine_options(&manifest.engine), data, functions))
}

/// A component that cannot be loaded, at the line that names its file.
fn unloadable(manifest: &Manifest, error: &LoadError) -> Diagnostic {
    let file = match error {
        LoadError::Missing(path) | LoadError::Io { path, .. } | LoadError::Invalid { path, .. } => path,
    };
    let component = manifest.running().find(|component| component.source.value == *file);
    manifest.problem(component.map_or(0, |component| component.source.line), error.to_string())
}
