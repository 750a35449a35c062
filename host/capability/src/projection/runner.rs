//! Runs projections: one task follows each, another rebuilds it when asked. Holds what they are told (pause, resume,
//! rebuild) and shows how they stand. A step is the follower's.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use weft_core::manifest::Start;
use weft_core::{Clock, Failure};

use super::follower::{Follower, ProjectionParts, StepError, Stepped};
use super::pauses::Pauses;
use super::{Model, ProjectionStatus, ReadModelError, RebuildStatus, State};

/// The pause after the first failure in a row, doubled for each further one.
const AGAIN_MS: u64 = 500;
/// The longest pause.
const AGAIN_CAP_MS: u64 = 30_000;

/// Why a projection was not told.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// There is none of this name. Client fault.
    #[error("there is no projection {0:?}")]
    Unknown(String),
    /// A rebuild cannot begin there. Client fault.
    #[error("the source has {head} as its next position; a rebuild cannot begin at {from}")]
    BehindTheEnd {
        /// Where it was to begin.
        from: u64,
        /// Where the source's next event will stand.
        head: u64,
    },
    /// The note of it could not be kept.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The read model refuses.
    #[error(transparent)]
    Model(#[from] ReadModelError),
}

/// The projections of one application. Cheap to clone.
#[derive(Clone)]
pub struct Projections {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    pauses: Pauses,
    served: Mutex<BTreeMap<String, Arc<Served>>>,
    /// Held while the set changes or a rebuild begins.
    changing: tokio::sync::Mutex<()>,
}

/// One projection with where it reads and writes.
struct Served {
    parts: ProjectionParts,
    orders: watch::Sender<Orders>,
    /// Held during a step of the live model, and while a rebuild takes its place.
    turn: tokio::sync::Mutex<()>,
    live: Shown,
    rebuild: Mutex<Option<Arc<Shown>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What the tasks of a projection are told.
#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    paused: bool,
    stop: bool,
    /// Counts rebuilds: one that is not the last has been given up.
    rebuild: u64,
}

#[derive(Default)]
struct Shown(Mutex<Standing>);

#[derive(Clone, Debug, Default)]
struct Standing {
    failing: Option<String>,
    position: u64,
    applied: u64,
    applied_time_ms: u64,
}

