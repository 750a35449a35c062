//! The server over its real socket, with a host that only remembers what it was asked.

mod gateway;
mod mesh;
mod messaging;
mod services;

use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Mutex;

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use weft_durable::{SagaFilter, Status};
use weft_telemetry::Stream;

use super::*;
use crate::control::api::{
    Begun, DiagnosticEntry, ManifestStatus, Migrated, Order, Ordered, ProjectionEntry, ProjectionOrder, Resolve, Saga,
    SagaEntry, SagaList, Signal, Start, Timeline, Transition,
};
use crate::control::client::{Client, query};
use crate::exit::UsageError;
use crate::invoker::NoAnswer;

#[derive(Default)]
struct Fake {
    asked: Mutex<Vec<String>>,
}

impl Fake {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

impl Operations for Fake {
    fn info(&self) -> Info {
        let components = vec!["a".to_owned()];
        let application = "test".to_owned();
        let (memory_bytes, max_memory_bytes) = (3 << 20, 64 << 20);
        let (version, manifest) = ("1".to_owned(), ManifestStatus::default());
        Info {
            version,
            pid: 7,
            address: None,
            uptime_ms: 5,
            memory_bytes,
            max_memory_bytes,
            application,
            components,
            manifest,
        }
    }

    fn reload(&self, act: Act) -> BoxFuture<'_, Result<Reloaded, Problem>> {
        self.note(format!("reload by {}: {}", act.actor, act.reason));
        let diagnostics = ["no host", "no port"].map(|message| DiagnosticEntry {
            file: "spin.toml".to_owned(),
            line: 7,
            message: message.to_owned(),
            help: None,
        });
        let refused = problem(StatusCode::UNPROCESSABLE_ENTITY, "refused");
        Box::pin(async move { Err(Problem { diagnostics: diagnostics.into(), ..refused }) })
    }

    fn routes(&self) -> Vec<RouteEntry> {
        Vec::new()
    }

    fn sagas(&self) -> &dyn SagaOperations {
        self
    }

    fn projections(&self) -> &dyn ProjectionOperations {
        self
    }

    fn messaging(&self) -> &dyn MessagingOperations {
        self
    }

    fn mesh(&self) -> &dyn MeshOperations {
        self
    }

    fn services(&self) -> &dyn ServiceOperations {
        self
    }

    fn versions(&self) -> &dyn VersionOperations {
        unreachable!("its own tests are those of the platform")
    }

    fn schemas(&self) -> &dyn SchemaOperations {
        self
    }

    fn gateway(&self) -> &dyn GatewayOperations {
        self
    }

    fn logs(&self, filter: LogFilter) -> BoxStream<'static, LogLine> {
        let entry = |line: usize| LogLine {
            time_ms: 1,
            component: "a".into(),
            stream: Stream::Stdout,
            trace_id: None,
            text: line.to_string(),
        };
        futures::stream::iter((0..filter.lines).map(entry)).boxed()
    }

    fn run(&self, run: Run) -> BoxFuture<'_, Result<Ran, Problem>> {
        Box::pin(async move {
            match run.component.as_str() {
                "echo" => Ok(Ran { code: 3, stdout: run.stdin, stderr: run.arguments.concat().into_bytes() }),
                _ => Err(bad("no such command")),
            }
        })
    }

    fn invoke(&self, call: Call) -> BoxFuture<'_, Result<Answer, Problem>> {
        Box::pin(async move {
            match call.function.as_str() {
                "i#f" => Ok(Answer { wave: call.arguments, json: serde_json::Value::Null, is_error: false }),
                "i#wrong" => Err(bad("no such function")),
                _ => Err(problem(StatusCode::BAD_GATEWAY, "no answer")),
            }
        })
    }
}

impl ProjectionOperations for Fake {
    fn list(&self) -> BoxFuture<'_, Result<Vec<ProjectionEntry>, Problem>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn order(
        &self,
        id: String,
        order: String,
        ordered: ProjectionOrder,
    ) -> BoxFuture<'_, Result<ProjectionEntry, Problem>> {
        self.note(format!("{order} {id} by {} from {}", ordered.actor, ordered.from));
        Box::pin(async { Err(problem(StatusCode::NOT_FOUND, "there is no such projection")) })
    }
}

impl SagaOperations for Fake {
    fn list(&self, filter: &SagaFilter, limit: usize, cursor: Option<u64>) -> SagaList {
        self.note(format!("{filter:?} {limit} {cursor:?}"));
        SagaList::default()
    }

    fn show(&self, id: &str) -> Result<Saga, Problem> {
        self.note(id.to_owned());
        Err(problem(StatusCode::NOT_FOUND, "there is no such saga"))
    }

