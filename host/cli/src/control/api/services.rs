//! The registry over the control socket: services with their instances, and the application's functions with their versions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use weft_core::manifest::service::{MAX_TAGS, MAX_WEIGHT};
use weft_core::outbound::is_instance_label;
use weft_mesh::{FunctionVersion, FunctionView, Instance, InstanceView, ServiceView};

use crate::specs::instance_id;

/// What [`ServiceDetail::kind`] says of the application's own.
pub const FUNCTION: &str = "function";
/// The longest id of an instance, in bytes.
const MAX_ID_BYTES: usize = 128;
/// The longest time to live, in milliseconds: a day.
const MAX_TTL_MS: u64 = 24 * 60 * 60 * 1000;

/// `GET /v1/services`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ServiceList {
    /// Of the last change of any service or function. A request with `index=` this and `wait_ms=` is answered when something has changed since, or the
    /// time has passed.
    pub index: u64,
    /// Services first, then functions; each by name.
    pub services: Vec<ServiceEntry>,
}

/// One entry of [`ServiceList`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ServiceEntry {
    /// Its name.
    pub name: String,
    /// `service`, or `function` for one of the application's own.
    pub kind: String,
    /// The versions that its instances run.
    pub versions: Vec<String>,
    /// What its instances are known by.
    pub tags: Vec<String>,
    /// How many instances there are.
    pub instances: usize,
    /// How many of them get requests.
    pub healthy: usize,
}

/// `GET /v1/services/{name}`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ServiceDetail {
    /// Its name.
    pub name: String,
    /// `service` or `function`.
    pub kind: String,
    /// Of its last change; as that of [`ServiceList`].
    pub index: u64,
    /// Those of its instances that were asked for.
    pub instances: Vec<InstanceEntry>,
}

/// An instance of a service, or a version of a function.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct InstanceEntry {
    /// What it is called.
    pub id: String,
    /// Where it is; functions are in the host.
    pub address: Option<String>,
    /// Which version it runs.
    pub version: Option<String>,
    /// What else it is known by.
    pub tags: Vec<String>,
    /// How much it gets beside others; of a function, of 10,000.
    pub weight: u32,
    /// Whether the manifest declares it; else it was registered.
    pub declared: bool,
    /// Whether it gets requests while others do.
    pub healthy: bool,
    /// `unknown`, `passing` or `critical`, as the checks say.
    pub status: String,
    /// For how long they have said so, in milliseconds.
    pub status_for_ms: u64,
    /// What was wrong.
    pub problem: Option<String>,
    /// How long it gets no requests since it failed again and again, in milliseconds.
    pub ejected_for_ms: Option<u64>,
    /// Requests under way.
    pub active: u32,
    /// The moving average of its times, in microseconds.
    pub average_us: Option<u64>,
    /// Requests that were sent there.
    pub requests: u64,
    /// Those that failed.
    pub failures: u64,
}

