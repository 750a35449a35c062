//! A body that is compressed while it passes through. Nothing is held back when the function pauses, so that a stream
//! stays one; a large piece is worked on in steps, so that it does not keep a thread.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::body::{BoxError, ResponseBody};
use crate::policy::Coding;

/// Answers that are compressed at a time; one more is sent as it is. Each holds 0.3 MiB (gzip, zstd) to 1.2 MiB (br).
pub(crate) const AT_ONCE: usize = 128;
/// How much is compressed before others get their turn, in bytes.
const STEP_BYTES: usize = 16 * 1024;
/// Levels at which one core compresses 40 (gzip), 50 (br) and 90 MB (zstd) of JSON in a second, to within a tenth of what
/// the next ones reach at half the speed.
const GZIP_LEVEL: u32 = 4;
const BROTLI_QUALITY: u32 = 3;
const ZSTD_LEVEL: i32 = 3;
/// How far back repetitions are looked for, as a power of two: 256 KiB. What a client has to hold, too.
const WINDOW_LOG: u32 = 18;
const BROTLI_BUFFER_BYTES: usize = 4096;

/// A compressor that writes into memory.
enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    fn new(coding: Coding) -> io::Result<Self> {
        let out = Vec::new();
        Ok(match coding {
            Coding::Gzip => Self::Gzip(GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL))),
            Coding::Brotli => {
                let writer = brotli::CompressorWriter::new(out, BROTLI_BUFFER_BYTES, BROTLI_QUALITY, WINDOW_LOG);
                Self::Brotli(Box::new(writer))
            }
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.window_log(WINDOW_LOG)?;
                Self::Zstd(encoder)
            }
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Brotli(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.flush(),
            Self::Brotli(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }

    /// What there is to send.
    fn take(&mut self) -> Bytes {
        let out = match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        };
        std::mem::take(out).into()
    }

    fn finish(self) -> io::Result<Bytes> {
        Ok(match self {
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Brotli(encoder) => encoder.into_inner(),
            Self::Zstd(encoder) => encoder.finish()?,
        }
        .into())
    }
}

/// A body in its compressed form.
pub(crate) struct Compressed {
    inner: ResponseBody,
    /// `None` after the end.
    encoder: Option<Encoder>,
    /// A piece that is not compressed yet.
    piece: Bytes,
    /// Whether something is in the compressor that the client has not got.
    holds_back: bool,
    /// Come at the end.
    trailers: Option<HeaderMap>,
    _place: OwnedSemaphorePermit,
}

impl Compressed {
    /// The body as it is, if there is no place for one more or no memory.
    pub fn begin(inner: ResponseBody, coding: Coding, places: &Arc<Semaphore>) -> Result<Self, ResponseBody> {
        let Ok(place) = Arc::clone(places).try_acquire_owned() else { return Err(inner) };
        let Ok(encoder) = Encoder::new(coding) else { return Err(inner) };
        let piece = Bytes::new();
        Ok(Self { inner, encoder: Some(encoder), piece, holds_back: false, trailers: None, _place: place })
    }

    /// Compresses the next step of the piece.
    fn step(&mut self) -> io::Result<Bytes> {
        let Some(encoder) = &mut self.encoder else { return Ok(Bytes::new()) };
        let step = self.piece.split_to(self.piece.len().min(STEP_BYTES));
        encoder.write(&step)?;
        self.holds_back = true;
        Ok(encoder.take())
    }

    fn flush(&mut self) -> io::Result<Bytes> {
        self.holds_back = false;
        let Some(encoder) = &mut self.encoder else { return Ok(Bytes::new()) };
        encoder.flush()?;
        Ok(encoder.take())
    }

    fn finish(&mut self) -> io::Result<Bytes> {
        self.encoder.take().map_or_else(|| Ok(Bytes::new()), Encoder::finish)
    }
}

