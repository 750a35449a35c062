//! The import against a host that keeps its rows in memory, over the control socket.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use tempfile::TempDir;
use weft_telemetry::LogLine;

use super::*;
use crate::control::api::{Act, Call, Info, Problem, Ran, Reloaded, RouteEntry, Run};
use crate::control::client::Client;
use crate::control::server::{
    GatewayOperations, LogFilter, MeshOperations, MessagingOperations, Operations, ProjectionOperations,
    SagaOperations, SchemaOperations, ServiceOperations, VersionOperations, serve,
};
use crate::import::oulad::{Course, Row};

/// What was loaded by key, how often each function was called, and how often each is to fail first.
#[derive(Default)]
struct Application {
    chunks: Mutex<BTreeMap<String, usize>>,
    calls: Mutex<Vec<String>>,
    to_fail: Mutex<u32>,
    refuses: bool,
}

impl Application {
    fn answer(&self, call: &Call) -> Result<Value, Problem> {
        let (_, function) = call.function.split_once('#').unwrap();
        let arguments: Vec<Value> = serde_json::from_str(&call.arguments).unwrap();
        self.calls.lock().unwrap().push(function.to_owned());
        let mut to_fail = self.to_fail.lock().unwrap();
        if *to_fail > 0 {
            *to_fail -= 1;
            return match *to_fail % 2 {
                0 => Err(Problem { status: 502, detail: "no answer".to_owned(), diagnostics: Vec::new() }),
                _ => Ok(json!({ "err": { "unavailable": { "message": "later" } } })),
            };
        }
        let mut chunks = self.chunks.lock().unwrap();
        let rows =
            |kind: &str| chunks.iter().filter(|(key, _)| key.contains(kind)).map(|(_, rows)| rows).sum::<usize>();
        Ok(match function {
            _ if self.refuses => json!({ "err": { "invalid": "no" } }),
            "get-progress" => {
                let (loaded, worked) = (rows("/rows/"), rows("worked"));
                let counts = json!({ "loaded": loaded, "worked": worked, "enrollments": worked });
                let mut progress = json!({ "cancelled": 1, "completed": 2, "failed": 0 });
                progress.as_object_mut().unwrap().extend(counts.as_object().unwrap().clone());
                json!({ "ok": progress })
            }
            "work" => {
                let loaded = rows("/rows/");
                chunks.insert("worked".to_owned(), loaded);
                json!({ "ok": loaded })
            }
            _ => {
                let loaded = arguments.last().unwrap().as_array().unwrap().len();
                chunks.insert(arguments[0].as_str().unwrap().to_owned(), loaded);
                json!({ "ok": loaded })
            }
        })
    }

    fn calls_of(&self, function: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| *call == function).count()
    }
}

impl Operations for Application {
    fn info(&self) -> Info {
        unreachable!("an import does not ask")
    }
    fn routes(&self) -> Vec<RouteEntry> {
        Vec::new()
    }
    fn sagas(&self) -> &dyn SagaOperations {
        unreachable!("an import does not ask")
    }
    fn projections(&self) -> &dyn ProjectionOperations {
        unreachable!("an import does not ask")
    }
    fn messaging(&self) -> &dyn MessagingOperations {
        unreachable!("an import does not ask")
    }
    fn mesh(&self) -> &dyn MeshOperations {
        unreachable!("an import does not ask")
    }
    fn versions(&self) -> &dyn VersionOperations {
        unreachable!("an import does not ask")
    }
    fn services(&self) -> &dyn ServiceOperations {
        unreachable!("an import does not ask")
    }
    fn schemas(&self) -> &dyn SchemaOperations {
        unreachable!("an import does not ask")
    }
    fn gateway(&self) -> &dyn GatewayOperations {
        unreachable!("an import does not ask")
    }
    fn logs(&self, _: LogFilter) -> BoxStream<'static, LogLine> {
        futures::stream::empty().boxed()
    }
    fn reload(&self, _: Act) -> BoxFuture<'_, Result<Reloaded, Problem>> {
        unreachable!("an import does not ask")
    }
    fn run(&self, _: Run) -> BoxFuture<'_, Result<Ran, Problem>> {
        unreachable!("an import does not ask")
    }
    fn invoke(&self, call: Call) -> BoxFuture<'_, Result<Answer, Problem>> {
        Box::pin(async move {
            let json = self.answer(&call)?;
            Ok(Answer { wave: json.to_string(), is_error: json.get("err").is_some(), json })
        })
    }
}

async fn invoker(application: Arc<Application>) -> (TempDir, Invoker) {
    let data = tempfile::tempdir().unwrap();
    tokio::spawn(serve(application, data.path(), std::future::pending()).unwrap());
    loop {
        if let Some(client) = Client::find(data.path()).await.unwrap() {
            return (data, Invoker::Running(client));
        }
        tokio::task::yield_now().await;
    }
}

fn dataset(rows: usize) -> Dataset {
    let row = |number: usize| Row {
        student: number.to_string(),
        course: "AAA-2013J".to_owned(),
        final_result: "Pass".to_owned(),
        registered_day: None,
    };
    let course = Course { code: "AAA-2013J".to_owned(), title: "A".to_owned(), capacity: 1 };
    Dataset { digest: "d".repeat(64), courses: vec![course], rows: (0..rows).map(row).collect() }
}

#[tokio::test]
async fn all_rows_go_in_by_keyed_chunks_and_are_worked_through() {
    let application = Arc::new(Application::default());
    let (_data, invoker) = invoker(application.clone()).await;
    let summary = run(&invoker, &dataset(1_201)).await.unwrap();
    let counts = Summary { loaded: 1_201, worked: 1_201, enrollments: 1_201, cancelled: 1, completed: 2, failed: 0 };
    assert_eq!(summary, counts);
    let digest = "d".repeat(64);
    let key = |kind: &str, number: usize| format!("{digest}/{kind}/{number}");
    let chunks = application.chunks.lock().unwrap().clone();
    let rows: Vec<usize> = (0..3).map(|number| chunks[&key("rows", number)]).collect();
    assert_eq!((rows, chunks[&key("courses", 0)]), (vec![500, 500, 201], 1));
}

#[tokio::test]
async fn again_nothing_is_loaded_twice() {
    let application = Arc::new(Application::default());
    let (_data, invoker) = invoker(application.clone()).await;
    let first = run(&invoker, &dataset(600)).await.unwrap();
    assert_eq!(run(&invoker, &dataset(600)).await.unwrap(), first);
    assert_eq!((application.calls_of("load-rows"), application.calls_of("work")), (2, 2));
}

#[tokio::test]
async fn a_function_that_gives_no_answer_is_called_again() {
    let application = Arc::new(Application { to_fail: Mutex::new(3), ..Application::default() });
    let (_data, invoker) = invoker(application.clone()).await;
    assert_eq!(run(&invoker, &dataset(1)).await.unwrap().worked, 1);
    assert!(application.calls_of("get-progress") > 3);
}

#[tokio::test]
async fn a_refusal_ends_it() {
    let application = Arc::new(Application { refuses: true, ..Application::default() });
    let (_data, invoker) = invoker(application.clone()).await;
    let error = run(&invoker, &dataset(1)).await.unwrap_err().to_string();
    assert!(error.contains("get-progress refused") && error.contains("invalid"), "{error}");
    assert_eq!(application.calls_of("get-progress"), 1);
}
