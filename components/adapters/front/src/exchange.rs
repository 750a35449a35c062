//! One exchange: the order in which the rules are asked, the body on its way to the function, the function itself under
//! its deadline, and the answer as it leaves.

use std::cell::Cell;
use std::rc::Rc;

use adapter_guest::bindings::weft::adapter::{on_delete, on_get, on_patch, on_post, on_put};
use adapter_settings::Access;
use futures::channel::oneshot;
use futures::future::{Either, select};
use weft_guest::bindings::wasi::clocks::monotonic_clock;
use weft_guest::bindings::wasi::http::types::{ErrorCode, Fields, Request, Response, Trailers};
use weft_guest::bindings::{wit_future, wit_stream};
use weft_guest::{clock, ids};
use wit_bindgen::{FutureReader, StreamReader, StreamResult};

use crate::head::Head;
use crate::headers::{self, Header};
use crate::problem::Problem;
use crate::state::{self, State};
use crate::token;

/// The largest request body, in bytes.
const BODY_BYTES: u64 = 10_000_000;
/// The deadline of a route whose settings name none, in milliseconds.
const DEADLINE_MS: u64 = 30_000;
/// Methods after which something may wait to be done.
const UNSAFE: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

type End = Result<Option<Trailers>, ErrorCode>;

/// What the client gets.
enum Answer {
    OfFunction(Response),
    Options(String),
}

/// Serves one exchange.
pub(crate) async fn serve(request: Request) -> Result<Response, ErrorCode> {
    let started_ns = monotonic_clock::now();
    let head = Head::of(&request);
    let request_id = headers::request_id(&head.headers).unwrap_or_else(ids::uuid);
    let path = head.path().to_owned();
    let answered = answer(request, head, &request_id).await;
    let of_us = |problem: Problem| {
        let mut lines = vec![line("content-type", "application/problem+json"), line("cache-control", "no-store")];
        lines.extend(problem.headers.iter().map(|(name, value)| line(name, value)));
        (problem.status, lines, problem.document(&path, &request_id))
    };
    let (status, mut lines, body) = match answered {
        Ok(Answer::OfFunction(response)) => return leave(response, &request_id, started_ns),
        Ok(Answer::Options(allow)) => (204, vec![line("allow", &allow)], Vec::new()),
        Err(problem) => of_us(problem),
    };
    if status != 204 {
        lines.push(line("content-length", &body.len().to_string()));
    }
    dress(&mut lines, &request_id, started_ns);
    let (end, end_reader) = wit_future::new::<End>(|| Ok(None));
    let contents = (!body.is_empty()).then(|| {
        let (mut writer, reader) = wit_stream::new::<u8>();
        // After the answer is returned: the host reads the body while this task lives on.
        wit_bindgen::spawn_local(async move {
            writer.write_all(body).await;
            drop(writer);
            drop(end);
        });
        reader
    });
    respond(status, &lines, contents, end_reader)
}

/// Goes through the rules, in the gateway's order.
async fn answer(request: Request, mut head: Head, request_id: &str) -> Result<Answer, Problem> {
    headers::check(&head.target, &head.headers, BODY_BYTES)?;
    let state = state::state().await?;
    let Some((method, access)) = route(&state, &head.method) else {
        let allow = allow(&state);
        return if head.method == "OPTIONS" {
            Ok(Answer::Options(allow))
        } else {
            Err(Problem::method_not_allowed(allow))
        };
    };
    let mut identity = None;
    if let Some((key, auth)) = &state.key {
        identity = token::identify(&head.headers, key, auth, clock::now_ms() / 1000)?;
        if let Some(identity) = &identity {
            state::check_revoked(identity, auth).await?;
        }
        token::authorise(access, identity.as_ref())?;
    }
    state::start(&state.settings).await;
    let lines = headers::for_function(std::mem::take(&mut head.headers), identity.as_ref(), request_id);
    let too_large = Rc::new(Cell::new(false));
    let request = for_function(request, &head, &method, lines, &too_large)?;
    let deadline_ms = if access.deadline_ms == 0 { DEADLINE_MS } else { access.deadline_ms };
    let answered = within(deadline_ms, method.clone(), request).await;
    if UNSAFE.contains(&method.as_str()) {
        nudge(&state);
    }
    if too_large.get() {
        return Err(Problem::body_too_large(BODY_BYTES));
    }
    answered.map(Answer::OfFunction)
}

/// The method that serves a request, and who may use it. HEAD is served as GET.
fn route<'a>(state: &'a State, method: &str) -> Option<(String, &'a Access)> {
    let served = if method == "HEAD" { "GET" } else { method };
    state.front.methods.get_key_value(served).map(|(name, access)| (name.clone(), access))
}

/// The methods of the path. HEAD comes with GET, and OPTIONS is answered always.
fn allow(state: &State) -> String {
    let mut methods: Vec<&str> = state.front.methods.keys().map(String::as_str).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    methods.sort_unstable();
    methods.dedup();
    methods.join(", ")
}

