//! The functions of one deployment. There are several at a time while requests of an older one are in work; which one is current is known
//! to `engine`.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use weft_core::generation::Part;
use weft_core::version_parts;

use crate::engine::EngineError;
use crate::function::Function;
use crate::spec::FunctionSpec;

pub(crate) type Functions = HashMap<Arc<str>, Arc<Function>>;

/// The functions that were deployed together.
#[derive(Default)]
pub(crate) struct Deployed {
    /// Versions may be put beside the others later on.
    pub functions: ArcSwap<Functions>,
    /// Optional components whose files were not there.
    pub absent: Vec<Arc<str>>,
}

impl Deployed {
    /// By its name. A version may have been taken away since it was chosen; the one that the manifest names stands in for it.
    pub fn find(&self, name: &str) -> Option<Arc<Function>> {
        let functions = self.functions.load();
        let component = || version_parts(name).map(|(component, _)| component);
        functions.get(name).or_else(|| functions.get(component()?)).cloned()
    }
}

/// Functions that are loaded, checked and linked, and do not run yet.
pub struct FunctionSet {
    pub(crate) deployed: Arc<Deployed>,
    pub(crate) left_out: Vec<(FunctionSpec, EngineError)>,
}

impl FunctionSet {
    /// The versions that do not fit beside the others and are left out, and why.
    #[must_use]
    pub fn left_out(&self) -> &[(FunctionSpec, EngineError)] {
        &self.left_out
    }

    /// The functions, for [`weft_core::Generation`].
    #[must_use]
    pub fn part(&self) -> Part {
        self.deployed.clone()
    }
}
