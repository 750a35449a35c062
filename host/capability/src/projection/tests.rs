//! Projections over a source and a read model in memory, with failures where a test wants them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use weft_core::clock::ManualClock;
use weft_core::manifest::{self, Located, ProjectionSource, Start};
use weft_core::{Fault, Reason};

use super::*;
use crate::sql::{ConstraintKind, SqlError, Value};

/// Events 1, 2, 3, ...; odd ones are of type `odd`, even ones of type `even`.
struct Numbers(watch::Sender<u64>);

impl Source for Numbers {
    fn read(&self, from: u64, limit: u32) -> BoxFuture<'_, Result<Slice, Failure>> {
        let end = *self.0.borrow();
        let events: Vec<_> = (from.max(1)..=end).take(limit as usize).map(event).collect();
        let next = events.last().map_or(from, |event| event.position + 1);
        Box::pin(async move { Ok(Slice { events, next }) })
    }

    fn head(&self) -> BoxFuture<'_, Result<u64, Failure>> {
        let head = *self.0.borrow() + 1;
        Box::pin(async move { Ok(head) })
    }

    fn more_at(&self, from: u64) -> BoxFuture<'static, ()> {
        let mut end = self.0.subscribe();
        Box::pin(async move { drop(end.wait_for(|end| *end >= from).await) })
    }
}

fn event(position: u64) -> SourceEvent {
    SourceEvent {
        position,
        id: format!("e{position}"),
        kind: if position % 2 == 1 { "odd" } else { "even" }.to_owned(),
        topic: "numbers".to_owned(),
        subject: None,
        time_ms: position,
        correlation_id: None,
        data: Bytes::from(position.to_string()),
    }
}

/// The checkpoint of a model, and the numbers that it took.
type Kept = (Option<u64>, Vec<i64>);

/// Two models: checkpoint and the numbers that were applied, in order.
#[derive(Default)]
struct Memory {
    models: Mutex<BTreeMap<bool, Kept>>,
    changed: watch::Sender<u64>,
    /// A number that no model takes.
    refused: std::sync::atomic::AtomicI64,
    /// The next so many steps are not answered though they land.
    unsure: AtomicU32,
}

impl Memory {
    fn of(&self, model: Model) -> Kept {
        self.models.lock().unwrap().get(&(model == Model::Rebuild)).cloned().unwrap_or_default()
    }

    async fn until(&self, reached: impl Fn(&Self) -> bool) {
        let mut changed = self.changed.subscribe();
        changed.wait_for(|_| reached(self)).await.unwrap();
    }
}

impl ReadModels for Memory {
    fn checkpoint(&self, _: Reader, model: Model) -> BoxFuture<'_, Result<Option<u64>, ReadModelError>> {
        let (checkpoint, _) = self.of(model);
        Box::pin(async move { Ok(checkpoint) })
    }

    fn advance(&self, advance: Advance) -> BoxFuture<'_, Result<(), ReadModelError>> {
        let result = (|| {
            let mut models = self.models.lock().unwrap();
            let model = models.entry(advance.model == Model::Rebuild).or_default();
            if model.0 != advance.expected {
                return Err(ReadModelError::Moved { expected: advance.expected, actual: model.0 });
            }
            let numbers = advance.statements.iter().map(|statement| match statement.parameters.as_slice() {
                [Value::Int64(number)] => *number,
                _ => unreachable!(),
            });
            let numbers: Vec<i64> = numbers.collect();
            if numbers.contains(&self.refused.load(Ordering::SeqCst)) {
                let kind = ConstraintKind::Check;
                return Err(SqlError::Constraint { kind, subject: "n".to_owned(), statement: 0 }.into());
            }
            model.0 = Some(advance.next);
            model.1.extend(numbers);
            Ok(())
        })();
        self.changed.send_modify(|changes| *changes += 1);
        let lost = result.is_ok()
            && self.unsure.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let result = if lost { Err(SqlError::uncertain("the answer was lost").into()) } else { result };
        Box::pin(async move { result })
    }

    fn begin_rebuild(&self, _: Reader, position: u64) -> BoxFuture<'_, Result<(), ReadModelError>> {
        self.models.lock().unwrap().insert(true, (Some(position), Vec::new()));
        Box::pin(async { Ok(()) })
    }

    fn finish_rebuild(&self, _: Reader, expected: u64) -> BoxFuture<'_, Result<(), ReadModelError>> {
        let mut models = self.models.lock().unwrap();
        let rebuilt = models.remove(&true).unwrap();
        assert_eq!(rebuilt.0, Some(expected));
        models.insert(false, rebuilt);
        drop(models);
        self.changed.send_modify(|changes| *changes += 1);
        Box::pin(async { Ok(()) })
    }

    fn abandon_rebuild(&self, _: Reader) -> BoxFuture<'_, Result<(), ReadModelError>> {
        self.models.lock().unwrap().remove(&true);
        Box::pin(async { Ok(()) })
    }
}