    fn timeline(&self, id: &str) -> Result<Timeline, Problem> {
        self.note(format!("timeline of {id}"));
        Ok(Timeline { now_ms: 7, sagas: Vec::new(), more: false })
    }

    fn query(&self, id: &str, name: &str) -> Result<serde_json::Value, Problem> {
        self.note(format!("{name} of {id}"));
        Ok(serde_json::json!({ "step": 1 }))
    }

    fn events(&self, id: Option<&str>) -> Result<BoxStream<'static, Transition>, Problem> {
        self.note(format!("events of {id:?}"));
        let transition = |number: u32| Transition {
            event: "step.completed".to_owned(),
            saga: "s".to_owned(),
            name: "i#f".to_owned(),
            correlation_id: "c".to_owned(),
            step: None,
            attempt: Some(number),
            at_ms: 0,
            error: None,
        };
        Ok(futures::stream::iter((1..=3).map(transition)).boxed())
    }

    fn start(&self, start: Start) -> BoxFuture<'_, Result<Begun, Problem>> {
        self.note(format!("{start:?}"));
        let (id, existing) = (start.id.unwrap_or_default(), start.arguments == "[1]");
        Box::pin(async move { Ok(Begun { id, existing }) })
    }

    fn order(&self, id: String, ordered: Ordered) -> BoxFuture<'_, Result<Done, Problem>> {
        self.note(format!("{} {id} by {}: {}", ordered.order.name(), ordered.actor, ordered.reason));
        Box::pin(async move {
            match ordered.order {
                Order::Migrate { dry_run } => Ok(Done::Migrated(Migrated { digest: "d".to_owned(), dry_run })),
                Order::Pause => Err(problem(StatusCode::CONFLICT, "it has ended")),
                Order::Signals(signal) => Err(problem(StatusCode::PAYLOAD_TOO_LARGE, signal.payload.to_string())),
                Order::Resume => Err(problem(StatusCode::SERVICE_UNAVAILABLE, "the disk is full")),
                _ => Ok(Done::Saga(entry(&id))),
            }
        })
    }
}

fn entry(id: &str) -> SagaEntry {
    SagaEntry {
        id: id.to_owned(),
        name: "i#f".to_owned(),
        component: "a".to_owned(),
        status: "running".to_owned(),
        correlation_id: "c".to_owned(),
        started_at_ms: 1,
        ended_at_ms: None,
    }
}

fn by_ada(order: Order) -> Ordered {
    Ordered { actor: "ada@local".to_owned(), reason: "because".to_owned(), order }
}

