//! WebSocket (RFC 6455) over HTTP/1.1: the handshake, and the session on the socket after it. Frames are tungstenite's.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::future::{Either, poll_fn, select};
use futures::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use weft_core::Clock;

use super::client::{Allowance, MAX_SAID_BYTES, Said, which};
use super::session::{Next, Session};
use super::text::{Ending, Told};
use crate::body::{ResponseBody, full};
use crate::connection::Busy;
use crate::problem::Problem;
use crate::record::Record;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADES: HeaderValue = HeaderValue::from_static("upgrade");
/// The one version there is.
const VERSION: &[u8] = b"13";
/// Bytes of a key in base64.
const KEY_LENGTH: usize = 24;
/// What is read at once, and so what each idle socket holds.
const READ_BYTES: usize = 1024;
/// When what was fed is written, and the most that waits for it: what the session gives at once fits well.
const WRITE_BYTES: usize = 16 * 1024;
const MAX_WRITE_BYTES: usize = 1024 * 1024;
/// How long a client may take to answer a close.
const FAREWELL: Duration = Duration::from_secs(2);
/// How many heartbeats a client may leave without any sign.
const SILENT_HEARTBEATS: u32 = 3;

/// Marks the one answer of 101 that is ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Switching;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Why a socket is at its end.
#[derive(Debug)]
enum End {
    /// We end it.
    Ours(Ending),
    /// The client has, or it is gone.
    Theirs,
}

/// Whether a request asks that its connection becomes a WebSocket. To be asked before what belongs to the connection is
/// taken off.
pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
    names(headers, UPGRADE, "websocket") && names(headers, CONNECTION, "upgrade")
}

/// Looks at the rest of the handshake, and takes what the connection becomes.
///
/// # Errors
/// 426 for what is no handshake of this version; 400 for one that is wrong.
pub(super) fn handshake(head: &mut Parts, record: &Record) -> Result<(OnUpgrade, HeaderValue), Problem> {
    let headers = &head.headers;
    if head.version != Version::HTTP_11 || !record.asks_for_websocket {
        return Err(Problem::upgrade_required("This is a WebSocket: connect by HTTP/1.1 with Upgrade: websocket."));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version.as_bytes() != VERSION) {
        return Err(Problem::upgrade_required("WebSocket is served in version 13 alone."));
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().filter(|key| key.len() == KEY_LENGTH && keys.next().is_none());
    let (Some(key), false) = (key, record.is_last) else {
        return Err(Problem::bad_request("The WebSocket handshake needs one Sec-WebSocket-Key, and has no body."));
    };
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).map_err(|_| Problem::internal())?;
    let upgrade = head.extensions.remove::<OnUpgrade>().ok_or_else(Problem::internal)?;
    Ok((upgrade, accept))
}

fn names(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    let words = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    words.into_iter().any(|word| word.trim().eq_ignore_ascii_case(wanted))
}

/// The answer to a handshake.
pub(super) fn switching(accept: HeaderValue) -> Response<ResponseBody> {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, WEBSOCKET);
    headers.insert(CONNECTION, UPGRADES);
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response.extensions_mut().insert(Switching);
    response
}

/// Serves a session until its end. `busy` keeps the connection from counting as idle.
pub(super) async fn serve(upgrade: OnUpgrade, session: Session, welcome: Told, clock: Arc<dyn Clock>, busy: Busy) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => TokioIo::new(upgraded),
        Err(error) => return tracing::debug!(%error, "a WebSocket was gone before it was one"),
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_write_buffer_size(MAX_WRITE_BYTES)
        .max_message_size(Some(MAX_SAID_BYTES))
        .max_frame_size(Some(MAX_SAID_BYTES));
    let socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config)).await;
    let allowance = Allowance::new(clock.monotonic());
    let mut serving = Serving { socket, session, clock, allowance, silent: 0 };
    if let End::Ours(ending) = serving.run(welcome).await {
        serving.farewell(ending).await;
    }
    drop(busy);
}

struct Serving {
    socket: Socket,
    session: Session,
    clock: Arc<dyn Clock>,
    allowance: Allowance,
    /// Heartbeats since the last sign of the client.
    silent: u32,
}

enum Step {
    Frame(Option<Result<Message, tungstenite::Error>>),
    Next(Next),
}

