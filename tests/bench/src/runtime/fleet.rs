//! `start`, `cold` and `idle-memory`: many functions in one host. Each is a component of its own, with a digest and
//! compiled code of its own; it is the greeting of the examples, made different by a few bytes that mean nothing.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tempfile::TempDir;
use weft_tests::platform::{Options, Platform};

use super::{FRESH, label, of_memory};
use crate::process::Process;
use crate::report::{Row, Run};
use crate::rounds::{Contender, alternate};
use crate::target;

const COMPONENT: &str = "example_hello.wasm";
const HOW: &str =
    "each function is a component file of its own; compiled code is cached, as at every start but the first";
/// Functions of `idle-memory`; `start` and `cold` have the second of them.
const FLEETS: [usize; 3] = [1, 100, 1_000];
const FLEET: usize = 100;

/// Measures the benches whose names begin with `only`.
///
/// # Errors
/// If a host does not start or answers wrongly.
pub fn measure(only: &str) -> anyhow::Result<Vec<Row>> {
    let wanted = |bench: &str| bench.starts_with(only);
    let mut rows = Vec::new();
    for functions in FLEETS {
        let (starts, cold) = (functions >= FLEET && wanted("start"), functions == FLEET && wanted("cold"));
        if !wanted("idle-memory") && !starts && !cold {
            continue;
        }
        let mut fleet = Fleet::new(functions)?;
        let fleet = std::cell::RefCell::new(&mut fleet);
        let mut contenders = Vec::new();
        if wanted("idle-memory") {
            let run = Box::new(|| fleet.borrow_mut().idle());
            contenders.push(Contender { label: label("idle-memory", functions, FRESH, HOW), run });
        }
        if starts {
            let run = Box::new(|| fleet.borrow_mut().start());
            contenders.push(Contender { label: label("start", functions, FRESH, HOW), run });
        }
        if cold {
            let run = Box::new(|| fleet.borrow_mut().cold());
            contenders.push(Contender { label: label("cold", functions, FRESH, HOW), run });
        }
        rows.extend(alternate(contenders)?);
    }
    Ok(rows)
}

/// A host with so many functions.
struct Fleet {
    functions: usize,
    options: Options,
    platform: Platform,
    _folder: TempDir,
}

impl Fleet {
    /// Makes the application and has its code compiled, which takes longer than a host may take to start.
    fn new(functions: usize) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("weft-bench-fleet-").tempdir_in(crate::install::target())?;
        let manifest = application(folder.path(), functions)?;
        eprintln!("compiling {functions} components");
        let platform = Platform::stopped();
        std::fs::create_dir_all(platform.data())?;
        let (status, said, stderr) = platform.weft(&["--manifest", &manifest.display().to_string(), "check"]);
        ensure!(status.success(), "weft check ended with {status}: {said}{stderr}");
        let options = Options { manifest, ..Options::default() };
        Ok(Self { functions, options, platform, _folder: folder })
    }

    fn run(&mut self) -> anyhow::Result<()> {
        self.platform.run(&self.options).map_err(anyhow::Error::msg)
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        ensure!(self.platform.stop().success(), "the host did not end well");
        Ok(())
    }

    /// From exec to the first answered request.
    fn start(&mut self) -> anyhow::Result<Run> {
        let begin = Instant::now();
        self.run()?;
        self.greet(0)?;
        let elapsed = begin.elapsed();
        let process = Process(self.platform.pid());
        let (cpu, resident_bytes) = (process.cpu()?, Some(process.resident_bytes()?));
        self.stop()?;
        Ok(Run { elapsed, count: 1, latencies: vec![elapsed], cpu, resident_bytes, ..Run::default() })
    }

    /// The first request of each function but one, which is asked before, over a connection that is there.
    fn cold(&mut self) -> anyhow::Result<Run> {
        self.run()?;
        self.greet(0)?;
        let process = Process(self.platform.pid());
        let (cpu, begin) = (process.cpu()?, Instant::now());
        let mut latencies: Vec<Duration> = Vec::new();
        for number in 1..self.functions {
            latencies.push(self.greet(number)?);
        }
        let elapsed = begin.elapsed();
        let cpu = process.cpu()?.saturating_sub(cpu);
        self.stop()?;
        latencies.sort_unstable();
        Ok(Run { elapsed, count: latencies.len() as u64, latencies, cpu, ..Run::default() })
    }

    /// Memory when it has started and answered one request.
    fn idle(&mut self) -> anyhow::Result<Run> {
        self.run()?;
        self.greet(0)?;
        let resident_bytes = Process(self.platform.pid()).resident_bytes()?;
        self.stop()?;
        Ok(of_memory(resident_bytes))
    }

    fn greet(&self, number: usize) -> anyhow::Result<Duration> {
        let path = format!("/f{number}?name={number}");
        let begin = Instant::now();
        let answer = self.platform.get(&path).try_send()?;
        let took = begin.elapsed();
        let right = format!("{{\"message\":\"Hello, {number}!\"}}");
        ensure!(answer.text() == right, "{path} was answered {}: {}", answer.status, answer.text());
        Ok(took)
    }
}

/// Writes the components and their manifest.
fn application(folder: &Path, functions: usize) -> anyhow::Result<std::path::PathBuf> {
    let component = std::fs::read(target::component(COMPONENT))?;
    let mut manifest = "spin_manifest_version = 2\n[application]\nname = \"fleet\"\n".to_owned();
    for number in 0..functions {
        let file = format!("f{number}.wasm");
        std::fs::write(folder.join(&file), different(&component, number))?;
        write!(
            manifest,
            "[[trigger.http]]\nroute = \"/f{number}\"\ncomponent = \"f{number}\"\n[component.f{number}]\nsource = \"{file}\"\n"
        )?;
    }
    let path = folder.join("spin.toml");
    std::fs::write(&path, manifest)?;
    Ok(path)
}

/// The component with a custom section, which runs do not see.
fn different(component: &[u8], number: usize) -> Vec<u8> {
    const NAME: &[u8] = b"number";
    let contents = number.to_le_bytes();
    let mut bytes = component.to_vec();
    // Id, size, length of the name: all below 128, so a byte each.
    let length = |length: usize| u8::try_from(length).unwrap_or_default();
    bytes.extend([0, length(1 + NAME.len() + contents.len()), length(NAME.len())]);
    bytes.extend_from_slice(NAME);
    bytes.extend_from_slice(&contents);
    bytes
}
