//! Makes one component out of several: instances of each, imports of one wired to exports of another, and what nobody
//! provides imported by the whole. Owns the wiring, on the wac library; what the components may do is not known here.

mod closed;
mod dependencies;
mod function;
mod middleware;
mod module;
mod released;
mod renaming;

use std::collections::BTreeSet;

use wac_graph::types::{Package, WorldId};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId};

pub use closed::{Adapters, Role, closed_form, exports};
pub use dependencies::{Dependency, with_dependencies};
pub use function::{Part, function};
pub use middleware::{Middleware, with_middleware};
pub use module::of_module;
pub use released::{is_candidate, released};

/// What the names of imports begin with that the host answers by a refusal.
pub const DENIED: &str = "denied-";

/// Why components do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// These bytes are no component.
    #[error("{part} is not a valid component: {message}")]
    Invalid {
        /// Whose.
        part: String,
        /// What is wrong.
        message: String,
    },
    /// A dependency that is for none of the component's imports.
    #[error("{part} imports nothing that the dependency {dependency:?} is for; it imports {}", list(imports))]
    Unused {
        /// Whose dependency.
        part: String,
        /// Its name.
        dependency: String,
        /// What there is.
        imports: Vec<String>,
    },
    /// Two dependencies for one import.
    #[error("the import {import:?} of {part} would be satisfied by the dependencies {}", list(dependencies))]
    Ambiguous {
        /// Whose import.
        part: String,
        /// Which.
        import: String,
        /// Their names.
        dependencies: Vec<String>,
    },
    /// What should be provided is not.
    #[error(
        "{provider} does not export {export:?}, which {part} is to have for its import {import:?}; it exports {}",
        list(exports)
    )]
    Missing {
        /// Who imports.
        part: String,
        /// What.
        import: String,
        /// Who should provide it.
        provider: String,
        /// By which export.
        export: String,
        /// What there is.
        exports: Vec<String>,
    },
    /// Types of an import and an export differ.
    #[error("{provider} exports {export:?} with other types than {part} imports {import:?} with: {message}")]
    Incompatible {
        /// Who imports.
        part: String,
        /// What.
        import: String,
        /// Who exports.
        provider: String,
        /// What.
        export: String,
        /// Where they differ.
        message: String,
    },
    /// Components that call each other cannot be made one.
    #[error("{} call each other in a circle; what is composed has an order", list(.0))]
    Circle(Vec<String>),
    /// The parts fit, but their imports from outside do not.
    #[error("what the parts import together does not fit: {0}")]
    Encoding(String),
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// One of the components that are composed.
#[derive(Clone, Copy, Debug)]
struct Member {
    world: WorldId,
    instance: NodeId,
}

/// Components that are being wired.
struct Composition {
    graph: CompositionGraph,
    names: Vec<String>,
    members: Vec<Member>,
}

impl Composition {
    fn new() -> Self {
        Self { graph: CompositionGraph::new(), names: Vec::new(), members: Vec::new() }
    }

    /// One more component. `name` is for messages.
    fn add(&mut self, name: &str, bytes: &[u8]) -> Result<usize, ComposeError> {
        let invalid = |message: String| ComposeError::Invalid { part: name.to_owned(), message };
        let place = self.members.len();
        // The library tells packages apart by names, which need not be unique here.
        let unique = format!("weft:part-{place}");
        let package = Package::from_bytes(&unique, None, bytes, self.graph.types_mut());
        let package = package.map_err(|error| invalid(format!("{error:#}")))?;
        let world = package.ty();
        let package = self.graph.register_package(package).map_err(|error| invalid(error.to_string()))?;
        let instance = self.graph.instantiate(package);
        self.names.push(name.to_owned());
        self.members.push(Member { world, instance });
        Ok(place)
    }

    /// One more component, which is denied some of its imports: it imports those under names that say so, and thus does
    /// not share what others import under the plain ones.
    fn add_denied(
        &mut self,
        name: &str,
        bytes: &[u8],
        is_denied: &dyn Fn(&str) -> bool,
    ) -> Result<usize, ComposeError> {
        // Parts may import different functions of one interface, so each has names of its own.
        let place = self.members.len();
        let renamed =
            renaming::rename_imports(bytes, &|import| is_denied(import).then(|| format!("{DENIED}d{place}-{import}")));
        let renamed = renamed.map_err(|message| ComposeError::Invalid { part: name.to_owned(), message })?;
        self.add(name, &renamed)
    }

    fn member(&self, place: usize) -> Result<(Member, String), ComposeError> {
        let member = self.members.get(place).copied().zip(self.names.get(place).cloned());
        member.ok_or_else(|| ComposeError::Encoding(format!("there is no part {place}")))
    }

    fn imports(&self, place: usize) -> Vec<String> {
        let world = self.members.get(place).map(|member| member.world);
        world.map(|world| self.graph.types()[world].imports.keys().cloned().collect()).unwrap_or_default()
    }

    fn exports(&self, place: usize) -> Vec<String> {
        let world = self.members.get(place).map(|member| member.world);
        world.map(|world| self.graph.types()[world].exports.keys().cloned().collect()).unwrap_or_default()
    }

    /// Gives `part` an export of `provider` for one of its imports.
    fn wire(&mut self, part: usize, import: &str, provider: usize, export: &str) -> Result<(), ComposeError> {
        let ((to, part_name), (from, provider_name)) = (self.member(part)?, self.member(provider)?);
        if !self.graph.types()[from.world].exports.contains_key(export) {
            return Err(ComposeError::Missing {
                part: part_name,
                import: import.to_owned(),
                provider: provider_name,
                export: export.to_owned(),
                exports: self.exports(provider),
            });
        }
        let incompatible = |error: &dyn std::error::Error| ComposeError::Incompatible {
            part: part_name.clone(),
            import: import.to_owned(),
            provider: provider_name.clone(),
            export: export.to_owned(),
            message: with_causes(error),
        };
        let alias = self.graph.alias_instance_export(from.instance, export).map_err(|error| incompatible(&error))?;
        self.graph.set_instantiation_argument(to.instance, import, alias).map_err(|error| incompatible(&error))
    }

    /// The component that exports what `root` does.
    fn finish(mut self, root: usize) -> Result<Vec<u8>, ComposeError> {
        let (member, _) = self.member(root)?;
        let wrong = |error: &dyn std::error::Error| ComposeError::Encoding(with_causes(error));
        for export in self.exports(root) {
            let alias = self.graph.alias_instance_export(member.instance, &export).map_err(|error| wrong(&error))?;
            self.graph.export(alias, export).map_err(|error| wrong(&error))?;
        }
        self.graph.encode(EncodeOptions::default()).map_err(|error| wrong(&error))
    }
}

/// An error with all that lies behind it, each said once.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut said = BTreeSet::new();
    let causes = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    let causes: Vec<_> = causes.filter(|cause| said.insert(cause.clone())).collect();
    causes.join(": ")
}

#[cfg(test)]
mod tests;
