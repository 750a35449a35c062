//! Streams and polling of the snapshot.

use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::io as release;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult};

use release::poll::{Host as _, HostPollable as _};
use release::streams::{HostInputStream as Input, HostOutputStream as Output};

use super::bindings::wasi::io::{poll, streams};

type Error = release::error::Error;

impl poll::Host for ResourceTable {
    async fn poll_list(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.poll(pollables).await
    }

    async fn poll_one(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.block(pollable).await
    }
}

impl poll::HostPollable for ResourceTable {
    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        release::poll::HostPollable::drop(self, pollable)
    }
}

impl streams::Host for ResourceTable {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        Ok(match release::streams::Host::convert_stream_error(self, error)? {
            release::streams::StreamError::Closed => streams::StreamError::Closed,
            release::streams::StreamError::LastOperationFailed(error) => {
                streams::StreamError::LastOperationFailed(error)
            }
        })
    }
}

impl streams::HostError for ResourceTable {
    fn to_debug_string(&mut self, error: Resource<Error>) -> wasmtime::Result<String> {
        release::error::HostError::to_debug_string(self, error)
    }

    fn drop(&mut self, error: Resource<Error>) -> wasmtime::Result<()> {
        release::error::HostError::drop(self, error)
    }
}

impl streams::HostInputStream for ResourceTable {
    fn read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        Input::read(self, stream, len)
    }

    async fn blocking_read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        Input::blocking_read(self, stream, len).await
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        Input::skip(self, stream, len)
    }

    async fn blocking_skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        Input::blocking_skip(self, stream, len).await
    }

    fn subscribe(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        Input::subscribe(self, stream)
    }

    async fn drop(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<()> {
        Input::drop(self, stream).await
    }
}

impl streams::HostOutputStream for ResourceTable {
    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        Output::check_write(self, stream)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, contents: Vec<u8>) -> StreamResult<()> {
        Output::write(self, stream, contents)
    }

    async fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        contents: Vec<u8>,
    ) -> StreamResult<()> {
        Output::blocking_write_and_flush(self, stream, contents).await
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        Output::flush(self, stream)
    }

    async fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        Output::blocking_flush(self, stream).await
    }

    fn subscribe(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        Output::subscribe(self, stream)
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        Output::write_zeroes(self, stream, len)
    }

    async fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        len: u64,
    ) -> StreamResult<()> {
        Output::blocking_write_zeroes_and_flush(self, stream, len).await
    }

    /// The snapshot takes the source for good, where the release borrows it.
    async fn splice(
        &mut self,
        stream: Resource<DynOutputStream>,
        source: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        let spliced = Output::splice(self, stream, Resource::new_borrow(source.rep()), len);
        Input::drop(self, source).await.map_err(StreamError::Trap)?;
        spliced
    }

    async fn blocking_splice(
        &mut self,
        stream: Resource<DynOutputStream>,
        source: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        let spliced = Output::blocking_splice(self, stream, Resource::new_borrow(source.rep()), len).await;
        Input::drop(self, source).await.map_err(StreamError::Trap)?;
        spliced
    }

    /// The release has nothing like it, and no SDK calls it.
    fn forward(&mut self, _: Resource<DynOutputStream>, _: Resource<DynInputStream>) -> StreamResult<u64> {
        let message = "this host does not have wasi:io/streams@0.2.0-rc-2023-10-18#output-stream.forward";
        Err(StreamError::Trap(wasmtime::format_err!("{message}")))
    }

    async fn drop(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        Output::drop(self, stream).await
    }
}
