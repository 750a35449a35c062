//! `fermyon:spin/key-value@2.0.0`, which components of Spin's SDKs before version 6 import, on the same stores.

use wasmtime::component::{Linker, Resource};

use super::super::{MAX_BATCH, Write};
use super::{Glue, KvView, OpenStore, Other, Refused, set};

mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package weft:glue;
            world key-value {
                import fermyon:spin/key-value@2.0.0;
            }
        ",
        path: ["../../wit/deps/fermyon-spin@2.0.0"],
        world: "weft:glue/key-value",
        imports: { default: async | trappable },
        with: { "fermyon:spin/key-value.store": crate::kv::glue::OpenStore },
        require_store_data_send: true,
    });
}

use bindings::fermyon::spin::key_value as spin;

/// The most keys that one `get-keys` answers: it has no pages, and the host's memory is everybody's.
const MAX_KEYS: usize = 100_000;

/// Links the interface.
///
/// # Errors
/// It is linked already.
pub(super) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> KvView<'_>,
) -> wasmtime::Result<()> {
    spin::add_to_linker::<T, Glue>(linker, view)
}

impl From<Other> for spin::Error {
    fn from(Other(text): Other) -> Self {
        Self::Other(text)
    }
}

type Answer<T> = wasmtime::Result<Result<T, spin::Error>>;

impl spin::Host for KvView<'_> {}

impl spin::HostStore for KvView<'_> {
    async fn open(&mut self, label: String) -> Answer<Resource<OpenStore>> {
        let opened = KvView::open(self, &label)?;
        Ok(opened.map_err(|refused| match refused {
            Refused::NotGranted => spin::Error::AccessDenied,
            Refused::TooMany => spin::Error::StoreTableFull,
        }))
    }

    async fn get(&mut self, store: Resource<OpenStore>, key: String) -> Answer<Option<Vec<u8>>> {
        Ok(self.opened(&store)?.get(&key).await.map_err(Into::into))
    }

    async fn set(&mut self, store: Resource<OpenStore>, key: String, value: Vec<u8>) -> Answer<()> {
        Ok(self.opened(&store)?.write(vec![set(key, value)]).await.map_err(Into::into))
    }

    async fn delete(&mut self, store: Resource<OpenStore>, key: String) -> Answer<()> {
        Ok(self.opened(&store)?.write(vec![Write::Delete { key }]).await.map_err(Into::into))
    }

    async fn exists(&mut self, store: Resource<OpenStore>, key: String) -> Answer<bool> {
        let entry = self.opened(&store)?.entry(&key).await;
        Ok(entry.map(|entry| entry.is_some()).map_err(Into::into))
    }

    async fn get_keys(&mut self, store: Resource<OpenStore>) -> Answer<Vec<String>> {
        let store = self.opened(&store)?;
        let mut keys: Vec<String> = Vec::new();
        loop {
            let page = match store.list(keys.last().map(String::as_str)).await {
                Ok(page) => page,
                Err(error) => return Ok(Err(error.into())),
            };
            let is_last = page.len() < MAX_BATCH;
            keys.extend(page);
            if is_last {
                return Ok(Ok(keys));
            }
            if keys.len() >= MAX_KEYS {
                let text = format!("more than {MAX_KEYS} keys: `spin:key-value@3.0.0` and `wasi:keyvalue` have pages");
                return Ok(Err(spin::Error::Other(text)));
            }
        }
    }

    async fn drop(&mut self, store: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.close(store)
    }
}
