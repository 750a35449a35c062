//! What compiles and links functions: wasmtime's engine with its loader and linkers, and a second one for functions that
//! count fuel, made when the first of them comes. Which functions there are is `engine`'s business.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::background::{BEATS, has_given_way};
use crate::config::{EngineOptions, Metering, wasmtime_config};
use crate::engine::EngineError;
use crate::linker::BaseLinkers;
use crate::loader::{LoadError, Loaded, Loader};
use crate::spec::FunctionSpec;
use crate::spin_world::World;

/// One of wasmtime's engines, with what hangs on it.
pub(crate) struct Runtime {
    pub loader: Loader,
    pub linkers: BaseLinkers,
}

impl Runtime {
    fn new(options: &EngineOptions, data: &Path, metering: Metering) -> Result<Self, EngineError> {
        let wasmtime = wasmtime::Engine::new(&wasmtime_config(options, metering)).map_err(wasmtime_error)?;
        let epoch = Duration::from_millis(options.epoch_ms.max(1));
        spawn_ticker(wasmtime.weak(), epoch).map_err(|error| {
            EngineError::Wasmtime(format!("no thread for epochs, without which limits do not hold: {error}"))
        })?;
        let linkers = BaseLinkers::new(&wasmtime).map_err(wasmtime_error)?;
        Ok(Self { loader: Loader::new(wasmtime, data)?, linkers })
    }
}

/// Functions with their compiled components.
type LoadedSpecs = Vec<(FunctionSpec, Loaded)>;

/// The runtime of most functions, and that of those with fuel.
pub(crate) struct Runtimes {
    options: EngineOptions,
    data: PathBuf,
    measured: Runtime,
    counted: OnceLock<Runtime>,
    making: Mutex<()>,
}

impl Runtimes {
    pub fn new(options: &EngineOptions, data: &Path) -> Result<Self, EngineError> {
        let measured = Runtime::new(options, data, Metering::Epochs)?;
        Ok(Self {
            options: *options,
            data: data.to_owned(),
            measured,
            counted: OnceLock::new(),
            making: Mutex::default(),
        })
    }

    /// What components may import.
    pub fn world(&self) -> World {
        self.options.world
    }

    /// The runtime for a function.
    pub fn of(&self, spec: &FunctionSpec) -> Result<&Runtime, EngineError> {
        if spec.limits.fuel.is_none() {
            return Ok(&self.measured);
        }
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counted) = self.counted.get() {
            return Ok(counted);
        }
        let counted = Runtime::new(&self.options, &self.data, Metering::Fuel)?;
        Ok(self.counted.get_or_init(|| counted))
    }

    /// Loads all of them, each for its runtime; with the ids of the optional ones that are not there.
    pub fn load_all(&self, specs: Vec<FunctionSpec>) -> Result<(LoadedSpecs, Vec<Arc<str>>), EngineError> {
        let (mut all, mut absent) = (LoadedSpecs::with_capacity(specs.len()), Vec::new());
        for spec in specs {
            match self.of(&spec)?.loader.load(&spec.source) {
                Ok(loaded) => all.push((spec, loaded)),
                Err(LoadError::Missing(file)) if spec.optional => {
                    let (component, file) = (&*spec.id, file.display());
                    tracing::warn!(component, %file, "an optional component is not built: calls to it are unavailable");
                    absent.push(spec.id);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok((all, absent))
    }

    /// Keeps components' files; they are the same for every runtime.
    pub fn loader(&self) -> &Loader {
        &self.measured.loader
    }
}

fn wasmtime_error(error: wasmtime::Error) -> EngineError {
    EngineError::Wasmtime(format!("{error:#}"))
}

/// For so many epochs beats are counted one by one after a thread has given way last: it may wait for long until it runs again.
const LINGER: u32 = 100;

/// A thread that counts the beats of epochs as long as the engine lives: all of an epoch together, while none of them
/// matters. A thread and not a task: it has to tick while the runtime's threads are busy in wasm.
fn spawn_ticker(engine: wasmtime::EngineWeak, epoch: Duration) -> std::io::Result<()> {
    let ticker = move || {
        let (mut given_way, mut quiet) = (0, LINGER);
        loop {
            let sleeps = if quiet < LINGER { BEATS } else { 1 };
            for _ in 0..sleeps {
                std::thread::sleep(epoch / sleeps);
                let Some(engine) = engine.upgrade() else { return };
                (0..BEATS / sleeps).for_each(|_| engine.increment_epoch());
            }
            quiet = if has_given_way(&mut given_way) { 0 } else { LINGER.min(quiet + 1) };
        }
    };
    std::thread::Builder::new().name("weft-epoch".to_owned()).spawn(ticker).map(drop)
}
