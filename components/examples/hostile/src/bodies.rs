//! Answers that are not what their heads say, or have no end.

use weft_guest::bindings::wasi::http::types::{ErrorCode, Fields, Response};
use weft_guest::bindings::{wit_future, wit_stream};

use crate::CHUNK;

/// An answer that begins well, and ends in a trap after so many chunks.
pub fn streamed(chunks: u64) -> Result<Response, ErrorCode> {
    let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
    let (mut writer, reader) = wit_stream::new::<u8>();
    weft_guest::wit_bindgen::spawn_local(async move {
        for _ in 0..chunks {
            if !writer.write_all(vec![b'.'; CHUNK]).await.is_empty() {
                // What cannot be written comes back: nobody reads any more.
                drop(trailers);
                return;
            }
        }
        std::process::abort();
    });
    let (response, _sent) = Response::new(Fields::new(), Some(reader), trailers_reader);
    Ok(response)
}

/// An answer that says how long it is, and is as long as it likes.
pub fn declared(says: usize, has: usize) -> Result<Response, ErrorCode> {
    let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
    let (mut writer, reader) = wit_stream::new::<u8>();
    weft_guest::wit_bindgen::spawn_local(async move {
        writer.write_all(vec![b'.'; has]).await;
        drop(writer);
        drop(trailers);
    });
    let headers = Fields::from_list(&[("content-length".to_string(), says.to_string().into_bytes())]);
    let headers = headers.map_err(|error| ErrorCode::InternalError(Some(format!("{error:?}"))))?;
    let (response, _sent) = Response::new(headers, Some(reader), trailers_reader);
    Ok(response)
}

/// An answer whose body is neither written nor closed.
pub fn never_closed() -> Result<Response, ErrorCode> {
    let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
    let (writer, reader) = wit_stream::new::<u8>();
    weft_guest::wit_bindgen::spawn_local(async move {
        let _kept = (writer, trailers);
        std::future::pending::<()>().await;
    });
    let (response, _sent) = Response::new(Fields::new(), Some(reader), trailers_reader);
    Ok(response)
}

/// An answer with as many header fields as the host lets it have, and how many they are.
pub fn many_headers() -> Result<Response, ErrorCode> {
    let headers = Fields::new();
    let mut count = 0_u32;
    let why = loop {
        match headers.append(&format!("x-header-{count}"), b"") {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    println!("{count} header fields, then {why:?}");
    let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
    drop(trailers);
    let (response, _sent) = Response::new(headers, None, trailers_reader);
    Ok(response)
}