impl Body for Compressed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        loop {
            if this.encoder.is_none() {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let (out, is_step) = if this.piece.is_empty() {
                match Pin::new(&mut this.inner).poll_frame(context) {
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => {
                            this.piece = data;
                            continue;
                        }
                        Err(frame) => {
                            this.trailers = frame.into_trailers().ok();
                            (this.finish(), false)
                        }
                    },
                    Poll::Ready(None) => (this.finish(), false),
                    Poll::Ready(Some(Err(error))) => {
                        this.encoder = None;
                        return Poll::Ready(Some(Err(error)));
                    }
                    Poll::Pending if this.holds_back => (this.flush(), false),
                    Poll::Pending => return Poll::Pending,
                }
            } else {
                (this.step(), true)
            };
            match out {
                Ok(out) if !out.is_empty() => return Poll::Ready(Some(Ok(Frame::data(out)))),
                Ok(_) if is_step && !this.piece.is_empty() => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                // On to the next piece, to the end, or to a function that pauses and will wake us.
                Ok(_) => {}
                Err(error) => {
                    this.encoder = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    use futures::{SinkExt as _, StreamExt as _, channel::mpsc};
    use http_body_util::{BodyExt as _, StreamBody};

    use crate::body::full;

    fn places() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(1))
    }

    fn plain(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
            Coding::Zstd => {
                zstd::stream::read::Decoder::new(bytes).and_then(|mut decoder| decoder.read_to_end(&mut out))
            }
        }
        .unwrap();
        out
    }

    #[tokio::test]
    async fn what_comes_out_is_what_went_in() {
        let long: Vec<u8> = (0..400_000_u32).flat_map(|number| (number % 1000).to_le_bytes()).collect();
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            for text in [&b""[..], b"a", &long] {
                let compressed = Compressed::begin(full(text.to_vec()), coding, &places()).ok().unwrap();
                let bytes = compressed.collect().await.unwrap().to_bytes();
                assert_eq!(plain(coding, &bytes), text, "{coding:?}");
                assert!(bytes.len() < 200_000, "{coding:?}: {}", bytes.len());
            }
        }
    }

    #[tokio::test]
    async fn what_a_function_has_written_is_sent_while_it_pauses() {
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            let (mut sender, receiver) = mpsc::channel::<Result<Frame<Bytes>, BoxError>>(1);
            let body = StreamBody::new(receiver).boxed_unsync();
            let mut body = Compressed::begin(body, coding, &places()).ok().unwrap().into_data_stream();
            let mut got = Vec::new();
            for word in ["first ", "second "] {
                sender.send(Ok(Frame::data(word.into()))).await.unwrap();
                // All of it has come before the next is written, or this would wait for ever.
                let before = got.len();
                while got.len() == before || !decodes(coding, &got, word) {
                    got.extend(body.next().await.unwrap().unwrap());
                }
            }
            drop(sender);
            while let Some(bytes) = body.next().await {
                got.extend(bytes.unwrap());
            }
            assert_eq!(plain(coding, &got), b"first second ", "{coding:?}");
        }
    }

    /// Whether the beginning of a stream holds the word already.
    fn decodes(coding: Coding, bytes: &[u8], word: &str) -> bool {
        let mut out = [0; 64];
        let mut length = 0;
        let mut decoder: Box<dyn io::Read + '_> = match coding {
            Coding::Gzip => Box::new(flate2::read::GzDecoder::new(bytes)),
            Coding::Brotli => Box::new(brotli::Decompressor::new(bytes, 4096)),
            Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
        };
        while let Ok(read @ 1..) = decoder.read(&mut out[length..]) {
            length += read;
        }
        String::from_utf8_lossy(&out[..length]).contains(word)
    }

    #[tokio::test]
    async fn an_error_and_trailers_pass_through() {
        let frames: Vec<Result<Frame<Bytes>, BoxError>> = vec![Ok(Frame::data("a".into())), Err("broken".into())];
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        let compressed = Compressed::begin(body, Coding::Gzip, &places()).ok().unwrap();
        assert_eq!(compressed.collect().await.unwrap_err().to_string(), "broken");
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("1"));
        let frames: Vec<Result<Frame<Bytes>, BoxError>> =
            vec![Ok(Frame::data("a".into())), Ok(Frame::trailers(trailers.clone()))];
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        let collected = Compressed::begin(body, Coding::Gzip, &places()).ok().unwrap().collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(plain(Coding::Gzip, &collected.to_bytes()), b"a");
    }

    #[test]
    fn one_more_than_there_are_places_is_left_as_it_is() {
        let places = places();
        let first = Compressed::begin(full("a"), Coding::Zstd, &places);
        assert!(first.is_ok() && Compressed::begin(full("b"), Coding::Zstd, &places).is_err());
        drop(first);
        assert!(Compressed::begin(full("b"), Coding::Zstd, &places).is_ok());
    }
}