impl Serving {
    async fn run(&mut self, welcome: Told) -> End {
        let mut written = self.write([text(&welcome)]).await;
        loop {
            if let Err(end) = written {
                return end;
            }
            let step = poll_fn(|context| match self.socket.poll_next_unpin(context) {
                Poll::Ready(frame) => Poll::Ready(Step::Frame(frame)),
                Poll::Pending => self.session.poll_next(context).map(Step::Next),
            });
            written = match step.await {
                Step::Next(next) => self.tell(next).await,
                Step::Frame(Some(Ok(frame))) => self.hear(frame).await,
                Step::Frame(Some(Err(tungstenite::Error::Capacity(_)))) => Err(End::Ours(Ending::TooLarge)),
                Step::Frame(Some(Err(_)) | None) => Err(End::Theirs),
            };
        }
    }

    /// Tells one thing and all that is there with it, within a bound, at once.
    async fn tell(&mut self, first: Next) -> Result<(), End> {
        let (mut frames, mut bytes, mut next) = (Vec::new(), 0, Some(first));
        let mut end = Ok(());
        while let Some(one) = next.take() {
            match one {
                Next::Told(told) => frames.push(text(&told)),
                Next::Heartbeat(told) => {
                    self.silent += 1;
                    if self.silent > SILENT_HEARTBEATS {
                        return Err(End::Ours(Ending::Silent));
                    }
                    frames.extend([text(&told), Message::Ping(bytes::Bytes::new())]);
                }
                Next::Ended(ending) => {
                    end = Err(End::Ours(ending));
                    break;
                }
            }
            bytes += frames.last().map_or(0, Message::len);
            if bytes < WRITE_BYTES {
                next = poll_fn(|context| match self.session.poll_next(context) {
                    Poll::Ready(next) => Poll::Ready(Some(next)),
                    Poll::Pending => Poll::Ready(None),
                })
                .await;
            }
        }
        self.write(frames).await?;
        end
    }

    /// Answers what a client says.
    async fn hear(&mut self, frame: Message) -> Result<(), End> {
        self.silent = 0;
        let said = match frame {
            Message::Text(said) => said,
            Message::Binary(_) => return Err(End::Ours(Ending::NotText)),
            // The library answers a ping, and a close, with the next thing that is written.
            Message::Ping(_) => return self.allowed().and(self.write([]).await),
            Message::Pong(_) | Message::Frame(_) => return self.allowed(),
            Message::Close(_) => return Ok(()),
        };
        self.allowed()?;
        let answer = match Said::read(&said) {
            Ok(Said::Ping) => Told::pong(),
            Ok(Said::Subscribe { channels }) => self.session.subscribe(&channels),
            Ok(Said::Unsubscribe { channels }) => self.session.unsubscribe(&channels),
            Ok(Said::Presence { channels }) => self.session.presence(&channels),
            Ok(Said::Read { id, ids, through }) => match which(id, ids, through) {
                Ok(which) => self.session.mark_read(which).await,
                Err(detail) => Told::error("read", "invalid", &detail),
            },
            Err(detail) => Told::error("message", "invalid", &detail),
        };
        self.write([text(&answer)]).await
    }

    fn allowed(&mut self) -> Result<(), End> {
        if self.allowance.take(self.clock.monotonic()) { Ok(()) } else { Err(End::Ours(Ending::TooManyMessages)) }
    }

    /// Writes frames, unless the connection is to end while the client takes nothing.
    async fn write(&mut self, frames: impl IntoIterator<Item = Message>) -> Result<(), End> {
        let (socket, session) = (&mut self.socket, &mut self.session);
        let writing = async {
            for frame in frames {
                socket.feed(frame).await?;
            }
            socket.flush().await
        };
        match select(pin!(writing), poll_fn(|context| session.poll_cut(context))).await {
            Either::Left((Ok(()), _)) => Ok(()),
            Either::Left((Err(_), _)) => Err(End::Theirs),
            Either::Right((ending, _)) => Err(End::Ours(ending)),
        }
    }

    /// Says why it ends, and waits a little for the client's own close: what it sends until then would reset the
    /// connection, and it might never see why.
    async fn farewell(&mut self, ending: Ending) {
        let (code, reason) = ending.code_and_reason();
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        let closing = async {
            if self.socket.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        // Best effort: the client is told, or it is gone.
        drop(select(pin!(closing), self.clock.sleep(FAREWELL)).await);
    }
}

fn text(told: &Told) -> Message {
    Message::text(told.json())
}
