//! The closed form of a function: the component that runs where there is no Weft. The functions of a path and all that
//! they call, one instance of the store adapter behind all of them, and in front of them what Weft's gateway or its
//! schedulers do. Owns the wiring; what the adapters do is theirs, and what stands in the settings the caller's.

use std::collections::BTreeMap;

use crate::function::Walk;
use crate::{ComposeError, Composition, Part};

/// What every handler of HTTP exports.
const HANDLER: &str = "wasi:http/handler@0.3.0";
/// By which the adapters read the settings.
const SETTINGS: &str = "weft:adapter/settings@0.1.0";
/// The front's imports, by method.
const METHODS: [(&str, &str); 5] = [
    ("GET", "weft:adapter/on-get@0.1.0"),
    ("POST", "weft:adapter/on-post@0.1.0"),
    ("PUT", "weft:adapter/on-put@0.1.0"),
    ("PATCH", "weft:adapter/on-patch@0.1.0"),
    ("DELETE", "weft:adapter/on-delete@0.1.0"),
];
/// What a component may export that a pump calls.
const PUMPED: [&str; 5] = [
    "weft:durable/resumable@0.1.0",
    "weft:messaging/handler@0.1.0",
    "weft:messaging/batch-handler@0.1.0",
    "weft:events/projection@0.1.0",
    "weft:control/startup@0.1.0",
];

/// The components that take the place of the host.
#[derive(Clone, Debug)]
pub struct Adapters {
    /// Databases, messages, events, sagas: all that is kept.
    pub store: Vec<u8>,
    /// Tokens, roles, methods: what stands before handlers.
    pub front: Vec<u8>,
    /// Does what is due for one component.
    pub pump: Vec<u8>,
    /// Calls the pumps.
    pub timer: Vec<u8>,
    /// In the place of what a component does not have.
    pub unused: Vec<u8>,
}

/// What a closed form does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Answers requests: by method (`GET`, `POST`, `PUT`, `PATCH`, `DELETE`), the function that does.
    Front(BTreeMap<String, String>),
    /// Answers requests, any method: the function that does.
    FrontOfAll(String),
    /// Does what is due for this component, when it is asked to by a request.
    Pump(String),
    /// Asks the pumps.
    Timer,
    /// Exports what this component does.
    Alone(String),
}

/// Makes a closed form. `parts` are the application's components by id; those that it does not reach are left out.
/// `settings` is the document that the adapters read.
///
/// # Errors
/// [`ComposeError`] if the components do not fit, or call each other in a circle.
pub fn closed_form(
    role: &Role,
    parts: &BTreeMap<String, Part>,
    adapters: &Adapters,
    settings: &str,
) -> Result<Vec<u8>, ComposeError> {
    let mut closing = Closing::begin(parts, adapters, settings)?;
    let root = match role {
        Role::Front(methods) => {
            let handlers = METHODS.map(|(method, import)| (import, methods.get(method).map(String::as_str)));
            closing.front(&handlers)?
        }
        Role::FrontOfAll(id) => closing.front(&METHODS.map(|(_, import)| (import, Some(id.as_str()))))?,
        Role::Pump(id) => closing.pump(id)?,
        Role::Timer => closing.adapter("the timer", &adapters.timer)?,
        Role::Alone(id) => closing.part(id)?,
    };
    closing.walk.composition.finish(root)
}

/// The interfaces that a component exports.
///
/// # Errors
/// [`ComposeError::Invalid`] if the bytes are no component.
pub fn exports(name: &str, bytes: &[u8]) -> Result<Vec<String>, ComposeError> {
    let mut composition = Composition::new();
    let place = composition.add(name, bytes)?;
    Ok(composition.exports(place))
}

struct Closing<'a> {
    walk: Walk<'a>,
    adapters: &'a Adapters,
    settings: usize,
    store: usize,
    unused: Option<usize>,
}

impl<'a> Closing<'a> {
    fn begin(parts: &'a BTreeMap<String, Part>, adapters: &'a Adapters, settings: &str) -> Result<Self, ComposeError> {
        let mut composition = Composition::new();
        let settings = composition.add("the settings", &settings_component(settings)?)?;
        let store = composition.add("the store adapter", &adapters.store)?;
        composition.wire(store, SETTINGS, settings, SETTINGS)?;
        let walk = Walk::new(parts, composition).with_host(store);
        Ok(Self { walk, adapters, settings, store, unused: None })
    }

    fn part(&mut self, id: &str) -> Result<usize, ComposeError> {
        self.walk.visit(id)
    }

    /// An adapter, with its settings and what the store gives it.
    fn adapter(&mut self, name: &str, bytes: &[u8]) -> Result<usize, ComposeError> {
        let composition = &mut self.walk.composition;
        let place = composition.add(name, bytes)?;
        let stored = composition.exports(self.store);
        for import in composition.imports(place) {
            if import == SETTINGS {
                composition.wire(place, SETTINGS, self.settings, SETTINGS)?;
            } else if stored.contains(&import) {
                composition.wire(place, &import, self.store, &import)?;
            }
        }
        Ok(place)
    }

    fn unused(&mut self) -> Result<usize, ComposeError> {
        if let Some(place) = self.unused {
            return Ok(place);
        }
        let place = self.walk.composition.add("the adapter for what is unused", &self.adapters.unused)?;
        self.unused = Some(place);
        Ok(place)
    }

    fn front(&mut self, handlers: &[(&str, Option<&str>)]) -> Result<usize, ComposeError> {
        let front = self.adapter("the front", &self.adapters.front)?;
        for (import, id) in handlers {
            let (provider, export) = match id {
                Some(id) => (self.part(id)?, HANDLER),
                None => (self.unused()?, *import),
            };
            self.walk.composition.wire(front, import, provider, export)?;
        }
        Ok(front)
    }

    fn pump(&mut self, id: &str) -> Result<usize, ComposeError> {
        let pump = self.adapter("the pump", &self.adapters.pump)?;
        let part = self.part(id)?;
        let exported = self.walk.composition.exports(part);
        for import in PUMPED {
            let has = exported.iter().any(|export| export == import);
            let provider = if has { part } else { self.unused()? };
            self.walk.composition.wire(pump, import, provider, import)?;
        }
        Ok(pump)
    }
}

/// A component that exports the document.
fn settings_component(document: &str) -> Result<Vec<u8>, ComposeError> {
    const START: usize = 8;
    const PAGE: usize = 65_536;
    let escaped = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("\\{byte:02x}")).collect() };
    let length = u32::try_from(document.len())
        .map_err(|_| ComposeError::Encoding("the settings have more than 4 GiB".to_owned()))?;
    let place = [8_u32.to_le_bytes(), length.to_le_bytes()].concat();
    let pages = (START + document.len()).div_ceil(PAGE);
    let text = format!(
        r#"(component
            (core module $m
                (memory (export "memory") {pages})
                (data (i32.const 0) "{}")
                (data (i32.const {START}) "{}")
                (func (export "get") (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func $get (result string) (canon lift (core func $i "get") (memory (core memory $i "memory"))))
            (instance $settings (export "get" (func $get)))
            (export "{SETTINGS}" (instance $settings)))"#,
        escaped(&place),
        escaped(document.as_bytes()),
    );
    wat::parse_str(text).map_err(|error| ComposeError::Encoding(format!("the settings: {error}")))
}
