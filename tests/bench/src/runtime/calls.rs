//! `call-fresh` and `call-composed`: a function asks another from inside one request, through the mesh in an instance of
//! its own, and composed with it into one component.

use std::process::Command;

use anyhow::ensure;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;

use super::{FRESH, label};
use crate::mesh_call::{batch, timed};
use crate::process::Process;
use crate::report::Row;
use crate::rounds::{Contender, alternate};
use crate::target;

/// Measures the benches whose names begin with `only`.
///
/// # Errors
/// If an answer is wrong.
pub fn measure(only: &str) -> anyhow::Result<Vec<Row>> {
    if !"call-fresh".starts_with(only) && !"call-composed".starts_with(only) {
        return Ok(Vec::new());
    }
    let linked = target::examples();
    let folder = tempfile::Builder::new().prefix("weft-bench-composed-").tempdir_in(crate::install::target())?;
    let composed = composed(folder.path())?;
    alternate(vec![
        Contender {
            label: label("call-fresh", 1, FRESH, "through the mesh, in an instance of its own for each call"),
            run: Box::new(|| timed(Process(linked.pid()), || batch(linked.client()))),
        },
        Contender {
            label: label(
                "call-composed",
                1,
                "composed",
                "in the instance of the caller: no mesh, no policy, no isolation",
            ),
            run: Box::new(|| timed(Process(composed.pid()), || batch(composed.client()))),
        },
    ])
}

/// The host with the caller and the callee as one component.
fn composed(folder: &std::path::Path) -> anyhow::Result<Platform> {
    let file = folder.join("call-loop.wasm");
    let status = Command::new(repository::weft())
        .args(["--manifest", "components/examples/spin.toml", "compose", "call-loop", "-o"])
        .arg(&file)
        .current_dir(repository::root())
        .stdout(std::process::Stdio::null())
        .status()?;
    ensure!(status.success(), "weft compose ended with {status}");
    let manifest = folder.join("spin.toml");
    std::fs::write(
        &manifest,
        "spin_manifest_version = 2\n[application]\nname = \"composed\"\n\
         [application.tool.weft.routes]\n\"GET /call-loop\" = { component = \"call-loop\", public = true }\n\
         [[trigger.http]]\nroute = \"/call-loop\"\ncomponent = \"call-loop\"\n\
         [component.call-loop]\nsource = \"call-loop.wasm\"\n[component.call-loop.tool.weft]\n",
    )?;
    Ok(Platform::start_with(&Options { manifest, ..Options::default() }))
}
