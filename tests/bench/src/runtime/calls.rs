//! `call-fresh`, `call-reused` and `call-composed`: a function asks another from inside one request, through the mesh in
//! an instance of its own or in one that serves many, and composed with it into one component.

use std::process::Command;

use anyhow::ensure;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;

use super::{FRESH, label};
use crate::mesh_call::{PATH, batch, timed};
use crate::process::Process;
use crate::report::Row;
use crate::rounds::{Contender, alternate};
use crate::target;

/// Measures the benches whose names begin with `only`.
///
/// # Errors
/// If an answer is wrong.
pub fn measure(only: &str) -> anyhow::Result<Vec<Row>> {
    let wanted = |bench: &str| bench.starts_with(only);
    if !["call-fresh", "call-reused", "call-composed"].into_iter().any(wanted) {
        return Ok(Vec::new());
    }
    let linked = target::examples();
    let folder = tempfile::Builder::new().prefix("weft-bench-composed-").tempdir_in(crate::install::target())?;
    let composed = composed(folder.path())?;
    let mut contenders = vec![
        Contender {
            label: label("call-fresh", 1, FRESH, "through the mesh, in an instance of its own for each call"),
            run: Box::new(|| timed(Process(linked.pid()), || batch(linked.client(), PATH))),
        },
        Contender {
            label: label("call-reused", 1, "1000x16", "through the mesh, in an instance that serves many calls"),
            run: Box::new(|| timed(Process(linked.pid()), || batch(linked.client(), "/call-loop-reused"))),
        },
        Contender {
            label: label(
                "call-composed",
                1,
                "composed",
                "in the instance of the caller: no mesh, no policy, no isolation",
            ),
            run: Box::new(|| timed(Process(composed.pid()), || batch(composed.client(), PATH))),
        },
    ];
    contenders.retain(|contender| wanted(contender.label.bench));
    alternate(contenders)
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
