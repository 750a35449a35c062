//! The command line as typed. What each command does with it is in its own file under `commands`.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use weft_telemetry::{HostLog, HostLogError, LogFormat};

use crate::assemble::{Dialect, Place};
use crate::commands::{
    self, admin, api_keys, audit, breakers, build, chaos, check, completions, compose, deploy, dlq, events, import,
    invoke, keys, limits, logs, mesh, new, openapi, overload, projections, push, reload, routes, saga, schema,
    service_tokens, services, subscriptions, test, up,
};
use crate::exit::{self, Exit};
use crate::given::{Given, GivenArgs};
use crate::seeding::Seeds;

/// Runs a whole microservice system as WebAssembly components in one process.
#[derive(Debug, Parser)]
#[command(name = "weft", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    /// What holds for all commands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for all commands.
#[derive(Args, Debug)]
pub struct Global {
    /// The application's manifest
    #[arg(long, global = true, value_name = "FILE", default_value = "spin.toml")]
    pub manifest: PathBuf,
    /// The data directory; a running host is found through it
    #[arg(long, global = true, alias = "state-dir", value_name = "DIR", default_value = ".weft")]
    pub data: PathBuf,
    /// The profile of components to use; their plain tables if it is not said
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// Where stores, databases and the values of variables are, as Spin has it [env: RUNTIME_CONFIG_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub runtime_config_file: Option<PathBuf>,
    /// Say more: the host's own log, and all causes of an error
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the application and serve until Ctrl-C or SIGTERM
    Up(UpArgs),
    /// Have the running host take up its manifest anew, without dropping a request
    Reload(reload::Args),
    /// Build the application's components, or one
    Build(build::Args),
    /// Check manifest, grants and imports without running anything
    Check(check::Args),
    /// Make one component of a function and all that it calls
    Compose(compose::Args),
    /// Write the keys of tokens as variables, for another host
    Keys(keys::Args),
    /// Make something new
    #[command(subcommand)]
    New(new::Command),
    /// Call a function of a component by hand
    Invoke(invoke::Args),
    /// Run a command component of the application once
    Run(commands::run::Args),
    /// Look at sagas of a running host, start them, and tell them what to do
    #[command(subcommand)]
    Saga(saga::Command),
    /// Follow events, publish them, and look at their history
    #[command(subcommand)]
    Events(events::Command),
    /// Look at dead letters, change them, deliver them again or forget them
    #[command(subcommand)]
    Dlq(dlq::Command),
    /// See how subscriptions stand; pause, resume and move them
    #[command(subcommand)]
    Subscriptions(subscriptions::Command),
    /// Schemas of events: list, check, register
    #[command(subcommand)]
    Schema(schema::Command),
    /// Test what was written: a saga under every fault
    #[command(subcommand)]
    Test(test::Command),
    /// Look at read models, rebuild, pause and resume them
    #[command(subcommand)]
    Projections(projections::Command),
    /// See which services and functions there are; register instances, and see how they do
    #[command(subcommand)]
    Services(services::Command),
    /// See the policy on calls to components and services as it holds now, and how it stands
    Mesh(mesh::Args),
    /// See how circuit breakers stand; open, close and reset them
    #[command(subcommand)]
    Breakers(breakers::Command),
    /// Make calls fail on purpose
    #[command(subcommand)]
    Chaos(chaos::Command),
    /// Put a version of a component beside the one that the manifest names
    Deploy(deploy::Args),
    /// Try versions on a share of calls, promote and abort them
    #[command(subcommand)]
    Canary(deploy::Command),
    /// List routes: method, path, component, access; all that is said of them with --wide
    Routes(routes::Args),
    /// Print the OpenAPI 3.1 document of the manifest's routes
    Openapi,
    /// See how rate limits stand, and who is near them
    Limits(limits::Args),
    /// See how many requests run at a time, why not more, and what is refused
    Overload(overload::Args),
    /// See who is connected to be pushed to
    #[command(subcommand)]
    Push(push::Command),
    /// Make, list and revoke API keys
    #[command(subcommand)]
    ApiKeys(api_keys::Command),
    /// Make and void tokens of services
    #[command(subcommand)]
    ServiceTokens(service_tokens::Command),
    /// Show what functions have written to stdout and stderr
    Logs(logs::Args),
    /// Show what was done by hand: who, what, why
    Audit(audit::Args),
    /// Commands for the platform's operator
    #[command(subcommand)]
    Admin(admin::Command),
    /// Load data of another system
    #[command(subcommand)]
    Import(import::Command),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// What `weft up` takes.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000", value_parser = address)]
    pub listen: SocketAddr,
    /// Where to listen for HTTPS, instead of where the manifest says
    #[arg(long, value_name = "ADDR", value_parser = address, conflicts_with = "as_spin")]
    pub listen_tls: Option<SocketAddr>,
    /// Which state engines stand behind what; without it, the embedded ones
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Build and deploy anew, without dropping a request, when a source changes
    #[arg(long)]
    pub watch: bool,
    /// Run the closed forms that `weft build` has made, as Spin would: nothing of `tool.weft` counts
    #[arg(long, conflicts_with = "watch")]
    pub as_spin: bool,
    /// Build first
    #[arg(long)]
    pub build: bool,
    /// Admit requests whatever the manifest's rate limits say, as for a load test
    #[arg(long)]
    pub no_rate_limits: bool,
    /// What is put into stores.
    #[command(flatten)]
    pub seeds: Seeds,
    /// What is said of the application.
    #[command(flatten)]
    pub given: GivenArgs,
}

