//! The way back from a callee to its caller: an HTTP request to the component that called.

use weft_guest::bindings::wasi::http::client;
use weft_guest::bindings::wasi::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use weft_guest::bindings::{wit_future, wit_stream};

/// Has the component behind `authority` call this callee once more, which asks it once more; answers what it said, without what
/// JSON adds to a text in a text.
pub async fn ask(authority: &str) -> Result<String, ErrorCode> {
    let script = format!(r#"{{"call":{{"key":"{authority}","what":"ask"}}}}"#);
    let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
    let (mut writer, reader) = wit_stream::new::<u8>();
    let (request, _sent) = Request::new(Fields::new(), Some(reader), trailers_reader, None);
    weft_guest::wit_bindgen::spawn_local(async move {
        // Whoever does not read all of it answers all the same.
        writer.write_all(script.into_bytes()).await;
        drop(writer);
        drop(trailers);
    });
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_method(&Method::Post).map_err(|()| ErrorCode::HttpRequestMethodInvalid)?;
    request.set_scheme(Some(&Scheme::Http)).map_err(invalid)?;
    request.set_authority(Some(authority)).map_err(invalid)?;
    request.set_path_with_query(Some("/probe")).map_err(invalid)?;
    let response = client::send(request).await?;
    let (done, done_reader) = wit_future::new(|| Ok(()));
    let (mut body, _trailers) = Response::consume_body(response, done_reader);
    let (_, text) = body.read(Vec::with_capacity(16 * 1024)).await;
    drop(done);
    Ok(String::from_utf8_lossy(&text).replace(['"', '\\'], ""))
}