impl Shown {
    fn get(&self) -> Standing {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Projections {
    /// Keeps what projections were told in `<data>/projections.db`. None runs before [`Projections::serve`].
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(data: &Path, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let pauses = Pauses::open(&data.join("projections.db"))?;
        let inner = Inner { clock, pauses, served: Mutex::default(), changing: tokio::sync::Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    fn served(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Served>>> {
        self.inner.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: &str) -> Result<Arc<Served>, ProjectionError> {
        self.served().get(id).cloned().ok_or_else(|| ProjectionError::Unknown(id.to_owned()))
    }

    /// Makes these the projections that run, each from its checkpoint on, and rebuilds that were cut short with them.
    ///
    /// # Errors
    /// If it cannot be known which are paused.
    pub async fn serve(&self, projections: Vec<ProjectionParts>) -> Result<(), Failure> {
        let _changing = self.inner.changing.lock().await;
        let paused = self.inner.pauses.all().await?;
        self.stop_all().await;
        for parts in projections {
            let id = parts.projection.id();
            let (orders, _) = watch::channel(Orders { paused: paused.contains(&id), ..Orders::default() });
            let served = Arc::new(Served {
                parts,
                orders,
                turn: tokio::sync::Mutex::default(),
                live: Shown::default(),
                rebuild: Mutex::default(),
                tasks: Mutex::default(),
            });
            let checkpoint = served.parts.models.checkpoint(served.parts.projection.reader(), Model::Live).await;
            match checkpoint {
                Ok(position) => served.live.change(|standing| standing.position = position.unwrap_or_default()),
                Err(error) => tracing::error!(projection = id, %error, "cannot tell where a projection stands"),
            }
            served.spawn(follow(Arc::clone(&served), Arc::clone(&self.inner.clock)));
            let rebuilt = served.parts.models.checkpoint(served.parts.projection.reader(), Model::Rebuild).await;
            match rebuilt {
                Ok(Some(_)) => served.start_rebuild(&self.inner.clock),
                Ok(None) => {}
                Err(error) => tracing::error!(projection = id, %error, "cannot tell whether a rebuild was cut short"),
            }
            self.served().insert(id, served);
        }
        Ok(())
    }

    /// How all projections stand, by id.
    ///
    /// # Errors
    /// If a source cannot be asked.
    pub async fn status(&self) -> Result<Vec<ProjectionStatus>, Failure> {
        let served: Vec<Arc<Served>> = self.served().values().cloned().collect();
        let mut all = Vec::with_capacity(served.len());
        for one in served {
            all.push(one.status().await?);
        }
        Ok(all)
    }

    /// Applies nothing further until [`Projections::resume`], over restarts too.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub async fn pause(&self, id: &str) -> Result<(), ProjectionError> {
        self.set_paused(id, true).await
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub async fn resume(&self, id: &str) -> Result<(), ProjectionError> {
        self.set_paused(id, false).await
    }

    async fn set_paused(&self, id: &str, paused: bool) -> Result<(), ProjectionError> {
        let _changing = self.inner.changing.lock().await;
        let served = self.find(id)?;
        self.inner.pauses.set(id.to_owned(), paused).await?;
        served.orders.send_modify(|orders| orders.paused = paused);
        Ok(())
    }

    /// Makes the read model anew from the events at `from` (0: the oldest) on, while the present one goes on serving,
    /// and switches over when it has caught up. One that runs is given up. Durable when it answers.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub async fn rebuild(&self, id: &str, from: u64) -> Result<(), ProjectionError> {
        let _changing = self.inner.changing.lock().await;
        let served = self.find(id)?;
        let head = served.parts.source.head().await?;
        if from > head {
            return Err(ProjectionError::BehindTheEnd { from, head });
        }
        served.orders.send_modify(|orders| orders.rebuild += 1);
        served.parts.models.begin_rebuild(served.parts.projection.reader(), from).await?;
        served.start_rebuild(&self.inner.clock);
        Ok(())
    }

    /// Gives up the rebuild that runs, if there is one, with all that it has made.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub async fn abandon(&self, id: &str) -> Result<(), ProjectionError> {
        let _changing = self.inner.changing.lock().await;
        let served = self.find(id)?;
        served.orders.send_modify(|orders| orders.rebuild += 1);
        served.parts.models.abandon_rebuild(served.parts.projection.reader()).await?;
        served.show_rebuild(None);
        Ok(())
    }

    /// Ends after the steps that run.
    pub async fn shutdown(&self) {
        let _changing = self.inner.changing.lock().await;
        self.stop_all().await;
    }

    async fn stop_all(&self) {
        let served = std::mem::take(&mut *self.served());
        for one in served.values() {
            one.orders.send_modify(|orders| orders.stop = true);
        }
        for one in served.values() {
            let tasks = std::mem::take(&mut *one.tasks.lock().unwrap_or_else(PoisonError::into_inner));
            for ended in futures::future::join_all(tasks).await {
                if let Err(error) = ended {
                    tracing::error!(projection = one.parts.projection.id(), %error, "a projection's task was lost");
                }
            }
        }
    }
}

impl Served {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.push(tokio::spawn(task));
    }

    fn start_rebuild(self: &Arc<Self>, clock: &Arc<dyn Clock>) {
        let shown = Arc::new(Shown::default());
        self.show_rebuild(Some(Arc::clone(&shown)));
        let number = self.orders.borrow().rebuild;
        self.spawn(rebuild(Arc::clone(self), shown, number, Arc::clone(clock)));
    }

    fn show_rebuild(&self, shown: Option<Arc<Shown>>) {
        *self.rebuild.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    async fn status(&self) -> Result<ProjectionStatus, Failure> {
        let paused = self.orders.borrow().paused;
        let state = |standing: &Standing| match &standing.failing {
            _ if paused => State::Paused,
            Some(error) => State::Failing(error.clone()),
            None => State::Running,
        };
        let standing = self.live.get();
        let rebuild = self.rebuild.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(ProjectionStatus {
            projection: self.parts.projection.clone(),
            state: state(&standing),
            position: standing.position,
            head: self.parts.source.head().await?,
            applied_time_ms: standing.applied_time_ms,
            applied: standing.applied,
            rebuild: rebuild.map(|shown| {
                let standing = shown.get();
                RebuildStatus { state: state(&standing), position: standing.position, applied: standing.applied }
            }),
        })
    }

    /// Waits while it is paused. Answers false when the task is to end.
    async fn may_go_on(&self, number: Option<u64>) -> bool {
        let mut orders = self.orders.subscribe();
        let settled = orders.wait_for(|orders| is_over(orders, number) || !orders.paused).await;
        settled.is_ok_and(|orders| !is_over(&orders, number))
    }

    /// Waits for `something`, or until there is something else to do.
    async fn wait(&self, something: BoxFuture<'static, ()>, number: Option<u64>) {
        let mut orders = self.orders.subscribe();
        tokio::select! {
            () = something => {}
            _ = orders.wait_for(|orders| is_over(orders, number) || orders.paused) => {}
        }
    }
}

fn is_over(orders: &Orders, number: Option<u64>) -> bool {
    orders.stop || number.is_some_and(|number| number != orders.rebuild)
}

/// Failures in a row.
#[derive(Default)]
struct Failures(u32);

impl Failures {
    /// How long to wait after one more.
    fn again(&mut self) -> Duration {
        let pause_ms = AGAIN_MS.saturating_mul(1_u64.checked_shl(self.0).unwrap_or(u64::MAX)).min(AGAIN_CAP_MS);
        self.0 = self.0.saturating_add(1);
        Duration::from_millis(pause_ms)
    }
}

/// Keeps the live model up to the source.
async fn follow(served: Arc<Served>, clock: Arc<dyn Clock>) {
    let mut failures = Failures::default();
    let mut follower: Option<Follower> = None;
    while served.may_go_on(None).await {
        let turn = served.turn.lock().await;
        let stepped = match &mut follower {
            Some(follower) => follower.step().await,
            None => match begin(&served.parts).await {
                Ok(begun) => {
                    served.live.change(|standing| standing.position = begun.position());
                    follower = Some(begun);
                    continue;
                }
                Err(error) => Err(error),
            },
        };
        drop(turn);
        let position = follower.as_ref().map_or(0, Follower::position);
        if matches!(stepped, Err(StepError::Model(ReadModelError::Moved { .. }))) {
            // A rebuild has taken its place.
            follower = None;
        }
        go_on(&served, &served.live, position, stepped, &mut failures, None, &clock).await;
    }
    if let Some(mut follower) = follower
        && let Err(error) = follower.settle().await
    {
        // Events for others are looked at again after the next start.
        tracing::debug!(projection = served.parts.projection.id(), %error, "its position was not kept");
    }
}

/// Shows what came of a step, and waits if there is a reason to.
async fn go_on(
    served: &Served,
    shown: &Shown,
    position: u64,
    stepped: Result<Stepped, StepError>,
    failures: &mut Failures,
    number: Option<u64>,
    clock: &Arc<dyn Clock>,
) {
    match stepped {
        Ok(Stepped::Fewer) | Err(StepError::Model(ReadModelError::Moved { .. })) => {}
        Ok(Stepped::Applied { events, time_ms }) => {
            *failures = Failures::default();
            shown.change(|standing| {
                standing.failing = None;
                standing.position = position;
                standing.applied += events;
                standing.applied_time_ms = time_ms;
            });
        }
        Ok(Stepped::Idle) => {
            *failures = Failures::default();
            shown.change(|standing| {
                standing.failing = None;
                standing.position = position;
            });
            served.wait(served.parts.source.more_at(position), number).await;
        }
        Err(error) => {
            let (projection, error) = (served.parts.projection.id(), error.to_string());
            tracing::error!(projection, error, "a projection goes no further");
            shown.change(|standing| standing.failing = Some(error));
            served.wait(clock.sleep(failures.again()), number).await;
        }
    }
}

/// The follower of the live model, where it stood or where a new projection begins.
async fn begin(parts: &ProjectionParts) -> Result<Follower, StepError> {
    let begin = match parts.projection.rules.start {
        Start::Earliest => 0,
        Start::Latest => parts.source.head().await.map_err(StepError::Source)?,
    };
    let mut follower = Follower::resume(parts.clone(), Model::Live, begin).await.map_err(StepError::Model)?;
    if follower.checkpoint().is_none() {
        follower.settle().await.map_err(StepError::Model)?;
    }
    Ok(follower)
}

/// Makes the model anew beside the live one, and takes its place.
async fn rebuild(served: Arc<Served>, shown: Arc<Shown>, number: u64, clock: Arc<dyn Clock>) {
    let projection = served.parts.projection.id();
    let mut failures = Failures::default();
    let mut follower: Option<Follower> = None;
    while served.may_go_on(Some(number)).await {
        let stepped = match &mut follower {
            Some(follower) => follower.step().await,
            None => match Follower::resume(served.parts.clone(), Model::Rebuild, 0).await {
                // It has been switched to, or given up, and only the answer was lost.
                Ok(resumed) if resumed.checkpoint().is_none() => return served.show_rebuild(None),
                Ok(resumed) => {
                    shown.change(|standing| standing.position = resumed.position());
                    follower = Some(resumed);
                    continue;
                }
                Err(error) => Err(StepError::Model(error)),
            },
        };
        let position = follower.as_ref().map_or(0, Follower::position);
        let stepped = match (stepped, &mut follower) {
            (Ok(Stepped::Idle), Some(follower)) => match switch(&served, follower).await {
                Ok(true) => {
                    tracing::info!(projection, "the rebuilt model serves now");
                    served.show_rebuild(None);
                    return;
                }
                // The live one went ahead meanwhile: there are events.
                Ok(false) => Ok(Stepped::Fewer),
                Err(error) => Err(StepError::Model(error)),
            },
            (stepped, _) => stepped,
        };
        if matches!(stepped, Err(StepError::Model(ReadModelError::Moved { .. }))) {
            follower = None;
        }
        go_on(&served, &shown, position, stepped, &mut failures, Some(number), &clock).await;
    }
}

/// Puts the rebuilt model in the place of the live one, unless that one is ahead.
async fn switch(served: &Served, follower: &mut Follower) -> Result<bool, ReadModelError> {
    follower.settle().await?;
    let _turn = served.turn.lock().await;
    let reader = served.parts.projection.reader();
    let live = served.parts.models.checkpoint(reader.clone(), Model::Live).await?;
    if live > Some(follower.position()) {
        return Ok(false);
    }
    served.parts.models.finish_rebuild(reader, follower.position()).await?;
    Ok(true)
}
