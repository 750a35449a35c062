//! The head of a request, taken apart.

use weft_guest::bindings::wasi::http::types::{Method, Request, Scheme};

use crate::headers::Header;

/// What is known of a request before its body is read.
pub(crate) struct Head {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<Header>,
    scheme: Option<Scheme>,
    authority: Option<String>,
}

impl Head {
    pub(crate) fn of(request: &Request) -> Self {
        let headers = request.get_headers().copy_all();
        Self {
            method: name(request.get_method()),
            target: request.get_path_with_query().unwrap_or_else(|| "/".to_owned()),
            headers: headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect(),
            scheme: request.get_scheme(),
            authority: request.get_authority(),
        }
    }

    /// The path without the query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Says of `request` what is said here, with `method` for its method.
    pub(crate) fn describe(&self, request: &Request, method: &str) -> Result<(), ()> {
        request.set_method(&wasi(method))?;
        request.set_scheme(self.scheme.as_ref())?;
        request.set_authority(self.authority.as_deref())?;
        request.set_path_with_query(Some(&self.target))
    }
}

fn name(method: Method) -> String {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(other) => return other,
    }
    .to_owned()
}

fn wasi(method: &str) -> Method {
    match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        other => Method::Other(other.to_owned()),
    }
}
