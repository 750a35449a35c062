//! The server over its real socket, with a host that only remembers what it was asked.

use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Mutex;

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use weft_telemetry::Stream;

use super::*;
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
        Info { version: "1".to_owned(), pid: 7, address: None, uptime_ms: 5, application, components }
    }

    fn routes(&self) -> Vec<RouteEntry> {
        Vec::new()
    }

    fn sagas(&self, filter: &SagaFilter, limit: usize, cursor: Option<u64>) -> SagaList {
        self.note(format!("{filter:?} {limit} {cursor:?}"));
        SagaList::default()
    }

    fn saga(&self, id: &str) -> Result<Saga, Problem> {
        self.note(id.to_owned());
        Err(problem(StatusCode::NOT_FOUND, "there is no such saga"))
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

struct Server {
    data: TempDir,
    fake: Arc<Fake>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Server {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let fake = Arc::new(Fake::default());
        let (stop, stopped) = oneshot::channel();
        let (operations, folder) = (fake.clone(), data.path().to_owned());
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve(operations, &folder, stopped).await
        });
        while Client::find(data.path()).await.unwrap().is_none() {
            assert!(!task.is_finished());
            tokio::task::yield_now().await;
        }
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
    let error = client.saga("k/ä#1?").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no such saga");
    assert_eq!(
        server.asked(),
        ["SagaFilter { status: Some(NeedsAttention), name: Some(\"a b&c\") } 50 None", "k/ä#1?"]
    );
    let error = client.sagas(&query(&[("limit", Some("many".to_owned()))])).await.unwrap_err();
    assert_eq!(error.to_string(), "limit has to be a number, not \"many\"");
}

#[tokio::test]
async fn calls_are_answered_or_refused_by_kind() {
    let server = Server::start().await;
    let client = server.client().await;
    let second = Duration::from_secs(1);
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
    server.task.await.unwrap().unwrap();
    assert!(Client::find(server.data.path()).await.unwrap().is_none());
    assert!(client.info().await.unwrap_err().to_string().contains("went away"));
}