struct Server {
    data: TempDir,
    fake: Arc<Fake>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let fake = Arc::new(Fake::default());
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        let task = tokio::spawn(serve(fake.clone(), data.path(), stopped).unwrap());
        Self { data, fake, stop, task }
    }

    async fn client(&self) -> Client {
        Client::require(self.data.path()).await.unwrap()
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.fake.asked.lock().unwrap())
    }

    /// What the server says to these bytes, sent as they are.
    fn raw(&self, request: &str) -> String {
        use std::io::{Read as _, Write as _};
        let mut stream = StdUnixStream::connect(self.data.path().join("control.sock")).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_token_nothing_is_answered() {
    let server = Server::start().await;
    let token = std::fs::read_to_string(server.data.path().join("token")).unwrap();
    let request = |header: &str| format!("GET /v1/sagas HTTP/1.1\r\nhost: weft\r\n{header}connection: close\r\n\r\n");
    let wrong = "0".repeat(token.len());
    for header in [String::new(), format!("authorization: Bearer {wrong}\r\n"), format!("authorization: {token}\r\n")] {
        let response = server.raw(&request(&header));
        assert!(response.starts_with("HTTP/1.1 401 "), "{header}: {response}");
        assert!(response.contains("application/problem+json"), "{response}");
    }
    assert_eq!(server.asked(), Vec::<String>::new());
    let response = server.raw(&request(&format!("authorization: Bearer {token}\r\n")));
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn requests_reach_the_host_as_they_were_meant() {
    let server = Server::start().await;
    let client = server.client().await;
    assert_eq!(client.info().await.unwrap().pid, 7);
    let wanted = [("status", Some("needs-attention".to_owned())), ("name", Some("a b&c".to_owned()))];
    client.sagas(&query(&wanted)).await.unwrap();
    let others = [
        ("correlation", Some("c/1".to_owned())),
        ("since_ms", Some("5".to_owned())),
        ("until_ms", Some("9".to_owned())),
        ("attribute", Some("a=b=c".to_owned())),
        ("attribute", Some("d=".to_owned())),
    ];
    client.sagas(&query(&others)).await.unwrap();
    let error = client.saga("k/ä#1?").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no such saga");
    let asked = server.asked();
    let first =
        SagaFilter { status: Some(Status::NeedsAttention), name: Some("a b&c".to_owned()), ..SagaFilter::default() };
    let attributes = [("a", "b=c"), ("d", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let second = SagaFilter {
        correlation_id: Some("c/1".to_owned()),
        since_ms: Some(5),
        until_ms: Some(9),
        attributes: attributes.into(),
        ..SagaFilter::default()
    };
    assert_eq!(asked, [format!("{first:?} 50 None"), format!("{second:?} 50 None"), "k/ä#1?".to_owned()]);
    let error = client.sagas(&query(&[("limit", Some("many".to_owned()))])).await.unwrap_err();
    assert_eq!(error.to_string(), "limit has to be a number, not \"many\"");
}

#[tokio::test]
async fn a_reload_that_is_refused_says_in_which_lines() {
    let server = Server::start().await;
    let client = server.client().await;
    let act = |actor: &str| Act { actor: actor.to_owned(), reason: "because".to_owned() };
    let refused = client.reload(&act("ada@local")).await.unwrap().unwrap_err();
    let lines: Vec<_> = refused.diagnostics.iter().map(|entry| (entry.line, entry.message.as_str())).collect();
    assert_eq!((refused.detail.as_str(), lines), ("refused", vec![(7, "no host"), (7, "no port")]));
    assert!(client.reload(&act("")).await.unwrap_err().is::<UsageError>(), "somebody has to say who they are");
    assert_eq!(server.asked(), ["reload by ada@local: because"]);
}

#[tokio::test]
async fn sagas_are_started_told_and_asked() {
    let server = Server::start().await;
    let client = server.client().await;
    let start = |arguments: &str| Start {
        actor: "ada@local".to_owned(),
        component: "a".to_owned(),
        function: "i#f".to_owned(),
        id: Some("k/1".to_owned()),
        arguments: arguments.to_owned(),
    };
    assert!(!client.start(&start("[]")).await.unwrap().existing);
    assert!(client.start(&start("[1]")).await.unwrap().existing);
    let cancelled = client.order("k/1", &by_ada(Order::Cancel)).await.unwrap();
    assert_eq!(cancelled, entry("k/1"));
    let migrated = client.migrate("k", "ada@local".to_owned(), String::new(), true).await.unwrap();
    assert!(migrated.dry_run);
    assert_eq!(client.query_saga("k", "where/now").await.unwrap()["step"], 1);
    assert_eq!(client.timeline("events").await.unwrap().now_ms, 7);
    let told: Vec<String> = server.asked().into_iter().skip(2).collect();
    let expected =
        ["cancel k/1 by ada@local: because", "migrate k by ada@local: ", "where/now of k", "timeline of events"];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_saga_that_is_called_events_is_a_saga() {
    let server = Server::start().await;
    let client = server.client().await;
    client.saga("events").await.unwrap_err();
    let mut attempts = Vec::new();
    let collect = |transition: Transition| {
        attempts.extend(transition.attempt);
        Ok(())
    };
    client.transitions(Some("a&b"), collect).await.unwrap();
    assert_eq!(attempts, [1, 2, 3]);
    client.transitions(None, |_| Ok(())).await.unwrap();
    assert_eq!(server.asked(), ["events", "events of Some(\"a&b\")", "events of None"]);
}

#[tokio::test]
async fn refusals_of_orders_keep_their_kind() {
    let server = Server::start().await;
    let client = server.client().await;
    let refused = async |order: Order| client.order("k", &by_ada(order)).await.unwrap_err();
    let signal = Signal { name: "go".to_owned(), id: String::new(), payload: serde_json::json!([1]) };
    for (order, text) in
        [(Order::Pause, "it has ended"), (Order::Signals(signal.clone()), "[1]"), (Order::Resume, "the disk is full")]
    {
        let error = refused(order).await;
        assert_eq!(error.to_string(), text);
        assert!(!error.is::<UsageError>() && !error.is::<NoAnswer>());
    }
    server.asked();
    // What makes no sense does not reach the host.
    let nameless = refused(Order::Signals(Signal { name: String::new(), ..signal })).await;
    let abandon = Order::Resolve(Resolve::Abandon);
    let unreasoned = Ordered { actor: "ada@local".to_owned(), reason: " ".to_owned(), order: abandon };
    let unreasoned = client.order("k", &unreasoned).await.unwrap_err();
    let nobody = Ordered { actor: String::new(), reason: String::new(), order: Order::Cancel };
    let nobody = client.order("k", &nobody).await.unwrap_err();
    for error in [nameless, unreasoned, nobody] {
        assert!(error.is::<UsageError>(), "{error}");
    }
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_are_those_of_http() {
    let server = Server::start().await;
    let token = std::fs::read_to_string(server.data.path().join("token")).unwrap();
    let status = |line: &str, body: &str| {
        let head = format!("{line} HTTP/1.1\r\nhost: weft\r\nauthorization: Bearer {token}\r\nconnection: close\r\n");
        let response = server.raw(&format!("{head}content-length: {}\r\n\r\n{body}", body.len()));
        response.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    let start = r#"{"actor":"a","component":"a","function":"i#f","id":null,"arguments":"[]"}"#;
    assert_eq!(status("POST /v1/sagas", start), 201);
    assert_eq!(status("POST /v1/sagas", &start.replace("[]", "[1]")), 200);
    assert_eq!(status("POST /v1/sagas", "{}"), 400);
    assert_eq!(status("POST /v1/sagas/k/cancel", r#"{"actor":"a"}"#), 200);
    assert_eq!(status("POST /v1/sagas/k/pause", r#"{"actor":"a"}"#), 409);
    assert_eq!(status("POST /v1/sagas/k/resume", r#"{"actor":"a"}"#), 503);
    assert_eq!(status("POST /v1/sagas/k/signals", r#"{"actor":"a","name":"n"}"#), 413);
    assert_eq!(status("POST /v1/sagas/k/dance", r#"{"actor":"a"}"#), 400);
    assert_eq!(status("POST /v1/sagas/%ff/cancel", r#"{"actor":"a"}"#), 400);
    assert_eq!(status("GET /v1/sagas/k/nothing", ""), 404);
    assert_eq!(status("GET /v1/sagasx", ""), 404);
    assert_eq!(status("DELETE /v1/sagas/k", ""), 405);
    assert_eq!(status("GET /v1/sagas?attribute=a", ""), 400);
}

#[tokio::test]
async fn calls_are_answered_or_refused_by_kind() {
    let server = Server::start().await;
    let client = server.client().await;
    let second = Duration::from_secs(1);
    let echo = |component: &str| Run {
        component: component.to_owned(),
        arguments: vec!["a".to_owned(), "b".to_owned()],
        stdin: vec![0, 255],
        timeout_ms: 1_000,
    };
    let ran = client.run(&echo("echo")).await.unwrap();
    assert_eq!(ran, Ran { code: 3, stdout: vec![0, 255], stderr: b"ab".to_vec() });
    assert!(client.run(&echo("nobody")).await.unwrap_err().is::<UsageError>());
    assert_eq!(client.invoke("a", "i#f", "(\"ä\")", second).await.unwrap().wave, "(\"ä\")");
    let wrong = client.invoke("a", "i#wrong", "()", second).await.unwrap_err();
    assert!(wrong.is::<UsageError>(), "{wrong}");
    let failed = client.invoke("a", "i#fails", "()", second).await.unwrap_err();
    assert!(failed.is::<NoAnswer>() && failed.to_string() == "no answer", "{failed}");
    let patient = client.invoke("a", "i#f", "()", Duration::from_secs(601)).await.unwrap_err();
    assert!(patient.to_string().contains("601000"), "{patient}");
}

#[tokio::test]
async fn output_comes_line_by_line() {
    let server = Server::start().await;
    let mut lines = Vec::new();
    let asked = query(&[("lines", Some("300".to_owned()))]);
    let collect = |entry: LogLine| {
        lines.push(entry.text);
        Ok(())
    };
    server.client().await.logs(&asked, collect).await.unwrap();
    assert_eq!(lines, (0..300).map(|line| line.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_socket_is_gone_when_the_host_is() {
    let server = Server::start().await;
    let client = server.client().await;
    server.stop.send(()).unwrap();
    server.task.await.unwrap();
    assert!(Client::find(server.data.path()).await.unwrap().is_none());
    assert!(client.info().await.unwrap_err().to_string().contains("went away"));
}

#[tokio::test]
async fn projections_are_asked_by_their_whole_id() {
    let server = Server::start().await;
    let client = server.client().await;
    assert!(client.projections().await.unwrap().is_empty());
    let ordered = ProjectionOrder { actor: "ada@local".to_owned(), reason: String::new(), from: 7 };
    let error = client.order_projection("c/p@1", "rebuild", &ordered).await.unwrap_err();
    assert!(error.to_string().contains("no such projection"), "{error}");
    assert_eq!(*server.asked(), ["rebuild c/p@1 by ada@local from 7"]);
    let error = client.order_projection("c/p@1", "polish", &ordered).await.unwrap_err();
    assert!(error.to_string().contains("there are pause, resume, rebuild and abandon"), "{error}");
    let nobody = ProjectionOrder { actor: String::new(), ..ordered };
    assert!(client.order_projection("c/p@1", "pause", &nobody).await.unwrap_err().to_string().contains("actor"));
    assert!(server.asked().is_empty(), "what is refused is not asked");
}
