//! What an instance works out once: the settings, the key, and that all startup functions have run.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use adapter_guest::bindings::weft::adapter::work;
use adapter_settings::{Auth, Front, Settings};
use weft_guest::bindings::spin::key_value::key_value::Store;
use weft_guest::variables;

use crate::problem::Problem;
use crate::token::{Identity, Key};

/// What stands before the functions of the path.
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) front: Front,
    /// With the rules for tokens.
    pub(crate) key: Option<(Key, Auth)>,
}

thread_local! {
    static STATE: RefCell<Option<Rc<State>>> = const { RefCell::new(None) };
    static STARTED: Cell<bool> = const { Cell::new(false) };
}

/// The state of this instance. Without settings or key nothing is let through; the reason is in the log.
pub(crate) async fn state() -> Result<Rc<State>, Problem> {
    if let Some(state) = STATE.with_borrow(Clone::clone) {
        return Ok(state);
    }
    let made = make().await.map_err(|error| {
        eprintln!("no request is let through: {error}");
        Problem::unavailable()
    })?;
    let made = Rc::new(made);
    STATE.set(Some(Rc::clone(&made)));
    Ok(made)
}

async fn make() -> Result<State, String> {
    let settings = adapter_guest::settings()?;
    let front = settings.front.clone().ok_or("the settings of this closed form say nothing of a front")?;
    let key = match &front.auth {
        None => None,
        Some(auth) => {
            let name = &auth.public_key_variable;
            let pem = variables::get(name).await.map_err(|error| format!("the variable {name}: {error:?}"))?;
            if pem.trim().is_empty() {
                return Err(format!("the variable {name} holds no key: set it to the PEM text of one"));
            }
            Some((Key::from_pem(&pem).map_err(|error| format!("the variable {name}: {error}"))?, auth.clone()))
        }
    };
    Ok(State { settings, front, key })
}

/// Refuses an identity whose tokens are void by now.
pub(crate) async fn check_revoked(identity: &Identity, auth: &Auth) -> Result<(), Problem> {
    let Some(label) = &auth.revocations else { return Ok(()) };
    let asked = async {
        let store = Store::open(label.clone()).await?;
        store.get(identity.subject.clone()).await
    };
    let found = asked.await.map_err(|error| {
        eprintln!("the store {label} does not say whether a token is void: {error:?}");
        Problem::unavailable()
    })?;
    let Some(found) = found else { return identity.not_revoked(None) };
    let second = std::str::from_utf8(&found).ok().and_then(|text| text.trim().parse().ok());
    // What cannot be read voids all: it was written to void something.
    identity.not_revoked(Some(second.unwrap_or(u64::MAX)))
}

/// Has the startup functions run that have not run on this database. One that fails is in the log and is tried again with
/// the next request.
pub(crate) async fn start(settings: &Settings) {
    if STARTED.get() {
        return;
    }
    let mut all = true;
    for component in &settings.startup {
        match work::startup_due(component) {
            Ok(false) => {}
            Ok(true) => {
                all = false;
                match adapter_guest::call(component).await {
                    Ok(answer) if answer.status == 200 => {}
                    Ok(answer) => eprintln!("the startup of {component} answered {}", answer.status),
                    Err(error) => eprintln!("the startup of {component}: {error}"),
                }
            }
            Err(error) => {
                all = false;
                eprintln!("the startup of {component} cannot be told: {error}");
            }
        }
    }
    STARTED.set(all);
}
