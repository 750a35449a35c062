//! `weft services`: the registry of a running host: which services and functions there are, where their instances are and how they do;
//! instances are registered and deregistered.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Subcommand;

use weft_mesh::WHOLE;

use super::arguments::{Why, actor, duration};
use crate::assemble::Place;
use crate::control::api::{Act, FUNCTION, InstanceEntry, RegisterInstance, ServiceDetail, ServiceEntry};
use crate::control::client::Client;
use crate::exit::Exit;
use crate::output;

/// How long one request for changes waits.
const WATCH: Duration = Duration::from_mins(1);

/// The commands under `weft services`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List services and functions: versions, instances
    List(ListArgs),
    /// See the instances of one: where they are, what checks say, what requests came to
    Health(HealthArgs),
    /// Add an instance to a service
    Register(RegisterArgs),
    /// Take out an instance that was registered
    Deregister(DeregisterArgs),
    /// Say that an instance with a time to live is there still
    Renew(InstanceArgs),
    /// Follow what changes among the instances of a service, or the versions of a function
    Watch(WatchArgs),
}

/// What `weft services list` takes.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `weft services health` takes.
#[derive(Debug, clap::Args)]
pub struct HealthArgs {
    /// The service or function
    name: String,
    /// Only instances of this version
    #[arg(long)]
    version: Option<String>,
    /// Only instances with this tag; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only instances that get requests
    #[arg(long)]
    healthy: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `weft services register` takes.
#[derive(Debug, clap::Args)]
pub struct RegisterArgs {
    /// The service
    name: String,
    /// Where the instance is, such as http://10.0.0.1:8080
    address: String,
    /// What it is called; its host and port if it is not said
    #[arg(long)]
    id: Option<String>,
    /// How much it gets beside others
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    weight: u32,
    /// Which version of the service it runs
    #[arg(long)]
    version: Option<String>,
    /// What else it is known by; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// How long it is taken to be there without being renewed, such as 30s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    ttl: Option<u64>,
    #[command(flatten)]
    why: Why,
}

/// What `weft services deregister` takes.
#[derive(Debug, clap::Args)]
pub struct DeregisterArgs {
    #[command(flatten)]
    instance: InstanceArgs,
    #[command(flatten)]
    why: Why,
}

/// Names an instance.
#[derive(Debug, clap::Args)]
pub struct InstanceArgs {
    /// The service
    name: String,
    /// The instance
    id: String,
}

/// What `weft services watch` takes.
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// The service or function
    name: String,
    /// Print all of its instances as JSON on one line, now and after each change
    #[arg(long)]
    json: bool,
}

/// Asks the running host and prints what it says.
///
/// # Errors
/// If no host is running, there is no such service or instance, or it refuses.
pub async fn run(command: Command, place: &Place) -> anyhow::Result<Exit> {
    let client = Client::require(&place.data).await?;
    match command {
        Command::List(args) => list(&args, &client).await?,
        Command::Health(args) => health(&args, &client).await?,
        Command::Register(args) => {
            let RegisterArgs { name, address, id, weight, version, tags, ttl, why } = args;
            let (actor, reason, ttl_ms) = (actor(), why.reason, ttl);
            let register = RegisterInstance { actor, reason, address, id, weight, version, tags, ttl_ms };
            output::line(&client.register_instance(&name, &register).await?.id)?;
        }
        Command::Deregister(DeregisterArgs { instance: InstanceArgs { name, id }, why }) => {
            let act = Act { actor: actor(), reason: why.reason };
            client.deregister_instance(&name, &id, &act).await?;
        }
        Command::Renew(InstanceArgs { name, id }) => client.renew_instance(&name, &id).await?,
        Command::Watch(args) => watch(&args, &client).await?,
    }
    Ok(Exit::Success)
}

async fn list(args: &ListArgs, client: &Client) -> anyhow::Result<()> {
    let list = client.services(None).await?;
    if args.json {
        return Ok(output::json(&list)?);
    }
    let rows: Vec<_> = list.services.iter().map(row).collect();
    Ok(output::table(["NAME", "KIND", "INSTANCES", "HEALTHY", "VERSIONS", "TAGS"], &rows)?)
}

fn row(one: &ServiceEntry) -> [String; 6] {
    let joined = |texts: &[String]| if texts.is_empty() { "-".to_owned() } else { texts.join(", ") };
    let (instances, healthy) = (one.instances.to_string(), one.healthy.to_string());
    [one.name.clone(), one.kind.clone(), instances, healthy, joined(&one.versions), joined(&one.tags)]
}

async fn health(args: &HealthArgs, client: &Client) -> anyhow::Result<()> {
    let detail = client.service(&args.name, args.version.as_deref(), &args.tags, args.healthy, None).await?;
    if args.json {
        return Ok(output::json(&detail)?);
    }
    let rows: Vec<_> = detail.instances.iter().map(instance_row).collect();
    let header =
        ["INSTANCE", "STATUS", "FOR", "VERSION", "TAGS", "WEIGHT", "UNDER WAY", "AVERAGE", "REQUESTS", "FAILED"];
    output::table(header, &rows)?;
    for (instance, problem) in detail.instances.iter().filter_map(|one| Some((one, one.problem.as_deref()?))) {
        output::line(&format!("{}: {problem}", instance.id))?;
    }
    Ok(())
}

fn status(one: &InstanceEntry) -> String {
    match one.ejected_for_ms {
        Some(ms) => format!("{}, left out for {} s more", one.status, ms.div_ceil(1_000)),
        None => one.status.clone(),
    }
}

fn instance_row(one: &InstanceEntry) -> [String; 10] {
    let dash = || "-".to_owned();
    let average = one.average_us.map_or_else(dash, |us| format!("{}.{:03} ms", us / 1_000, us % 1_000));
    [
        one.id.clone(),
        status(one),
        format!("{} s", one.status_for_ms / 1_000),
        one.version.clone().unwrap_or_else(dash),
        if one.tags.is_empty() { dash() } else { one.tags.join(", ") },
        one.weight.to_string(),
        one.active.to_string(),
        average,
        one.requests.to_string(),
        one.failures.to_string(),
    ]
}

/// Prints until the service is gone or the command is ended.
async fn watch(args: &WatchArgs, client: &Client) -> anyhow::Result<()> {
    let mut before: BTreeMap<String, String> = BTreeMap::new();
    let mut since = None;
    loop {
        let detail = client.service(&args.name, None, &[], false, since).await?;
        let is_news = since.is_none_or(|(index, _)| detail.index > index);
        since = Some((detail.index, WATCH));
        if args.json {
            if is_news {
                output::line(&serde_json::to_string(&detail)?)?;
            }
            continue;
        }
        let now = seen(&detail);
        for (id, told) in &now {
            if before.get(id) != Some(told) {
                output::line(&format!("{id} {told}"))?;
            }
        }
        for id in before.keys().filter(|id| !now.contains_key(*id)) {
            output::line(&format!("{id} gone"))?;
        }
        before = now;
    }
}

/// What a line of `watch` says of each instance.
fn seen(detail: &ServiceDetail) -> BTreeMap<String, String> {
    let told = |one: &InstanceEntry| match &one.version {
        _ if one.ejected_for_ms.is_some() => "left out".to_owned(),
        Some(version) if detail.kind == FUNCTION => {
            let percent = f64::from(one.weight) * 100.0 / f64::from(WHOLE);
            format!("{}, version {version}, {percent} %", one.status)
        }
        _ => one.status.clone(),
    };
    detail.instances.iter().map(|one| (one.id.clone(), told(one))).collect()
}