/// The request as the function gets it.
fn for_function(
    request: Request,
    head: &Head,
    method: &str,
    lines: Vec<Header>,
    too_large: &Rc<Cell<bool>>,
) -> Result<Request, Problem> {
    let fields = Fields::from_list(&lines).map_err(|error| {
        eprintln!("headers that cannot be passed on: {error:?}");
        Problem::bad_request("A header cannot be passed on.")
    })?;
    let (contents, end) = relay(request, Rc::clone(too_large));
    let (request, _sent) = Request::new(fields, Some(contents), end, None);
    let described = head.describe(&request, method);
    described.map_err(|()| Problem::bad_request("The request line cannot be passed on."))?;
    Ok(request)
}

/// Passes a body on, counts it, and breaks it off when it is too large.
fn relay(request: Request, too_large: Rc<Cell<bool>>) -> (StreamReader<u8>, FutureReader<End>) {
    let (received, received_reader) = wit_future::new::<Result<(), ErrorCode>>(|| Ok(()));
    let (mut from, trailers) = Request::consume_body(request, received_reader);
    let (mut to, to_reader) = wit_stream::new::<u8>();
    let (end, end_reader) = wit_future::new::<End>(|| Ok(None));
    wit_bindgen::spawn_local(async move {
        let mut left = BODY_BYTES;
        loop {
            let (status, chunk) = from.read(Vec::with_capacity(64 * 1024)).await;
            match left.checked_sub(u64::try_from(chunk.len()).unwrap_or(u64::MAX)) {
                Some(rest) => left = rest,
                None => {
                    too_large.set(true);
                    drop(to);
                    // Who does not wait for the end knows it already.
                    let _ = end.write(Err(ErrorCode::HttpRequestBodySize(Some(BODY_BYTES)))).await;
                    return;
                }
            }
            // What is left over, nobody reads any more.
            let unread = to.write_all(chunk).await;
            if !unread.is_empty() || !matches!(status, StreamResult::Complete(_)) {
                break;
            }
        }
        drop((from, to));
        let whole = trailers.await;
        let _ = end.write(whole).await;
        drop(received);
    });
    (to_reader, end_reader)
}

/// Calls the function. If its time passes, it goes on, and the client hears no more of it.
async fn within(deadline_ms: u64, method: String, request: Request) -> Result<Response, Problem> {
    let (answered, answer) = oneshot::channel();
    wit_bindgen::spawn_local(async move {
        let response = match method.as_str() {
            "GET" => on_get::handle(request).await,
            "POST" => on_post::handle(request).await,
            "PUT" => on_put::handle(request).await,
            "PATCH" => on_patch::handle(request).await,
            "DELETE" => on_delete::handle(request).await,
            other => Err(ErrorCode::InternalError(Some(format!("no function is called by {other}")))),
        };
        // An answer that comes too late is dropped here.
        let _ = answered.send(response);
    });
    match select(answer, Box::pin(clock::sleep_ms(deadline_ms))).await {
        Either::Left((Ok(Ok(response)), _)) => Ok(response),
        Either::Left((Ok(Err(error)), _)) => {
            eprintln!("the function did not answer: {error:?}");
            Err(Problem::no_answer())
        }
        Either::Left((Err(_), _)) => Err(Problem::no_answer()),
        Either::Right(_) => Err(Problem::deadline()),
    }
}

/// Has done what the request left behind, after the answer.
fn nudge(state: &State) {
    let Some(timer) = state.settings.timer.clone() else { return };
    wit_bindgen::spawn_local(async move {
        if let Err(error) = adapter_guest::call(&timer).await {
            eprintln!("what waits is done after the next request: {error}");
        }
    });
}

/// The function's answer as it leaves: without what belongs to a connection, with our headers.
fn leave(response: Response, request_id: &str, started_ns: u64) -> Result<Response, ErrorCode> {
    let status = response.get_status_code();
    let mut lines = response.get_headers().copy_all();
    lines.retain(|(name, _)| headers::is_answered(name));
    dress(&mut lines, request_id, started_ns);
    let (received, received_reader) = wit_future::new::<Result<(), ErrorCode>>(|| Ok(()));
    drop(received);
    let (contents, end) = Response::consume_body(response, received_reader);
    respond(status, &lines, Some(contents), end)
}

fn respond(
    status: u16,
    lines: &[Header],
    contents: Option<StreamReader<u8>>,
    end: FutureReader<End>,
) -> Result<Response, ErrorCode> {
    let fields = Fields::from_list(lines)
        .map_err(|error| ErrorCode::InternalError(Some(format!("response headers: {error:?}"))))?;
    let (response, _sent) = Response::new(fields, contents, end);
    let status_set = response.set_status_code(status);
    status_set.map_err(|()| ErrorCode::InternalError(Some(format!("{status} is no status code"))))?;
    Ok(response)
}

fn line(name: &str, value: &str) -> Header {
    (name.to_owned(), value.as_bytes().to_vec())
}

/// Our headers: those that tell of the request always, those that restrain a browser unless the function has its own.
fn dress(lines: &mut Vec<Header>, request_id: &str, started_ns: u64) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("content-security-policy", "frame-ancestors 'none'"),
        ("referrer-policy", "no-referrer"),
    ] {
        if !lines.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            lines.push(line(name, value));
        }
    }
    lines.push(line("x-request-id", request_id));
    let microseconds = monotonic_clock::now().saturating_sub(started_ns) / 1_000;
    let (milliseconds, rest) = (microseconds / 1_000, microseconds % 1_000);
    lines.push(line("x-response-time", &format!("{milliseconds}.{rest:03}ms")));
}