/// Answers one statement for each event; refuses what it is told to.
#[derive(Default)]
struct Function {
    refuses: std::sync::atomic::AtomicU64,
    is_down: AtomicBool,
}

impl Project for Function {
    fn project(&self, _: &str, events: Arc<[SourceEvent]>) -> BoxFuture<'static, Result<Vec<Statement>, ProjectError>> {
        let refused = self.refuses.load(Ordering::SeqCst);
        let result = if self.is_down.load(Ordering::SeqCst) {
            Err(Failure::not_attempted(Fault::Guest, Reason::Trapped, "it trapped").into())
        } else if events.iter().any(|event| event.position == refused) {
            Err(ProjectError::Refused("I do not know this".to_owned()))
        } else {
            let number = |event: &SourceEvent| Value::Int64(i64::try_from(event.position).unwrap());
            Ok(events.iter().map(|event| Statement::new("insert", vec![number(event)])).collect())
        };
        Box::pin(async move { result })
    }
}

struct World {
    source: Arc<Numbers>,
    memory: Arc<Memory>,
    function: Arc<Function>,
    clock: Arc<ManualClock>,
    data: tempfile::TempDir,
}

impl World {
    fn new(events: u64) -> Self {
        let source = Arc::new(Numbers(watch::channel(events).0));
        let clock = Arc::new(ManualClock::at_ms(0));
        let data = tempfile::tempdir().unwrap();
        Self { source, memory: Arc::default(), function: Arc::default(), clock, data }
    }

    async fn serve(&self) -> Projections {
        let projections = Projections::open(self.data.path(), self.clock.clone()).unwrap();
        let parts = ProjectionParts {
            projection: projection(),
            source: self.source.clone(),
            models: self.memory.clone(),
            project: self.function.clone(),
        };
        projections.serve(vec![parts]).await.unwrap();
        projections
    }

    fn publish_up_to(&self, end: u64) {
        self.source.0.send_replace(end);
    }

    /// Waits until the live model has all numbers up to `end`, and checks that it has each once.
    async fn all_up_to(&self, end: i64) {
        self.memory.until(|memory| memory.of(Model::Live).1.last() == Some(&end)).await;
        assert_eq!(self.memory.of(Model::Live).1, (1..=end).collect::<Vec<_>>());
    }
}

fn projection() -> Projection {
    let rules = manifest::Projection {
        name: "numbers".into(),
        version: 1,
        source: ProjectionSource::Store(Located::new("c".into(), 1)),
        types: Vec::new(),
        tables: vec!["numbers".into()],
        start: Start::Earliest,
        batch: 4,
        line: 1,
    };
    Projection { component: "p".into(), context: "c".into(), rules }
}

const ID: &str = "p/numbers@1";

async fn state(projections: &Projections) -> State {
    projections.status().await.unwrap().remove(0).state
}

