//! A subscription that does nothing, for one event a call and for several: the benchmark of consuming inside a function. The events with the subjects `first`
//! and `last` are told to the bench, at the address in `bench_address`.

use weft_guest::bindings::wasi::http::client;
use weft_guest::bindings::wasi::http::types::{Fields, Request, Scheme};
use weft_guest::bindings::wit_future;
use weft_guest::futures::future::join_all;
use weft_guest::messaging::{Delivery, Refusal};
use weft_guest::variables;

async fn handle(delivery: Delivery) -> Result<(), Refusal> {
    match delivery.event.subject.as_deref() {
        Some(subject @ ("first" | "last")) => tell(&format!("/{subject}")).await.map_err(Refusal::Retry),
        _ => Ok(()),
    }
}

async fn handle_batch(deliveries: Vec<Delivery>) -> Vec<Result<(), Refusal>> {
    join_all(deliveries.into_iter().map(handle)).await
}

async fn tell(path: &str) -> Result<(), String> {
    let bench = variables::get("bench_address").await.map_err(|error| format!("{error:?}"))?;
    let (_trailers, trailers_reader) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers_reader, None);
    let set = request
        .set_scheme(Some(&Scheme::Http))
        .and_then(|()| request.set_authority(Some(&bench)))
        .and_then(|()| request.set_path_with_query(Some(path)));
    set.map_err(|()| "a part of the URL is refused".to_string())?;
    let response = client::send(request).await.map_err(|error| format!("{error:?}"))?;
    match response.get_status_code() {
        204 => Ok(()),
        status => Err(format!("the bench answered {status}")),
    }
}

weft_guest::subscription!(handle);
weft_guest::batch_subscription!(handle_batch);