/// An address, or a name with a port; of several addresses that of the loopback interface.
fn address(text: &str) -> Result<SocketAddr, String> {
    let addresses: Vec<SocketAddr> = text.to_socket_addrs().map_err(|error| error.to_string())?.collect();
    let loopback = addresses.iter().find(|address| address.ip() == Ipv4Addr::LOCALHOST);
    loopback.or(addresses.first()).copied().ok_or_else(|| "it has no address".to_owned())
}

/// How many tasks a busy thread runs before it looks at sockets and timers again. A function that computes holds its
/// thread for a whole epoch (10 ms) at a time: at tokio's own 61 everybody else would wait for more than half a second.
const TASKS_PER_LOOK_AT_EVENTS: u32 = 8;

/// Parses the command line and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    // Ends the process itself, with code 2 and a message, if the line makes no sense.
    let Cli { global, command } = Cli::parse();
    let verbose = global.verbose;
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .event_interval(TASKS_PER_LOOK_AT_EVENTS)
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run(global, command)));
    ended.unwrap_or_else(|error| exit::report(&error, verbose)).into()
}

async fn run(global: Global, command: Command) -> anyhow::Result<Exit> {
    let given = Given::of_profile(global.profile);
    // As Spin's command line has it; empty is none.
    let from_environment =
        || std::env::var_os("RUNTIME_CONFIG_FILE").filter(|name| !name.is_empty()).map(PathBuf::from);
    let runtime_config = global.runtime_config_file.or_else(from_environment);
    let mut place = Place { manifest: global.manifest, data: global.data, given, runtime_config };
    // Kept to the end: what still waits is written when it is dropped.
    let _log = start_log(&command, global.verbose)?;
    match command {
        Command::Up(args) => {
            let UpArgs { listen, listen_tls, config, watch, as_spin, build, no_rate_limits, seeds, given } = args;
            place.take(given)?;
            let dialect = if as_spin { Dialect::Spin } else { Dialect::Weft };
            let options =
                up::Options { place, listen, listen_tls, config, watch, build, no_rate_limits, seeds, dialect };
            up::run(options).await.map(|()| Exit::Success)
        }
        Command::Reload(args) => reload::run(args, &place).await,
        Command::Build(args) => {
            if let Some(manifest) = args.manifest() {
                place.manifest = manifest;
            }
            build::run(args, &place).await
        }
        Command::Check(mut args) => {
            place.take(std::mem::take(&mut args.given))?;
            check::run(&args, &place)
        }
        Command::Compose(args) => compose::run(&args, &place),
        Command::Keys(args) => keys::run(&args, &place),
        Command::New(new::Command::Function(args)) => new::run(&args, &place),
        Command::Invoke(args) => invoke::run(&args, &place).await,
        Command::Run(args) => commands::run::run(args, &place).await,
        Command::Saga(command) => saga::run(command, &place).await,
        Command::Events(command) => events::run(command, &place).await,
        Command::Dlq(command) => dlq::run(command, &place).await,
        Command::Subscriptions(command) => subscriptions::run(command, &place).await,
        Command::Schema(command) => schema::run(command, &place).await,
        Command::Test(command) => test::run(command, &place).await,
        Command::Projections(command) => projections::run(command, &place).await,
        Command::Services(command) => services::run(command, &place).await,
        Command::Mesh(args) => mesh::run(&args, &place).await,
        Command::Breakers(command) => breakers::run(command, &place).await,
        Command::Chaos(command) => chaos::run(command, &place).await,
        Command::Deploy(args) => deploy::run(args, &place).await,
        Command::Canary(command) => deploy::canary(command, &place).await,
        Command::Routes(args) => routes::run(&args, &place).await,
        Command::Openapi => openapi::run(&place),
        Command::Limits(args) => limits::run(&args, &place).await,
        Command::Overload(args) => overload::run(&args, &place).await,
        Command::Push(push::Command::List(args)) => push::run(&args, &place).await,
        Command::ApiKeys(command) => api_keys::run(command, &place).await,
        Command::ServiceTokens(command) => service_tokens::run(command, &place).await,
        Command::Logs(args) => logs::run(&args, &place).await,
        Command::Audit(args) => audit::run(&args, &place),
        Command::Admin(admin::Command::ResetPassword(args)) => admin::run(args, &place).await,
        Command::Import(import::Command::Oulad(args)) => import::run(&args, &place).await,
        Command::Completions(args) => completions::run(&args),
    }
}

