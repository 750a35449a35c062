//! `example:vault/vault`: keeps texts by key-value. It stands in no manifest for itself: others depend on it, and whether
//! it reaches a store is up to what they let it inherit.

use spin_sdk::key_value::Store;

mod bindings {
    #![allow(missing_docs, clippy::all, clippy::restriction)]
    use spin_sdk::wit_bindgen;

    wit_bindgen::generate!({
        inline: "package example:provide-vault@1.0.0; world provide-vault { export example:vault/vault@1.0.0; }",
        path: "../../../wit/example-vault",
        runtime_path: "spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

struct Component;

impl bindings::exports::example::vault::vault::Guest for Component {
    async fn keep(name: String, text: String) -> Result<u32, String> {
        let store = Store::open_default().await.map_err(|error| error.to_string())?;
        let count = format!("{name}/count");
        let before = store.get(&count).await.map_err(|error| error.to_string())?;
        let before = before.and_then(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?))).unwrap_or_default();
        let now = before.saturating_add(1);
        store.set(&name, text.as_bytes()).await.map_err(|error| error.to_string())?;
        store.set(&count, &now.to_le_bytes()[..]).await.map_err(|error| error.to_string())?;
        Ok(now)
    }
}

bindings::export!(Component with_types_in bindings);