impl From<InstanceView> for InstanceEntry {
    fn from(view: InstanceView) -> Self {
        let healthy = view.is_healthy();
        let instance = &view.instance;
        Self {
            id: instance.id.to_string(),
            address: Some(instance.address.to_string()),
            version: instance.version.as_deref().map(str::to_owned),
            tags: instance.tags.iter().map(ToString::to_string).collect(),
            weight: instance.weight,
            declared: instance.declared,
            healthy,
            status: view.health.as_str().to_owned(),
            status_for_ms: ms(view.health_for),
            problem: view.problem,
            ejected_for_ms: view.ejected_for.map(ms),
            active: view.active,
            average_us: view.average.map(|average| u64::try_from(average.as_micros()).unwrap_or(u64::MAX)),
            requests: view.requests,
            failures: view.failures,
        }
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl From<ServiceView> for ServiceDetail {
    fn from(view: ServiceView) -> Self {
        Self {
            name: view.name.to_string(),
            kind: "service".to_owned(),
            index: view.index,
            instances: view.instances.into_iter().map(InstanceEntry::from).collect(),
        }
    }
}

impl From<FunctionVersion> for InstanceEntry {
    fn from(version: FunctionVersion) -> Self {
        // An optional component may have no file.
        let healthy = version.digest.is_some();
        Self {
            id: version.name.to_string(),
            version: Some(version.version.to_string()),
            weight: version.weight,
            declared: version.declared,
            healthy,
            status: if healthy { "passing" } else { "critical" }.to_owned(),
            ..Self::default()
        }
    }
}

impl From<FunctionView> for ServiceDetail {
    fn from(view: FunctionView) -> Self {
        Self {
            name: view.name.to_string(),
            kind: FUNCTION.to_owned(),
            index: view.index,
            instances: view.versions.into_iter().map(InstanceEntry::from).collect(),
        }
    }
}

impl From<ServiceDetail> for ServiceEntry {
    fn from(detail: ServiceDetail) -> Self {
        let sorted = |mut all: Vec<String>| {
            all.sort_unstable();
            all.dedup();
            all
        };
        let instances = &detail.instances;
        Self {
            versions: sorted(instances.iter().filter_map(|instance| instance.version.clone()).collect()),
            tags: sorted(instances.iter().flat_map(|instance| instance.tags.clone()).collect()),
            instances: instances.len(),
            healthy: instances.iter().filter(|instance| instance.healthy).count(),
            name: detail.name,
            kind: detail.kind,
        }
    }
}

/// `POST /v1/services/{name}/instances`: an instance to be registered.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterInstance {
    /// Who does it, such as `ada@local`.
    pub actor: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Where it is, such as `http://10.0.0.1:8080`.
    pub address: String,
    /// What it is called; its host and port without it. One that is called so is replaced.
    #[serde(default)]
    pub id: Option<String>,
    /// How much it gets beside others: 1 to 1,000.
    #[serde(default = "one")]
    pub weight: u32,
    /// Which version it runs.
    #[serde(default)]
    pub version: Option<String>,
    /// What else it is known by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How long it is taken to be there without being renewed, in milliseconds: up to a day; as long as it answers without it.
    #[serde(default)]
    pub ttl_ms: Option<u64>,
}

fn one() -> u32 {
    1
}

impl RegisterInstance {
    /// The instance that it says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn instance(&self) -> Result<Instance, String> {
        let address = self.address.parse().map_err(|_| {
            format!("{:?} is no address: write it as http://10.0.0.1:8080 or https://api.example.com", self.address)
        })?;
        let is_id = |id: &str| {
            !id.is_empty() && id.len() <= MAX_ID_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
        };
        if let Some(id) = self.id.as_deref().filter(|id| !is_id(id)) {
            return Err(format!(
                "{id:?} is no id of an instance: up to {MAX_ID_BYTES} printable characters without `/`"
            ));
        }
        if !(1..=MAX_WEIGHT).contains(&self.weight) {
            return Err(format!("the weight is {}; it may be 1 to {MAX_WEIGHT}", self.weight));
        }
        let label = self.version.iter().chain(&self.tags).find(|text| !is_instance_label(text));
        if let Some(label) = label {
            return Err(format!("{label:?} is no version or tag: letters, digits, `.`, `-`, `_` and `+`, at most 64"));
        }
        if self.tags.len() > MAX_TAGS {
            return Err(format!("an instance has at most {MAX_TAGS} tags"));
        }
        if self.ttl_ms.is_some_and(|ttl_ms| !(1..=MAX_TTL_MS).contains(&ttl_ms)) {
            return Err(format!("the time to live is between 1 and {MAX_TTL_MS} milliseconds"));
        }
        Ok(Instance {
            id: self.id.as_deref().map_or_else(|| instance_id(&address), Into::into),
            address,
            weight: self.weight,
            version: self.version.as_deref().map(Into::into),
            tags: self.tags.iter().map(|tag| tag.as_str().into()).collect(),
            ttl: self.ttl_ms.map(Duration::from_millis),
            declared: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register() -> RegisterInstance {
        serde_json::from_str(r#"{ "actor": "ada", "address": "http://10.0.0.1:8080" }"#).unwrap()
    }

    #[test]
    fn an_instance_needs_no_more_than_an_address() {
        let instance = register().instance().unwrap();
        assert_eq!((&*instance.id, instance.weight, instance.ttl), ("10.0.0.1:8080", 1, None));
        let v6 = RegisterInstance { address: "http://[::1]:1".to_owned(), ..register() };
        assert_eq!(&*v6.instance().unwrap().id, "[::1]:1");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let text = |text: &str| text.to_owned();
        for (wrong, says) in [
            (RegisterInstance { address: text("10.0.0.1"), ..register() }, "no address"),
            (RegisterInstance { address: text("http://a/b"), ..register() }, "no address"),
            (RegisterInstance { id: Some(text("a/b")), ..register() }, "no id"),
            (RegisterInstance { id: Some(String::new()), ..register() }, "no id"),
            (RegisterInstance { weight: 0, ..register() }, "weight"),
            (RegisterInstance { weight: 1_001, ..register() }, "weight"),
            (RegisterInstance { version: Some(text("a b")), ..register() }, "no version or tag"),
            (RegisterInstance { tags: vec![String::new()], ..register() }, "no version or tag"),
            (RegisterInstance { tags: vec![text("t"); 17], ..register() }, "at most 16"),
            (RegisterInstance { ttl_ms: Some(0), ..register() }, "time to live"),
        ] {
            let error = wrong.instance().unwrap_err();
            assert!(error.contains(says), "{wrong:?}: {error}");
        }
    }
}
