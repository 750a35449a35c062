//! HTTP of the snapshot. Where it has no way to say that something is wrong (a header, a status), the call traps.

use std::time::Duration;

use wasmtime::component::Resource;
use wasmtime::{bail, format_err};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};
use wasmtime_wasi_http::p2::HeaderError;
use wasmtime_wasi_http::p2::bindings::http as release;
use wasmtime_wasi_http::{FieldMap, RequestOptions, WasiHttpCtxView};

use release::types::{
    ErrorCode, FutureIncomingResponse, FutureTrailers, IncomingBody, IncomingRequest, IncomingResponse, OutgoingBody,
    OutgoingRequest, OutgoingResponse, ResponseOutparam,
};

use super::bindings::wasi::http::{outgoing_handler, types};

type Fields = Resource<FieldMap>;

fn trap(error: HeaderError) -> wasmtime::Error {
    // What it says to a guest of the release is the reason here.
    error.downcast().map_or_else(|trap| trap, wasmtime::Error::from)
}

fn taken<T>(set: Result<T, ()>, what: &str) -> wasmtime::Result<T> {
    set.map_err(|()| format_err!("{what} is not valid"))
}

impl types::Host for WasiHttpCtxView<'_> {}

impl types::HostFields for WasiHttpCtxView<'_> {
    fn new(&mut self, entries: Vec<(String, Vec<u8>)>) -> wasmtime::Result<Fields> {
        release::types::HostFields::from_list(self, entries).map_err(trap)
    }

    fn get(&mut self, fields: Fields, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        release::types::HostFields::get(self, fields, name)
    }

    fn set(&mut self, fields: Fields, name: String, values: Vec<Vec<u8>>) -> wasmtime::Result<()> {
        release::types::HostFields::set(self, fields, name, values).map_err(trap)
    }

    fn delete(&mut self, fields: Fields, name: String) -> wasmtime::Result<()> {
        release::types::HostFields::delete(self, fields, name).map_err(trap)
    }

    fn append(&mut self, fields: Fields, name: String, value: Vec<u8>) -> wasmtime::Result<()> {
        release::types::HostFields::append(self, fields, name, value).map_err(trap)
    }

    fn entries(&mut self, fields: Fields) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        release::types::HostFields::entries(self, fields)
    }

    fn clone(&mut self, fields: Fields) -> wasmtime::Result<Fields> {
        release::types::HostFields::clone(self, fields)
    }

    fn drop(&mut self, fields: Fields) -> wasmtime::Result<()> {
        release::types::HostFields::drop(self, fields)
    }
}

impl types::HostIncomingRequest for WasiHttpCtxView<'_> {
    fn method(&mut self, request: Resource<IncomingRequest>) -> wasmtime::Result<types::Method> {
        release::types::HostIncomingRequest::method(self, request).map(Into::into)
    }

    fn path_with_query(&mut self, request: Resource<IncomingRequest>) -> wasmtime::Result<Option<String>> {
        release::types::HostIncomingRequest::path_with_query(self, request)
    }

    fn scheme(&mut self, request: Resource<IncomingRequest>) -> wasmtime::Result<Option<types::Scheme>> {
        Ok(release::types::HostIncomingRequest::scheme(self, request)?.map(Into::into))
    }

    fn authority(&mut self, request: Resource<IncomingRequest>) -> wasmtime::Result<Option<String>> {
        release::types::HostIncomingRequest::authority(self, request)
    }

    fn headers(&mut self, request: Resource<IncomingRequest>) -> wasmtime::Result<Fields> {
        release::types::HostIncomingRequest::headers(self, request)
    }

    fn consume(&mut self, request: Resource<IncomingRequest>) -> wasmtime::Result<Result<Resource<IncomingBody>, ()>> {
        release::types::HostIncomingRequest::consume(self, request)
    }

    fn drop(&mut self, request: Resource<IncomingRequest>) -> wasmtime::Result<()> {
        release::types::HostIncomingRequest::drop(self, request)
    }
}

impl types::HostIncomingResponse for WasiHttpCtxView<'_> {
    fn status(&mut self, response: Resource<IncomingResponse>) -> wasmtime::Result<u16> {
        release::types::HostIncomingResponse::status(self, response)
    }

    fn headers(&mut self, response: Resource<IncomingResponse>) -> wasmtime::Result<Fields> {
        release::types::HostIncomingResponse::headers(self, response)
    }

    fn consume(
        &mut self,
        response: Resource<IncomingResponse>,
    ) -> wasmtime::Result<Result<Resource<IncomingBody>, ()>> {
        release::types::HostIncomingResponse::consume(self, response)
    }

    fn drop(&mut self, response: Resource<IncomingResponse>) -> wasmtime::Result<()> {
        release::types::HostIncomingResponse::drop(self, response)
    }
}

