//! `weft check`: manifest, grants, imports and types, without running anything.

use weft_core::manifest::{Diagnostic, Manifest, Variables};
use weft_engine::{EngineError, FunctionSpec, NamedFunction};
use weft_gateway::{AuthError, AuthSettings};

use crate::assemble::{self, Place};
use crate::composing::{self, Composed};
use crate::control::api::DiagnosticEntry;
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
        output::json(&problems.iter().map(DiagnosticEntry::from).collect::<Vec<_>>())?;
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
        let mut problems = specs::services(&manifest, &variables).err().unwrap_or_default();
        problems.extend(unusable(&manifest, &variables));
        match specs::functions(&manifest, &variables, &Made { composed, ..Made::default() }) {
            Ok(functions) if problems.is_empty() => Ok(functions),
            functions => Err(problems.into_iter().chain(functions.err().unwrap_or_default()).collect()),
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
        Err(EngineError::Load(error)) => Err(vec![assemble::unloadable(&manifest, &error)]),
        Err(error) => return Err(error.into()),
    })
}

/// What a host reads when it starts: keys of tokens, but those behind URLs, and where limits are counted.
fn unusable(manifest: &Manifest, variables: &Variables) -> Vec<Diagnostic> {
    let variable = |name: &str| variables.get(name).map(str::to_owned);
    let keys = manifest.auth.iter().flat_map(|auth| AuthSettings::problems(auth, variable));
    // A host makes a key that is not there.
    let keys = keys.filter(|problem| !matches!(problem, AuthError::NoVariable { .. }));
    let keys = keys.flat_map(|problem| problem.diagnostics(&manifest.path));
    keys.chain(assemble::shared_counts_problem(manifest, variables)).collect()
}

/// Compiles and checks. Compiled code is kept where a host keeps it if there is such a place; else nothing is left.
fn check_components(
    place: &Place,
    manifest: &Manifest,
    functions: Vec<FunctionSpec>,
) -> anyhow::Result<Result<(), EngineError>> {
    let named: Vec<NamedFunction> = specs::named_functions(manifest);
    let nowhere = tempfile::tempdir()?;
    let data = if place.data.is_dir() { place.data.as_path() } else { nowhere.path() };
    Ok(weft_engine::check_functions(&machine::engine_options(&manifest.engine), data, functions, &named))
}
