//! The host functions as a component meets them, called in a store without one.

use std::sync::Mutex;

use wasmtime::component::{FutureConsumer, Source, StreamConsumer};
use wasmtime::{Config, Engine, Store as WasmStore};

use weft_core::clock::ManualClock;

use super::spin::HostStoreWithStore;
use super::*;
use crate::kv::embedded::Embedded;

struct Data {
    kv: KvState,
    table: ResourceTable,
    _dir: tempfile::TempDir,
}

impl Data {
    fn view(&mut self) -> KvView<'_> {
        KvView { state: &mut self.kv, table: &mut self.table }
    }
}

fn store(durable: bool) -> WasmStore<Data> {
    let dir = tempfile::tempdir().unwrap();
    let kv = Embedded::open(&dir.path().join("kv.db"), Arc::new(ManualClock::at_ms(1))).unwrap();
    let kv = KvState::new(Arc::new(kv), [Arc::from("default")].into(), Gate::new(durable));
    let engine = Engine::new(Config::new().wasm_component_model_async(true)).unwrap();
    WasmStore::new(&engine, Data { kv, table: ResourceTable::new(), _dir: dir })
}

/// Takes what a stream brings, a few at a time.
struct Collect(Arc<Mutex<Vec<String>>>);

impl StreamConsumer<Data> for Collect {
    type Item = String;

    fn poll_consume(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'_, Data>,
        mut source: Source<'_, String>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut some = Vec::with_capacity(7);
        source.read(&mut store, &mut some)?;
        self.0.lock().unwrap().extend(some);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

type End = Result<(), spin::Error>;

/// Hands on what a future brings.
struct Tell(Option<oneshot::Sender<End>>);

impl FutureConsumer<Data> for Tell {
    type Item = End;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'_, Data>,
        mut source: Source<'_, End>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut value = None;
        source.read(&mut store, &mut value)?;
        let told = self.0.take().zip(value).map(|(tell, value)| tell.send(value));
        assert!(told.is_some_and(|told| told.is_ok()));
        Poll::Ready(Ok(()))
    }
}

async fn keys(accessor: &Accessor<Data, Glue>, opened: Resource<OpenStore>) -> (Vec<String>, End) {
    let (stream, future) = Glue::get_keys(accessor, opened).await.unwrap();
    let collected = Arc::new(Mutex::new(Vec::new()));
    let (tell, told) = oneshot::channel();
    accessor.with(|mut access| {
        stream.pipe(&mut access, Collect(Arc::clone(&collected))).unwrap();
        future.pipe(&mut access, Tell(Some(tell))).unwrap();
    });
    let end = told.await.unwrap();
    (collected.lock().unwrap().clone(), end)
}

#[tokio::test]
async fn all_keys_are_streamed_whatever_their_number() {
    let mut store = store(false);
    let run = store.run_concurrent(async |accessor| {
        let accessor = &accessor.with_getter::<Glue>(Data::view);
        let open = async || Glue::open(accessor, "default".to_owned()).await.unwrap().unwrap();
        assert!(matches!(keys(accessor, open().await).await, (keys, Ok(())) if keys.is_empty()));
        let expected: Vec<String> = (0..2_500).map(|n| format!("{n:04}")).collect();
        let kv = accessor.with(|mut access| Arc::clone(&access.get().state.store));
        for page in expected.chunks(MAX_BATCH) {
            kv.write("default", page.iter().map(|key| set(key.clone(), Vec::new())).collect()).await.unwrap();
        }
        let (listed, end) = keys(accessor, open().await).await;
        assert_eq!(listed, expected);
        assert!(end.is_ok());
    });
    run.await.unwrap();
}

#[tokio::test]
async fn what_is_not_granted_or_outside_a_step_is_refused() {
    let mut store = store(true);
    let run = store.run_concurrent(async |accessor| {
        let accessor = &accessor.with_getter::<Glue>(Data::view);
        let refused = Glue::open(accessor, "other".to_owned()).await.unwrap();
        assert!(matches!(refused, Err(spin::Error::AccessDenied)));
        let open = async || Glue::open(accessor, "default".to_owned()).await.unwrap().unwrap();
        let got = Glue::get(accessor, open().await, "k".to_owned()).await.unwrap();
        assert!(matches!(got, Err(spin::Error::Other(text)) if text.contains("outside-step")));
        let (listed, end) = keys(accessor, open().await).await;
        assert!(listed.is_empty());
        assert!(matches!(end, Err(spin::Error::Other(text)) if text.contains("outside-step")));
    });
    run.await.unwrap();
}

#[tokio::test]
async fn a_swap_that_lost_gives_a_fresh_handle() {
    use atomics::HostCas as _;

    let mut store = store(false);
    let view = &mut store.data_mut().view();
    let bucket = wasi::Host::open(view, "default".to_owned()).await.unwrap().unwrap();
    let again = || Resource::new_borrow(bucket.rep());
    let cas = atomics::HostCas::new(view, again(), "k".to_owned()).await.unwrap().unwrap();
    wasi::HostBucket::set(view, again(), "k".to_owned(), b"other".to_vec()).await.unwrap().unwrap();
    let lost = atomics::Host::swap(view, cas, b"mine".to_vec()).await.unwrap();
    let Err(atomics::CasError::CasFailed(fresh)) = lost else { panic!("{lost:?}") };
    let shown = view.current(Resource::new_borrow(fresh.rep())).await.unwrap().unwrap();
    assert_eq!(shown.as_deref(), Some(&b"other"[..]));
    atomics::Host::swap(view, fresh, b"mine".to_vec()).await.unwrap().unwrap();
    let value = wasi::HostBucket::get(view, again(), "k".to_owned()).await.unwrap().unwrap();
    assert_eq!(value.as_deref(), Some(&b"mine"[..]));
    assert_eq!(atomics::Host::increment(view, again(), "n".to_owned(), 3).await.unwrap().unwrap(), 3);
}

#[tokio::test]
async fn open_stores_are_bounded() {
    let mut store = store(false);
    let view = &mut store.data_mut().view();
    let mut opened = Vec::new();
    for _ in 0..MAX_OPEN {
        opened.push(wasi::Host::open(view, "default".to_owned()).await.unwrap().unwrap());
    }
    assert!(wasi::Host::open(view, "default".to_owned()).await.unwrap().is_err());
    wasi::HostBucket::drop(view, opened.pop().unwrap()).await.unwrap();
    assert!(wasi::Host::open(view, "default".to_owned()).await.unwrap().is_ok());
}
