//! `spin:key-value`: stores of any label, in the database.

use wit_bindgen::{FutureReader, StreamReader};

use crate::SpinStore;
use crate::bindings::exports::spin::key_value::key_value as wit;
use crate::bindings::{wit_future, wit_stream};
use crate::instance::{Instance, with_words};

impl wit::Guest for SpinStore {
    type Store = KeyValue;
}

/// An open store.
pub(crate) struct KeyValue {
    label: String,
}

impl KeyValue {
    fn with<T>(&self, work: impl FnOnce(&mut Instance, &str) -> Result<T, String>) -> Result<T, wit::Error> {
        with_words(|store| work(store, &self.label)).map_err(wit::Error::Other)
    }
}

impl wit::GuestStore for KeyValue {
    async fn open(label: String) -> Result<wit::Store, wit::Error> {
        Ok(wit::Store::new(Self { label }))
    }

    async fn get(&self, key: String) -> Result<Option<Vec<u8>>, wit::Error> {
        self.with(|store, label| store.kv_get(label, &key))
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), wit::Error> {
        self.with(|store, label| store.kv_set(label, &key, value))
    }

    async fn delete(&self, key: String) -> Result<(), wit::Error> {
        self.with(|store, label| store.kv_delete(label, &key))
    }

    async fn exists(&self, key: String) -> Result<bool, wit::Error> {
        self.with(|store, label| store.kv_exists(label, &key))
    }

    async fn get_keys(&self) -> (StreamReader<String>, FutureReader<Result<(), wit::Error>>) {
        let found = self.with(|store, label| store.kv_keys(label));
        let (mut keys, keys_reader) = wit_stream::new::<String>();
        let (end, end_reader) = wit_future::new::<Result<(), wit::Error>>(|| Ok(()));
        wit_bindgen::spawn_local(async move {
            let result = match found {
                Ok(found) => {
                    // Who reads no further has what it wanted.
                    keys.write_all(found).await;
                    Ok(())
                }
                Err(error) => Err(error),
            };
            drop(keys);
            let _ = end.write(result).await;
        });
        (keys_reader, end_reader)
    }
}
