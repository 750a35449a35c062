//! What compiles and links functions: wasmtime's engine with its loader and linkers, and a second one for functions that
//! count fuel, made when the first of them comes. Which functions there are is `engine`'s business.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::background::{BEATS, given_way};
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

/// How finely beats are counted: all of an epoch together, while none of them matters.
struct Counting {
    given_way: u64,
    quiet: u32,
}

impl Counting {
    fn new() -> Self {
        Self { given_way: 0, quiet: LINGER }
    }

    /// In so many steps the next epoch is counted.
    fn steps(&self) -> u32 {
        if self.quiet < LINGER { BEATS } else { 1 }
    }

    /// An epoch has ended, up to which threads have given way so often.
    fn ended(&mut self, given_way: u64) {
        self.quiet = if self.given_way == given_way { LINGER.min(self.quiet + 1) } else { 0 };
        self.given_way = given_way;
    }
}

/// A thread that counts the beats of epochs as long as the engine lives. A thread and not a task: it has to tick while the
/// runtime's threads are busy in wasm.
fn spawn_ticker(engine: wasmtime::EngineWeak, epoch: Duration) -> std::io::Result<()> {
    let ticker = move || {
        let mut counting = Counting::new();
        loop {
            let steps = counting.steps();
            for _ in 0..steps {
                std::thread::sleep(epoch / steps);
                let Some(engine) = engine.upgrade() else { return };
                (0..BEATS / steps).for_each(|_| engine.increment_epoch());
            }
            counting.ended(given_way());
        }
    };
    std::thread::Builder::new().name("weft-epoch".to_owned()).spawn(ticker).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_are_counted_one_by_one_while_somebody_gives_way_and_for_a_while_after() {
        let mut counting = Counting::new();
        assert_eq!(counting.steps(), 1);
        counting.ended(0);
        assert_eq!(counting.steps(), 1);
        counting.ended(3);
        for quiet in 0..LINGER {
            assert_eq!(counting.steps(), BEATS, "{quiet}");
            counting.ended(3);
        }
        assert_eq!(counting.steps(), 1);
        counting.ended(4);
        assert_eq!(counting.steps(), BEATS);
    }
}
