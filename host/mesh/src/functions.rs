//! The application's functions as the registry shows them: which versions serve each, and how much. Which there are is told by whoever
//! deploys; what is kept here is since when each is as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// A version of a function that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionVersion {
    /// What the engine knows it by.
    pub name: Arc<str>,
    /// The version's own name.
    pub version: Arc<str>,
    /// SHA-256 of what runs, in hex; nothing where an optional component has no file.
    pub digest: Option<Arc<str>>,
    /// How much it serves, of [`crate::WHOLE`].
    pub weight: u32,
    /// Whether it stands in the manifest; else it was deployed by hand.
    pub declared: bool,
}

/// A function as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionView {
    /// Its component.
    pub name: Arc<str>,
    /// The registry's index at its last change.
    pub index: u64,
    /// Its versions, that of the manifest first.
    pub versions: Vec<FunctionVersion>,
}

/// The functions of one application.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    all: ArcSwap<BTreeMap<Arc<str>, FunctionView>>,
}

impl Functions {
    /// Makes these the ones that there are. Those that are not what they were have `index` from here on; answers whether any is
    /// another, or gone.
    pub fn set(&self, functions: BTreeMap<Arc<str>, Vec<FunctionVersion>>, index: u64) -> bool {
        let before = self.all.load();
        let mut is_another = functions.len() != before.len();
        let views = functions.into_iter().map(|(name, versions)| {
            let same = before.get(&name).filter(|view| view.versions == versions);
            is_another |= same.is_none();
            let index = same.map_or(index, |view| view.index);
            (name.clone(), FunctionView { name, index, versions })
        });
        let views: BTreeMap<_, _> = views.collect();
        if is_another {
            self.all.store(Arc::new(views));
        }
        is_another
    }

    pub fn find(&self, name: &str) -> Option<FunctionView> {
        self.all.load().get(name).cloned()
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<FunctionView> {
        self.all.load().values().cloned().collect()
    }
}
