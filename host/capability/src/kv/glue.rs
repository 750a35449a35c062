//! `spin:key-value@3.0.0` and `wasi:keyvalue@0.2.0-draft2` (store, atomics, batch; `watch` is left out) on a
//! [`Store`]. Which stores a component may open is decided here, at `open`.

mod v2;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Accessor, Destination, FutureReader, HasData, Linker, Resource, ResourceTable, StreamProducer, StreamReader,
    StreamResult, VecBuffer,
};

use super::{Entry, Error, MAX_BATCH, Store, Swap, Write};
use crate::gate::{Closed, Gate};

mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package weft:glue;
            world key-value {
                import spin:key-value/key-value@3.0.0;
                import wasi:keyvalue/store@0.2.0-draft2;
                import wasi:keyvalue/atomics@0.2.0-draft2;
                import wasi:keyvalue/batch@0.2.0-draft2;
            }
        ",
        path: ["../../wit/deps/spin-key-value@3.0.0", "../../wit/deps/wasi-keyvalue@0.2.0-draft2"],
        world: "weft:glue/key-value",
        imports: { "spin:key-value/key-value": trappable, default: async | trappable },
        with: {
            "spin:key-value/key-value.store": super::OpenStore,
            "wasi:keyvalue/store.bucket": super::OpenStore,
            "wasi:keyvalue/atomics.cas": super::Cas,
        },
        require_store_data_send: true,
    });
}

use bindings::spin::key_value::key_value as spin;
use bindings::wasi::keyvalue::{atomics, batch, store as wasi};

/// How many stores one instance may hold open.
const MAX_OPEN: u32 = 256;

/// The key-value part of one instance's state.
#[derive(Debug)]
pub struct KvState {
    store: Arc<dyn Store>,
    granted: Arc<[Arc<str>]>,
    gate: Gate,
    open: u32,
}

impl KvState {
    /// The state of an instance that may open the stores `granted`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, granted: Arc<[Arc<str>]>, gate: Gate) -> Self {
        Self { store, granted, gate, open: 0 }
    }
}

/// What the functions of these interfaces see of an instance.
#[derive(Debug)]
pub struct KvView<'a> {
    /// The key-value part.
    pub state: &'a mut KvState,
    /// The instance's resources.
    pub table: &'a mut ResourceTable,
}

/// A store that a component has opened.
#[derive(Clone, Debug)]
pub struct OpenStore {
    store: Arc<dyn Store>,
    label: Arc<str>,
    gate: Gate,
}

/// A compare-and-swap: the key and what it held.
#[derive(Debug)]
pub struct Cas {
    bucket: OpenStore,
    key: String,
    current: Option<Entry>,
}

struct Glue;

impl HasData for Glue {
    type Data<'a> = KvView<'a>;
}

/// Links all of them, `fermyon:spin/key-value@2.0.0` too.
///
/// # Errors
/// One of them is linked already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> KvView<'_>,
) -> wasmtime::Result<()> {
    spin::add_to_linker::<T, Glue>(linker, view)?;
    wasi::add_to_linker::<T, Glue>(linker, view)?;
    atomics::add_to_linker::<T, Glue>(linker, view)?;
    batch::add_to_linker::<T, Glue>(linker, view)?;
    v2::add_to_linker(linker, view)
}

/// Why a store is not opened.
enum Refused {
    NotGranted,
    TooMany,
}

impl KvView<'_> {
    fn open(&mut self, label: &str) -> wasmtime::Result<Result<Resource<OpenStore>, Refused>> {
        if !self.state.granted.iter().any(|granted| **granted == *label) {
            return Ok(Err(Refused::NotGranted));
        }
        if self.state.open >= MAX_OPEN {
            return Ok(Err(Refused::TooMany));
        }
        let (store, gate) = (Arc::clone(&self.state.store), self.state.gate.clone());
        let opened = self.table.push(OpenStore { store, label: label.into(), gate })?;
        self.state.open += 1;
        Ok(Ok(opened))
    }

    fn close(&mut self, store: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        self.state.open = self.state.open.saturating_sub(1);
        Ok(())
    }

    fn opened(&self, store: &Resource<OpenStore>) -> wasmtime::Result<OpenStore> {
        Ok(self.table.get(store)?.clone())
    }
}

/// An error of either interface; they differ in their types alone.
#[derive(Debug)]
struct Other(String);

