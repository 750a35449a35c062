//! `weft build`: runs the build commands that the manifest names, and makes the closed forms for Spin of what they have
//! built. What the commands do is the toolchains' business.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use weft_core::manifest::{Component, Manifest};

use crate::assemble::{self, Place};
use crate::closing;
use crate::exit::{AlreadyReported, Exit, UsageError};
use crate::given;
use crate::output;

/// What `weft build` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The component; all if it is not said
    component: Option<String>,
    /// Do not run the build commands; only make what runs under Spin of what they have made
    #[arg(long)]
    closed_forms: bool,
    /// The manifest, or the folder it is in; the same as --manifest
    #[arg(long, short = 'f', visible_alias = "file", value_name = "FILE|DIR")]
    from: Option<PathBuf>,
}

impl Args {
    /// The manifest that is named, if one is.
    #[must_use]
    pub fn manifest(&self) -> Option<PathBuf> {
        self.from.as_deref().map(given::manifest)
    }
}

/// A command of the shell and where it runs. Identical ones are one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    command: Arc<str>,
    workdir: PathBuf,
}

/// Builds, and looks whether what was to be built is there.
///
/// # Errors
/// If the manifest is wrong, a command fails, or a component's file is missing afterwards.
pub async fn run(args: Args, place: &Place) -> anyhow::Result<Exit> {
    let manifest = place.load().map_err(assemble::refused)?;
    if !args.closed_forms {
        build(&manifest, args.component.as_deref()).await?;
    }
    let missing: Vec<_> = manifest
        .missing_sources()
        .into_iter()
        .filter(|problem| args.component.is_none() || problem.line == source_line(&manifest, args.component.as_deref()))
        .collect();
    for problem in &missing {
        output::line(&format!("{}:{}: {} after the build", problem.file.display(), problem.line, problem.message))?;
    }
    if !missing.is_empty() {
        return Err(AlreadyReported.into());
    }
    let closed = closing::write(&manifest, args.component.as_deref())?;
    if !closed.made.is_empty() {
        output::line(&format!("made the closed forms for Spin: {}", closed.made.join(", ")))?;
    }
    for (component, absent) in closed.left_out {
        let why = format!("the optional component {absent:?}, which it calls, is not built");
        output::line(&format!("left out the closed form of {component:?}: {why}"))?;
    }
    Ok(Exit::Success)
}

fn source_line(manifest: &Manifest, component: Option<&str>) -> usize {
    component.and_then(|id| manifest.components.get(id)).map_or(0, |component| component.source.line)
}

/// Runs the commands for one component, or for all, with their output going to this process's own.
///
/// # Errors
/// If there is no such component, or a command fails.
pub async fn build(manifest: &Manifest, component: Option<&str>) -> anyhow::Result<()> {
    for step in steps(manifest, component)? {
        run_step(&step).await?;
    }
    Ok(())
}

/// What to run, in order, each once.
fn steps(manifest: &Manifest, only: Option<&str>) -> Result<Vec<Step>, UsageError> {
    let components: Vec<&Component> = match only {
        // Those that are only composed into others are built too.
        None => manifest.components.values().filter(|component| !manifest.is_replaced(&component.id)).collect(),
        Some(id) => vec![manifest.components.get(id).ok_or_else(|| {
            let known: Vec<&str> = manifest.components.keys().map(|id| &**id).collect();
            UsageError(format!("there is no component {id:?}; the manifest has {}", known.join(", ")))
        })?],
    };
    let mut seen = BTreeSet::new();
    let mut steps = Vec::new();
    for component in components {
        // The application's own build makes what is under tool.weft; there, the component's command is `weft build`
        // itself, for Spin to call.
        let shared = manifest.build.as_ref().filter(|_| component.is_weft());
        let Some(build) = shared.or(component.build.as_ref()) else { continue };
        for command in build.commands.iter().filter(|command| !calls_us(command)) {
            let step = Step { command: command.clone(), workdir: build.workdir.clone() };
            if seen.insert(step.clone()) {
                steps.push(step);
            }
        }
    }
    Ok(steps)
}

/// Whether a command is this one again.
fn calls_us(command: &str) -> bool {
    let mut words = command.split_whitespace();
    words.next().is_some_and(|program| program == "weft" || program.ends_with("/weft")) && words.next() == Some("build")
}

async fn run_step(step: &Step) -> anyhow::Result<()> {
    let Step { command, workdir } = step;
    if !workdir.is_dir() {
        bail!("the build's workdir {} is not there", workdir.display());
    }
    output::line(&format!("building: {command}  (in {})", workdir.display()))?;
    let status = tokio::process::Command::new("sh")
        .args(["-c", command])
        .current_dir(workdir)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .with_context(|| format!("cannot run `{command}`"))?;
    if !status.success() {
        bail!("`{command}` failed: {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "test"
[application.tool.weft.build]
command = ["touch one", "touch two"]
workdir = "sub"
[component.a]
source = "a-spin.wasm"
[component.a.build]
command = "weft build a"
[component.a.tool.weft]
source = "a.wasm"
[component.b]
source = "b-spin.wasm"
[component.b.tool.weft]
source = "b.wasm"
[component.c]
source = "c.wasm"
[component.c.build]
command = "touch three"
[component.d]
source = "d.wasm"
[component.d.build]
command = "../bin/weft build d"
"#;

    fn commands(component: Option<&str>) -> Vec<String> {
        let manifest = Manifest::parse(Path::new("/x/spin.toml"), MANIFEST).unwrap();
        steps(&manifest, component).unwrap().iter().map(|step| step.command.to_string()).collect()
    }

    #[test]
    fn identical_commands_run_once_and_weft_does_not_call_itself() {
        assert_eq!(commands(None), ["touch one", "touch two", "touch three"]);
        assert_eq!(commands(Some("a")), ["touch one", "touch two"]);
        assert_eq!(commands(Some("c")), ["touch three"]);
        assert_eq!(commands(Some("d")), Vec::<String>::new());
    }

    #[test]
    fn an_unknown_component_is_refused_by_name() {
        let manifest = Manifest::parse(Path::new("/x/spin.toml"), MANIFEST).unwrap();
        let error = steps(&manifest, Some("z")).unwrap_err().to_string();
        assert_eq!(error, "there is no component \"z\"; the manifest has a, b, c, d");
    }

    #[tokio::test]
    async fn commands_run_in_their_workdir_and_failure_is_told() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("sub")).unwrap();
        let path = root.path().join("spin.toml");
        build(&Manifest::parse(&path, MANIFEST).unwrap(), None).await.unwrap();
        for file in ["sub/one", "sub/two", "three"] {
            assert!(root.path().join(file).exists(), "{file}");
        }
        let failing = MANIFEST.replace("touch two", "exit 3");
        let error = build(&Manifest::parse(&path, &failing).unwrap(), None).await.unwrap_err();
        assert_eq!(error.to_string(), "`exit 3` failed: exit status: 3");
        let elsewhere = MANIFEST.replace("\"sub\"", "\"gone\"");
        let error = build(&Manifest::parse(&path, &elsewhere).unwrap(), None).await.unwrap_err();
        assert!(error.to_string().contains("gone is not there"), "{error}");
    }
}
