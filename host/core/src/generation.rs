//! One deployment of an application, as those who run it have it. A request takes hold of it when it begins, and the functions that it calls
//! are those of it: an answer is never made by the functions of two manifests. What nobody holds any more is gone. Services outside, faults on
//! purpose and the shares of versions are those of now, and a request to the application itself is a new one.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// What one of those who run an application has of a deployment.
pub type Part = Arc<dyn Any + Send + Sync>;

/// The functions, the callees and the components behind triggers of one deployment. Cheap to clone.
#[derive(Clone)]
pub struct Generation {
    functions: Part,
    callees: Part,
    triggered: Part,
}

impl Generation {
    /// Of the functions as the engine has them, the callees as the mesh has them, and what has a trigger as its host has it.
    #[must_use]
    pub fn new(functions: Part, callees: Part, triggered: Part) -> Self {
        Self { functions, callees, triggered }
    }

    /// The functions, for the engine that made them.
    #[must_use]
    pub fn functions<T: 'static>(&self) -> Option<&T> {
        self.functions.downcast_ref()
    }

    /// The callees, for the mesh that made them.
    #[must_use]
    pub fn callees<T: 'static>(&self) -> Option<&T> {
        self.callees.downcast_ref()
    }

    /// What has a trigger, for the host that made it.
    #[must_use]
    pub fn triggered<T: 'static>(&self) -> Option<&T> {
        self.triggered.downcast_ref()
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finds_its_own_and_nobody_anything_else() {
        let generation = Generation::new(Arc::new("functions"), Arc::new(7_u32), Arc::new('t'));
        assert_eq!((generation.functions::<&str>(), generation.callees::<u32>()), (Some(&"functions"), Some(&7)));
        assert_eq!(generation.triggered::<char>(), Some(&'t'));
        assert_eq!((generation.functions::<u32>(), generation.callees::<&str>()), (None, None));
    }
}
