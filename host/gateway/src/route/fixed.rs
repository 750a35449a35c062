//! An answer that is the same for every request, in the form in which it is sent.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use weft_core::manifest::StaticResponse;

use crate::body::ResponseBody;

#[derive(Debug)]
pub(crate) struct FixedAnswer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl FixedAnswer {
    /// The manifest has checked status, names and values.
    pub fn new(answer: &StaticResponse) -> Self {
        let header = |(name, value): &(std::sync::Arc<str>, std::sync::Arc<str>)| {
            Some((HeaderName::try_from(&**name).ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
        };
        Self {
            status: StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK),
            headers: answer.headers.iter().filter_map(header).collect(),
            body: Bytes::copy_from_slice(answer.body.as_bytes()),
        }
    }

    pub fn response(&self) -> Response<ResponseBody> {
        let mut response = Response::new(Full::new(self.body.clone()).map_err(|never| match never {}).boxed_unsync());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}