/// Waits until the projection fails, and answers why.
async fn failing(projections: &Projections) -> String {
    loop {
        if let State::Failing(error) = state(projections).await {
            return error;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn each_event_takes_effect_once_over_restarts_and_lost_answers() {
    let world = World::new(10);
    let projections = world.serve().await;
    world.all_up_to(10).await;
    projections.shutdown().await;
    world.publish_up_to(21);
    world.memory.unsure.store(2, Ordering::SeqCst);
    let projections = world.serve().await;
    // Whoever does not know whether a step landed waits, and finds the checkpoint moved.
    assert!(failing(&projections).await.contains("the answer was lost"));
    let passing = async {
        loop {
            world.clock.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = world.all_up_to(21) => {}
        () = passing => {}
    }
    projections.shutdown().await;
}

#[tokio::test]
async fn an_event_that_is_refused_stops_it_behind_all_before() {
    let world = World::new(0);
    world.function.refuses.store(7, Ordering::SeqCst);
    let projections = world.serve().await;
    world.publish_up_to(12);
    let error = failing(&projections).await;
    assert_eq!(error, "at event e7 (position 7, type odd): I do not know this");
    assert_eq!(world.memory.of(Model::Live).1, (1..=6).collect::<Vec<_>>());
    // Its code is mended.
    world.function.refuses.store(0, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(30));
    world.all_up_to(12).await;
    projections.shutdown().await;
}

#[tokio::test]
async fn a_statement_that_is_refused_is_traced_to_its_event() {
    let world = World::new(12);
    world.memory.refused.store(3, Ordering::SeqCst);
    let projections = world.serve().await;
    assert!(failing(&projections).await.starts_with("at event e3 (position 3, type odd)"));
    assert_eq!(world.memory.of(Model::Live).1, [1, 2]);
    projections.shutdown().await;
}

#[tokio::test]
async fn a_pause_lasts_over_a_restart() {
    let world = World::new(4);
    let projections = world.serve().await;
    world.all_up_to(4).await;
    projections.pause(ID).await.unwrap();
    projections.shutdown().await;
    world.publish_up_to(8);
    let projections = world.serve().await;
    assert_eq!(state(&projections).await, State::Paused);
    assert!(matches!(projections.pause("p/other@1").await, Err(ProjectionError::Unknown(_))));
    projections.resume(ID).await.unwrap();
    world.all_up_to(8).await;
    projections.shutdown().await;
}

#[tokio::test]
async fn a_rebuild_begins_at_an_event_there_is_and_can_be_given_up() {
    let world = World::new(9);
    let projections = world.serve().await;
    world.all_up_to(9).await;
    let refused = projections.rebuild(ID, 11).await;
    assert!(matches!(refused, Err(ProjectionError::BehindTheEnd { from: 11, head: 10 })), "{refused:?}");
    world.function.is_down.store(true, Ordering::SeqCst);
    projections.rebuild(ID, 0).await.unwrap();
    assert!(projections.status().await.unwrap().remove(0).rebuild.is_some());
    projections.abandon(ID).await.unwrap();
    assert_eq!(projections.status().await.unwrap().remove(0).rebuild, None);
    assert_eq!(world.memory.of(Model::Rebuild), (None, Vec::new()));
    // Where it stands is known before it takes a step.
    projections.pause(ID).await.unwrap();
    projections.shutdown().await;
    let projections = world.serve().await;
    assert_eq!(projections.status().await.unwrap().remove(0).position, 10);
    projections.shutdown().await;
}

#[tokio::test]
async fn a_rebuild_runs_beside_the_live_model_and_takes_its_place() {
    let world = World::new(9);
    let projections = world.serve().await;
    world.all_up_to(9).await;
    // What the live model has cannot be told from what a rebuild makes, so it is marked.
    world.memory.models.lock().unwrap().get_mut(&false).unwrap().1.push(-1);
    world.function.is_down.store(true, Ordering::SeqCst);
    projections.rebuild(ID, 0).await.unwrap();
    let rebuild = loop {
        let status = projections.status().await.unwrap().remove(0);
        if let Some(RebuildStatus { state: State::Failing(error), .. }) = status.rebuild {
            break error;
        }
        tokio::task::yield_now().await;
    };
    assert!(rebuild.contains("it trapped"));
    assert_eq!(world.memory.of(Model::Live).1.last(), Some(&-1), "the live model still serves");
    // Cut short by a restart, it goes on.
    projections.shutdown().await;
    world.function.is_down.store(false, Ordering::SeqCst);
    let projections = world.serve().await;
    world.memory.until(|memory| memory.of(Model::Live).1.last() == Some(&9)).await;
    world.publish_up_to(30);
    world.all_up_to(30).await;
    assert_eq!(world.memory.of(Model::Rebuild), (None, Vec::new()));
    projections.shutdown().await;
}