impl types::HostIncomingBody for WasiHttpCtxView<'_> {
    fn stream(&mut self, body: Resource<IncomingBody>) -> wasmtime::Result<Result<Resource<DynInputStream>, ()>> {
        release::types::HostIncomingBody::stream(self, body)
    }

    fn finish(&mut self, body: Resource<IncomingBody>) -> wasmtime::Result<Resource<FutureTrailers>> {
        release::types::HostIncomingBody::finish(self, body)
    }

    fn drop(&mut self, body: Resource<IncomingBody>) -> wasmtime::Result<()> {
        release::types::HostIncomingBody::drop(self, body)
    }
}

impl types::HostFutureTrailers for WasiHttpCtxView<'_> {
    fn subscribe(&mut self, trailers: Resource<FutureTrailers>) -> wasmtime::Result<Resource<DynPollable>> {
        release::types::HostFutureTrailers::subscribe(self, trailers)
    }

    fn get(&mut self, trailers: Resource<FutureTrailers>) -> wasmtime::Result<Option<Result<Fields, types::Error>>> {
        Ok(match release::types::HostFutureTrailers::get(self, trailers)? {
            None => None,
            Some(Ok(Ok(Some(fields)))) => Some(Ok(fields)),
            // The snapshot does not tell no trailers from empty ones.
            Some(Ok(Ok(None))) => Some(Ok(release::types::HostFields::new(self)?)),
            Some(Ok(Err(error))) => Some(Err(error.into())),
            Some(Err(())) => bail!("the trailers have been taken before"),
        })
    }

    fn drop(&mut self, trailers: Resource<FutureTrailers>) -> wasmtime::Result<()> {
        release::types::HostFutureTrailers::drop(self, trailers)
    }
}

impl types::HostOutgoingRequest for WasiHttpCtxView<'_> {
    fn new(
        &mut self,
        method: types::Method,
        path_with_query: Option<String>,
        scheme: Option<types::Scheme>,
        authority: Option<String>,
        headers: Fields,
    ) -> wasmtime::Result<Resource<OutgoingRequest>> {
        use release::types::HostOutgoingRequest as Request;

        // The release has to have an authority. This one names no host, by which a request to the application itself
        // is known, and is what later versions of the SDK say in its place.
        let plain = matches!(scheme, Some(types::Scheme::Http | types::Scheme::Other(_)));
        let authority = authority.unwrap_or_else(|| if plain { ":80" } else { ":443" }.to_owned());
        // The snapshot lends the headers, the release takes them.
        let headers = release::types::HostFields::clone(self, headers)?;
        let request = Request::new(self, headers)?;
        let new = || Resource::new_borrow(request.rep());
        taken(Request::set_method(self, new(), method.into())?, "the method")?;
        taken(Request::set_path_with_query(self, new(), path_with_query)?, "the path")?;
        taken(Request::set_scheme(self, new(), scheme.map(Into::into))?, "the scheme")?;
        taken(Request::set_authority(self, new(), Some(authority))?, "the authority")?;
        Ok(request)
    }

    fn write(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Result<Resource<OutgoingBody>, ()>> {
        release::types::HostOutgoingRequest::body(self, request)
    }

    fn drop(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<()> {
        release::types::HostOutgoingRequest::drop(self, request)
    }
}

impl types::HostOutgoingResponse for WasiHttpCtxView<'_> {
    fn new(&mut self, status: u16, headers: Fields) -> wasmtime::Result<Resource<OutgoingResponse>> {
        use release::types::HostOutgoingResponse as Response;

        let headers = release::types::HostFields::clone(self, headers)?;
        let response = Response::new(self, headers)?;
        taken(Response::set_status_code(self, Resource::new_borrow(response.rep()), status)?, "the status")?;
        Ok(response)
    }

    fn write(&mut self, response: Resource<OutgoingResponse>) -> wasmtime::Result<Result<Resource<OutgoingBody>, ()>> {
        release::types::HostOutgoingResponse::body(self, response)
    }

    fn drop(&mut self, response: Resource<OutgoingResponse>) -> wasmtime::Result<()> {
        release::types::HostOutgoingResponse::drop(self, response)
    }
}

impl types::HostOutgoingBody for WasiHttpCtxView<'_> {
    fn write(&mut self, body: Resource<OutgoingBody>) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
        release::types::HostOutgoingBody::write(self, body)
    }

    fn finish(&mut self, body: Resource<OutgoingBody>, trailers: Option<Fields>) -> wasmtime::Result<()> {
        let finished = release::types::HostOutgoingBody::finish(self, body, trailers);
        finished.map_err(|error| error.downcast().map_or_else(|trap| trap, wasmtime::Error::from))
    }

    fn drop(&mut self, body: Resource<OutgoingBody>) -> wasmtime::Result<()> {
        release::types::HostOutgoingBody::drop(self, body)
    }
}