impl From<Error> for Other {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

impl From<Closed> for Other {
    fn from(closed: Closed) -> Self {
        Self(closed.to_string())
    }
}

impl From<Other> for spin::Error {
    fn from(Other(text): Other) -> Self {
        Self::Other(text)
    }
}

impl From<Other> for wasi::Error {
    fn from(Other(text): Other) -> Self {
        Self::Other(text)
    }
}

/// The operations, with the gate before each.
impl OpenStore {
    async fn entry(&self, key: &str) -> Result<Option<Entry>, Other> {
        self.gate.check_read()?;
        Ok(self.store.get(&self.label, key).await?)
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Other> {
        Ok(self.entry(key).await?.map(|entry| entry.value.into()))
    }

    async fn write(&self, writes: Vec<Write>) -> Result<(), Other> {
        self.gate.check()?;
        let bytes = |write: &Write| if let Write::Set { value, .. } = write { value.len() } else { 0 };
        let _held = self.gate.hold(writes.iter().map(bytes).sum())?;
        Ok(self.store.write(&self.label, writes).await?)
    }

    async fn list(&self, after: Option<&str>) -> Result<Vec<String>, Other> {
        self.gate.check_read()?;
        Ok(self.store.list_keys(&self.label, "", after, MAX_BATCH).await?)
    }
}

fn set(key: String, value: Vec<u8>) -> Write {
    Write::Set { key, value: value.into(), ttl: None }
}

impl spin::Host for KvView<'_> {}

impl spin::HostStore for KvView<'_> {
    fn drop(&mut self, store: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.close(store)
    }
}

impl<T: Send + 'static> spin::HostStoreWithStore<T> for Glue {
    async fn open(
        accessor: &Accessor<T, Self>,
        label: String,
    ) -> wasmtime::Result<Result<Resource<OpenStore>, spin::Error>> {
        let opened = accessor.with(|mut access| access.get().open(&label))?;
        Ok(opened.map_err(|refused| match refused {
            Refused::NotGranted => spin::Error::AccessDenied,
            Refused::TooMany => spin::Error::StoreTableFull,
        }))
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        store: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, spin::Error>> {
        let store = accessor.with(|mut access| access.get().opened(&store))?;
        Ok(store.get(&key).await.map_err(Into::into))
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        store: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), spin::Error>> {
        let store = accessor.with(|mut access| access.get().opened(&store))?;
        Ok(store.write(vec![set(key, value)]).await.map_err(Into::into))
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        store: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<(), spin::Error>> {
        let store = accessor.with(|mut access| access.get().opened(&store))?;
        Ok(store.write(vec![Write::Delete { key }]).await.map_err(Into::into))
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        store: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<bool, spin::Error>> {
        let store = accessor.with(|mut access| access.get().opened(&store))?;
        Ok(store.entry(&key).await.map(|entry| entry.is_some()).map_err(Into::into))
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        store: Resource<OpenStore>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), spin::Error>>)> {
        accessor.with(|mut access| {
            let store = access.get().opened(&store)?;
            let (end, ended) = oneshot::channel();
            let keys = StreamReader::new(&mut access, Keys { store, after: None, page: None, end: Some(end) })?;
            // The producer always says how it ended; if the reader drops it, all was fine so far.
            let ended = async move { Ok::<_, wasmtime::Error>(ended.await.unwrap_or(Ok(()))) };
            Ok((keys, FutureReader::new(&mut access, ended)?))
        })
    }
}

/// All keys of a store, a page at a time, as fast as the guest takes them.
struct Keys {
    store: OpenStore,
    after: Option<String>,
    page: Option<BoxFuture<'static, Result<Vec<String>, Other>>>,
    end: Option<oneshot::Sender<Result<(), spin::Error>>>,
}

impl Keys {
    fn end(&mut self, result: Result<(), spin::Error>) -> Poll<wasmtime::Result<StreamResult>> {
        if let Some(end) = self.end.take() {
            // The guest may have dropped its future.
            let _ = end.send(result);
        }
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

impl<D> StreamProducer<D> for Keys {
    type Item = String;
    type Buffer = VecBuffer<String>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, String, VecBuffer<String>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let keys = &mut *self;
        let (open, after) = (&keys.store, &keys.after);
        let page = keys.page.get_or_insert_with(|| {
            let (open, after) = (open.clone(), after.clone());
            Box::pin(async move { open.list(after.as_deref()).await })
        });
        let result = match page.as_mut().poll(context) {
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            poll => ready!(poll),
        };
        keys.page = None;
        match result {
            Err(error) => keys.end(Err(error.into())),
            Ok(page) => match page.last() {
                None => keys.end(Ok(())),
                Some(last) => {
                    keys.after = Some(last.clone());
                    destination.set_buffer(page.into());
                    Poll::Ready(Ok(StreamResult::Completed))
                }
            },
        }
    }
}

impl wasi::Host for KvView<'_> {
    async fn open(&mut self, identifier: String) -> wasmtime::Result<Result<Resource<OpenStore>, wasi::Error>> {
        Ok(self.open(&identifier)?.map_err(|refused| match refused {
            Refused::NotGranted => wasi::Error::AccessDenied,
            Refused::TooMany => wasi::Error::Other(format!("{MAX_OPEN} buckets are open; drop one first")),
        }))
    }
}

impl wasi::HostBucket for KvView<'_> {
    async fn get(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, wasi::Error>> {
        Ok(self.opened(&bucket)?.get(&key).await.map_err(Into::into))
    }

    async fn set(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), wasi::Error>> {
        Ok(self.opened(&bucket)?.write(vec![set(key, value)]).await.map_err(Into::into))
    }

    async fn delete(&mut self, bucket: Resource<OpenStore>, key: String) -> wasmtime::Result<Result<(), wasi::Error>> {
        Ok(self.opened(&bucket)?.write(vec![Write::Delete { key }]).await.map_err(Into::into))
    }

    async fn exists(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<bool, wasi::Error>> {
        let entry = self.opened(&bucket)?.entry(&key).await;
        Ok(entry.map(|entry| entry.is_some()).map_err(Into::into))
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<OpenStore>,
        cursor: Option<String>,
    ) -> wasmtime::Result<Result<wasi::KeyResponse, wasi::Error>> {
        let page = self.opened(&bucket)?.list(cursor.as_deref()).await;
        Ok(page.map_err(Into::into).map(|keys| {
            let cursor = keys.last().filter(|_| keys.len() == MAX_BATCH).cloned();
            wasi::KeyResponse { keys, cursor }
        }))
    }

    async fn drop(&mut self, bucket: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.close(bucket)
    }
}

impl atomics::Host for KvView<'_> {
    async fn increment(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
        delta: i64,
    ) -> wasmtime::Result<Result<i64, wasi::Error>> {
        let bucket = self.opened(&bucket)?;
        if let Err(closed) = bucket.gate.check() {
            return Ok(Err(Other::from(closed).into()));
        }
        let sum = bucket.store.increment(&bucket.label, &key, delta).await;
        Ok(sum.map_err(|error| Other::from(error).into()))
    }

    async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> wasmtime::Result<Result<(), atomics::CasError>> {
        let Cas { bucket, key, current } = self.table.delete(cas)?;
        let failed = |other: Other| Ok(Err(atomics::CasError::StoreError(other.into())));
        if let Err(closed) = bucket.gate.check() {
            return failed(closed.into());
        }
        let version = current.map(|entry| entry.version);
        let swap = bucket.store.compare_and_set(&bucket.label, &key, version, Bytes::from(value), None).await;
        match swap {
            Ok(Swap::Swapped) => Ok(Ok(())),
            Ok(Swap::Conflict(current)) => {
                let cas = self.table.push(Cas { bucket, key, current })?;
                Ok(Err(atomics::CasError::CasFailed(cas)))
            }
            Err(error) => failed(error.into()),
        }
    }
}

impl atomics::HostCas for KvView<'_> {
    async fn new(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<Resource<Cas>, wasi::Error>> {
        let bucket = self.opened(&bucket)?;
        match bucket.entry(&key).await {
            Ok(current) => Ok(Ok(self.table.push(Cas { bucket, key, current })?)),
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn current(&mut self, cas: Resource<Cas>) -> wasmtime::Result<Result<Option<Vec<u8>>, wasi::Error>> {
        let current = self.table.get(&cas)?.current.as_ref();
        Ok(Ok(current.map(|entry| entry.value.to_vec())))
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}

impl batch::Host for KvView<'_> {
    async fn get_many(
        &mut self,
        bucket: Resource<OpenStore>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<(String, Option<Vec<u8>>)>, wasi::Error>> {
        let bucket = self.opened(&bucket)?;
        if let Err(closed) = bucket.gate.check_read() {
            return Ok(Err(Other::from(closed).into()));
        }
        let entries = bucket.store.get_many(&bucket.label, keys.clone()).await;
        Ok(entries.map_err(|error| Other::from(error).into()).map(|entries| {
            keys.into_iter().zip(entries).map(|(key, entry)| (key, entry.map(|entry| entry.value.into()))).collect()
        }))
    }

    async fn set_many(
        &mut self,
        bucket: Resource<OpenStore>,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<(), wasi::Error>> {
        let writes = pairs.into_iter().map(|(key, value)| set(key, value)).collect();
        Ok(self.opened(&bucket)?.write(writes).await.map_err(Into::into))
    }

    async fn delete_many(
        &mut self,
        bucket: Resource<OpenStore>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<(), wasi::Error>> {
        let writes = keys.into_iter().map(|key| Write::Delete { key }).collect();
        Ok(self.opened(&bucket)?.write(writes).await.map_err(Into::into))
    }
}

#[cfg(test)]
#[path = "glue_tests.rs"]
mod tests;