/// The host's own log, on stderr. Commands other than `up` are quiet but for warnings.
/// `RUST_LOG` overrides the level.
fn start_log(command: &Command, verbose: bool) -> Result<HostLog, HostLogError> {
    let filter = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let by_command = match command {
        _ if verbose => "debug,wasmtime=info,cranelift=info,h2=info,notify=warn",
        Command::Up(_) => "info,notify=warn",
        _ => "warn",
    };
    HostLog::start(LogFormat::Human, filter.as_deref().unwrap_or(by_command))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let cli = parsed("weft up").unwrap();
        assert_eq!(cli.global.manifest, PathBuf::from("spin.toml"));
        assert_eq!(cli.global.data, PathBuf::from(".weft"));
        let Command::Up(up) = cli.command else { panic!("{:?}", cli.command) };
        assert_eq!(up.listen.to_string(), "127.0.0.1:3000");
        assert!(!up.watch);
    }

    #[test]
    fn global_options_stand_before_and_after_the_command() {
        for line in ["weft --data d --manifest m saga list --json", "weft saga list --json --data d --manifest m"] {
            let cli = parsed(line).unwrap();
            assert_eq!((cli.global.data, cli.global.manifest), (PathBuf::from("d"), PathBuf::from("m")), "{line}");
        }
    }

    const MANUAL: &[&str] = &[
        "weft up --listen 0.0.0.0:80 --config weft.toml --watch",
        "weft up -f folder --profile debug --build --variable a=b --variable @v.toml -e A=B --env C=D",
        "weft up --listen localhost:3000 --state-dir d",
        "weft up --listen 0.0.0.0:80 --listen-tls 0.0.0.0:443",
        "weft up --key-value a=b --key-value c= --sqlite @tables.sql --sqlite VACUUM",
        "weft reload --reason why --json",
        "weft reload --status",
        "weft build",
        "weft build courses-list",
        "weft build --profile debug -f folder",
        "weft check --json",
        "weft check --from spin.toml --profile debug --variable a=@file --env A=B",
        "weft new function courses hello",
        "weft invoke example-greeter greeter#greet (\"k\",\"x\") --json",
        "weft saga show 0192",
        "weft saga list --status running --name x --limit 5 --cursor 9",
        "weft saga list --correlation c --since 2h --until 2026-03-01T08:00:00Z --attribute a=b --attribute c=d",
        "weft saga timeline 0192 --ascii",
        "weft saga tail",
        "weft saga tail 0192 --json",
        "weft saga start approval approving#run [7] --id k --wait",
        "weft saga signal 0192 approve {\"by\":\"ada\"} --id 1",
        "weft saga query 0192 state",
        "weft saga cancel 0192 --reason wrong",
        "weft saga pause 0192",
        "weft saga resume 0192",
        "weft saga retry 0192 --from charge#2",
        "weft saga resolve 0192 --retry",
        "weft saga resolve 0192 --skip charge --reason paid",
        "weft saga migrate 0192 --dry-run",
        "weft audit --limit 5 --json",
        "weft events tail",
        "weft events tail order.# --from 2h --type T --json",
        "weft events publish order.placed {} --type T --key k --id 1 --delay 500ms --ttl 1h --priority 9",
        "weft events publish --lines file --from-line 7",
        "weft events history --topic order.* --type T --since 2h --until 1h --correlation c --limit 5 --json",
        "weft dlq list --subscription a/b --limit 5 --json",
        "weft dlq show 7 --json",
        "weft dlq edit 7 @file --reason why",
        "weft dlq replay --id 7",
        "weft dlq purge --subscription a/b --reason why",
        "weft dlq purge --all",
        "weft subscriptions list --json",
        "weft subscriptions pause a/b --reason why",
        "weft subscriptions resume @group",
        "weft subscriptions seek a/b earliest",
        "weft schema list --json",
        "weft schema show t --version 2",
        "weft schema register t file",
        "weft schema mode t FULL_TRANSITIVE",
        "weft schema deprecate t /properties/a --reason why",
        "weft schema check --against dir --ci",
        "weft schema asyncapi",
        "weft test saga x --input i --setup s --from d --signals t --may-leave c.t:a=b --ignore c.t.a --json",
        "weft projections list --json",
        "weft projections rebuild c/p@1 --from 7 --reason mended",
        "weft projections abandon c/p@1",
        "weft projections pause c/p@1",
        "weft projections resume c/p@1",
        "weft routes --wide",
        "weft mesh",
        "weft mesh c --json",
        "weft breakers list --json",
        "weft breakers open c --reason why",
        "weft breakers close c",
        "weft breakers reset c",
        "weft chaos list --json",
        "weft chaos add --callee a --caller b --function c#d --percent 10 --delay 200ms --abort unavailable",
        "weft chaos clear --reason why",
        "weft deploy c file --header x-version=v2 --reason why",
        "weft canary start c --version v --steps 1,0.5,10 --min-calls 50 --step-time 30s --max-latency 150",
        "weft canary status --json",
        "weft canary promote c --version v --check /health",
        "weft canary abort c --reason why",
        "weft canary weight c 12.5",
        "weft routes --json",
        "weft openapi",
        "weft limits --callers 10 --json",
        "weft overload --json",
        "weft push list --entries 10 --json",
        "weft up --no-rate-limits",
        "weft api-keys create --owner u --name n --role r --permission a --permission b --tier t --expires-in 90d",
        "weft api-keys list --json",
        "weft api-keys revoke 0192 --reason lost",
        "weft service-tokens create grading --permission a --expires-in 2h --json",
        "weft service-tokens void grading --reason lost",
        "weft logs courses-list -f -n 5",
        "weft admin reset-password --email a@example.com",
        "weft import oulad dir",
        "weft completions bash",
    ];

    #[test]
    fn every_command_of_the_manual_is_read() {
        for line in MANUAL {
            parsed(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_code_2() {
        for line in [
            "weft",
            "weft nothing",
            "weft up --listen nowhere",
            "weft up --listen-tls 127.0.0.1:0 --as-spin",
            "weft reload --status --reason why",
            "weft api-keys create",
            "weft api-keys create --owner u1 --expires-in soon",
            "weft up --variable a",
            "weft up --env a",
            "weft check --variable @file.txt",
            "weft new function courses",
            "weft new function Courses hello",
            "weft new function courses 1st",
            "weft invoke x",
            "weft saga list --status dreaming",
            "weft test saga x",
            "weft test saga x --input i --ignore t",
            "weft saga list --limit 0",
            "weft saga list --since yesterday",
            "weft saga list --attribute a",
            "weft saga resolve 0192 --reason why",
            "weft saga resolve 0192 --retry --abandon --reason why",
            "weft saga resolve 0192 --abandon",
            "weft saga resolve 0192 --skip charge",
            "weft saga timeline 0192 --ascii --json",
            "weft completions tcsh",
            "weft dlq purge",
            "weft dlq replay --id 7 --all",
            "weft events publish",
            "weft events publish t --type T --priority 10",
            "weft events publish t --type T --delay soon",
            "weft events publish t --type T --lines file",
            "weft subscriptions seek a/b soon",
            "weft schema mode t backward",
            "weft schema check --ci --json",
        ] {
            let error = parsed(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}: {error}");
        }
    }
}
