//! `spin:variables@3.0.0`, `fermyon:spin/variables@2.0.0` and `wasi:config@0.2.0-draft-2024-09-27` on [`Variables`].
//! Reading a variable is no effect and answers the same at every replay of a saga run by one process, but a new start may
//! change it: the gate stands before it as before all else.

use wasmtime::component::{Accessor, HasData, Linker};

use super::{Variables, is_name};
use crate::gate::Gate;

mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package weft:glue;
            world variables {
                import spin:variables/variables@3.0.0;
                import fermyon:spin/variables@2.0.0;
                import wasi:config/store@0.2.0-draft-2024-09-27;
            }
        ",
        path: [
            "../../wit/deps/spin-variables@3.0.0",
            "../../wit/deps/fermyon-spin@2.0.0",
            "../../wit/deps/wasi-config@0.2.0-draft-2024-09-27",
        ],
        world: "weft:glue/variables",
    });
}

use bindings::fermyon::spin::variables as spin_v2;
use bindings::spin::variables::variables as spin;
use bindings::wasi::config::store as wasi;

/// The variables of one instance.
#[derive(Clone, Debug)]
pub struct VariablesState {
    variables: Variables,
    gate: Gate,
}

impl VariablesState {
    /// The state of an instance whose component has `variables`.
    #[must_use]
    pub fn new(variables: Variables, gate: Gate) -> Self {
        Self { variables, gate }
    }

    fn get(&self, name: String) -> Result<String, spin::Error> {
        self.gate.check_read().map_err(|closed| spin::Error::Other(closed.to_string()))?;
        if !is_name(&name) {
            return Err(spin::Error::InvalidName(name));
        }
        match self.variables.get(&name) {
            Some(value) => Ok(value.to_owned()),
            None => Err(spin::Error::Undefined(name)),
        }
    }
}

struct Glue;

impl HasData for Glue {
    type Data<'a> = &'a mut VariablesState;
}

/// Links all three.
///
/// # Errors
/// One of them is linked already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    state: fn(&mut T) -> &mut VariablesState,
) -> wasmtime::Result<()> {
    spin::add_to_linker::<T, Glue>(linker, state)?;
    spin_v2::add_to_linker::<T, Glue>(linker, state)?;
    wasi::add_to_linker::<T, Glue>(linker, state)
}

impl spin::Host for &mut VariablesState {}

impl<T: Send + 'static> spin::HostWithStore<T> for Glue {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<String, spin::Error> {
        accessor.with(|mut access| access.get().get(name))
    }
}

impl spin_v2::Host for &mut VariablesState {
    fn get(&mut self, name: String) -> Result<String, spin_v2::Error> {
        VariablesState::get(self, name).map_err(|error| match error {
            spin::Error::InvalidName(name) => spin_v2::Error::InvalidName(name),
            spin::Error::Undefined(name) => spin_v2::Error::Undefined(name),
            spin::Error::Provider(text) => spin_v2::Error::Provider(text),
            spin::Error::Other(text) => spin_v2::Error::Other(text),
        })
    }
}

impl wasi::Host for &mut VariablesState {
    fn get(&mut self, key: String) -> Result<Option<String>, wasi::Error> {
        self.gate.check_read().map_err(|closed| wasi::Error::Upstream(closed.to_string()))?;
        Ok(self.variables.get(&key).map(str::to_owned))
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, wasi::Error> {
        self.gate.check_read().map_err(|closed| wasi::Error::Upstream(closed.to_string()))?;
        Ok(self.variables.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(durable: bool) -> VariablesState {
        let variables = [("db_url".to_owned(), "x".to_owned())].into_iter().collect();
        VariablesState::new(variables, Gate::new(durable))
    }

    #[test]
    fn a_missing_variable_and_a_bad_name_are_told_apart() {
        let state = state(false);
        assert!(matches!(state.get("db_url".to_owned()), Ok(value) if value == "x"));
        assert!(matches!(state.get("other".to_owned()), Err(spin::Error::Undefined(_))));
        assert!(matches!(state.get("Other".to_owned()), Err(spin::Error::InvalidName(_))));
    }

    #[test]
    fn nothing_is_read_between_the_steps_of_a_saga() {
        let mut state = state(true);
        assert!(
            matches!(state.get("db_url".to_owned()), Err(spin::Error::Other(text)) if text.contains("outside-step"))
        );
        assert!(wasi::Host::get_all(&mut &mut state).is_err());
    }
}
