//! What waits to be done, and by whom. Sagas are known to the journal, which answers for them.

use crate::bindings::weft::sql::types::Error;
use crate::connection::{Connection, Platform, int, text};
use crate::error::describe;
use crate::store::Store;

impl<C: Connection, P: Platform> Store<C, P> {
    /// The components that have something to do now, each once: first those whose startup function has not run, then
    /// those with sagas (as `sagas` answers for a durable component), with deliveries and with read models that are behind.
    ///
    /// # Errors
    /// In words, for the log.
    pub fn due(&mut self, sagas: impl Fn(&Self, &str) -> Result<bool, String>) -> Result<Vec<String>, String> {
        self.enter().map_err(|error| describe(&error))?;
        let mut due: Vec<String> = Vec::new();
        for component in &self.settings.startup {
            if self.has_to_start(component)? {
                due.push(component.clone());
            }
        }
        for durable in &self.settings.durable {
            if !due.contains(&durable.component) && sagas(self, &durable.component)? {
                due.push(durable.component.clone());
            }
        }
        let deliveries = self.write(|store| {
            store.clean()?;
            let subscriptions = store.settings.subscriptions.iter().filter(|known| !due.contains(&known.component));
            let with_deliveries = subscriptions.filter_map(|subscription| match store.has_deliveries(subscription) {
                Ok(has) => has.then(|| Ok(subscription.component.clone())),
                Err(error) => Some(Err(error)),
            });
            with_deliveries.collect::<Result<Vec<_>, Error>>()
        });
        for component in deliveries.map_err(|error| describe(&error))? {
            if !due.contains(&component) {
                due.push(component);
            }
        }
        for projection in &self.settings.projections {
            if !due.contains(&projection.component) && self.has_unseen(projection)? {
                due.push(projection.component.clone());
            }
        }
        Ok(due)
    }

    /// Whether the component's startup function has still to run on this database.
    ///
    /// # Errors
    /// In words, for the log.
    pub fn startup_due(&mut self, component: &str) -> Result<bool, String> {
        self.enter().map_err(|error| describe(&error))?;
        Ok(self.settings.startup.iter().any(|known| known == component) && self.has_to_start(component)?)
    }

    /// Notes that it has run.
    ///
    /// # Errors
    /// In words, for the log.
    pub fn startup_done(&mut self, component: &str) -> Result<(), String> {
        self.enter().map_err(|error| describe(&error))?;
        let insert =
            "INSERT INTO weft_startup (component, done_at_ms) VALUES (?1, ?2) ON CONFLICT (component) DO NOTHING";
        let done = self.run(insert, &[text(component), int(self.platform.now_ms())]);
        done.map(drop).map_err(|error| describe(&error))
    }

    fn has_to_start(&self, component: &str) -> Result<bool, String> {
        let done = self.number("SELECT count(*) FROM weft_startup WHERE component = ?1", &[text(component)]);
        done.map(|done| done == 0).map_err(|error| describe(&error))
    }
}