impl types::HostResponseOutparam for WasiHttpCtxView<'_> {
    fn set(
        &mut self,
        outparam: Resource<ResponseOutparam>,
        response: Result<Resource<OutgoingResponse>, types::Error>,
    ) -> wasmtime::Result<()> {
        release::types::HostResponseOutparam::set(self, outparam, response.map_err(Into::into))
    }

    fn drop(&mut self, outparam: Resource<ResponseOutparam>) -> wasmtime::Result<()> {
        release::types::HostResponseOutparam::drop(self, outparam)
    }
}

/// What has become of a request: nothing as yet, something that was taken before, or a response or why there is none.
type Received = Option<Result<Result<Resource<IncomingResponse>, types::Error>, ()>>;

impl types::HostFutureIncomingResponse for WasiHttpCtxView<'_> {
    fn get(&mut self, response: Resource<FutureIncomingResponse>) -> wasmtime::Result<Received> {
        let received = release::types::HostFutureIncomingResponse::get(self, response)?;
        Ok(received.map(|received| received.map(|response| response.map_err(Into::into))))
    }

    fn subscribe(&mut self, response: Resource<FutureIncomingResponse>) -> wasmtime::Result<Resource<DynPollable>> {
        release::types::HostFutureIncomingResponse::subscribe(self, response)
    }

    fn drop(&mut self, response: Resource<FutureIncomingResponse>) -> wasmtime::Result<()> {
        release::types::HostFutureIncomingResponse::drop(self, response)
    }
}

impl outgoing_handler::Host for WasiHttpCtxView<'_> {
    fn handle(
        &mut self,
        request: Resource<OutgoingRequest>,
        options: Option<types::RequestOptions>,
    ) -> wasmtime::Result<Result<Resource<FutureIncomingResponse>, types::Error>> {
        // A record here, a resource in the release, which looks at it and leaves it.
        let timeout = |milliseconds: Option<u32>| milliseconds.map(|each| Duration::from_millis(each.into()));
        let options = options.map(|asked| {
            self.table.push(RequestOptions {
                connect_timeout: timeout(asked.connect_timeout_ms),
                first_byte_timeout: timeout(asked.first_byte_timeout_ms),
                between_bytes_timeout: timeout(asked.between_bytes_timeout_ms),
            })
        });
        let options = options.transpose()?;
        let borrowed = options.as_ref().map(|options| Resource::new_borrow(options.rep()));
        let sent = release::outgoing_handler::Host::handle(self, request, borrowed);
        if let Some(options) = options {
            self.table.delete(options)?;
        }
        match sent {
            Ok(response) => Ok(Ok(response)),
            Err(error) => Ok(Err(error.downcast()?.into())),
        }
    }
}

impl From<ErrorCode> for types::Error {
    /// The snapshot has four kinds of errors.
    fn from(error: ErrorCode) -> Self {
        let said = error.to_string();
        match error {
            ErrorCode::HttpRequestUriInvalid | ErrorCode::HttpRequestUriTooLong => Self::InvalidUrl(said),
            ErrorCode::DnsTimeout
            | ErrorCode::ConnectionTimeout
            | ErrorCode::ConnectionReadTimeout
            | ErrorCode::ConnectionWriteTimeout
            | ErrorCode::HttpResponseTimeout => Self::TimeoutError(said),
            ErrorCode::HttpProtocolError | ErrorCode::TlsProtocolError => Self::ProtocolError(said),
            _ => Self::UnexpectedError(said),
        }
    }
}

impl From<types::Error> for ErrorCode {
    fn from(error: types::Error) -> Self {
        Self::InternalError(Some(match error {
            types::Error::InvalidUrl(said) => format!("invalid URL: {said}"),
            types::Error::TimeoutError(said) => format!("timeout: {said}"),
            types::Error::ProtocolError(said) => format!("protocol error: {said}"),
            types::Error::UnexpectedError(said) => said,
        }))
    }
}

/// Both ways between an enumeration of the release and one of the snapshot that has the same cases.
macro_rules! alike {
    ($name:ident: $($case:ident),*) => {
        impl From<release::types::$name> for types::$name {
            fn from(value: release::types::$name) -> Self {
                match value {
                    $(release::types::$name::$case => Self::$case,)*
                    release::types::$name::Other(other) => Self::Other(other),
                }
            }
        }

        impl From<types::$name> for release::types::$name {
            fn from(value: types::$name) -> Self {
                match value {
                    $(types::$name::$case => Self::$case,)*
                    types::$name::Other(other) => Self::Other(other),
                }
            }
        }
    };
}

alike!(Method: Get, Head, Post, Put, Delete, Connect, Options, Trace, Patch);
alike!(Scheme: Http, Https);
