//! How long a system takes to bring all sagas to their end that were in flight when it was killed: kill -9 under load,
//! start again, and ask for each of them under its key until it has its right answer. What was acknowledged before
//! must still be so.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hyper::StatusCode;
use weft_tests::http::{Client, Response};
use weft_tests::wait::eventually;

use crate::load::Exchange;
use crate::sagas::system::{Door, Saga, System};

/// Sagas that have ended before the system is killed.
const ENDED: usize = 100;

/// What one client has seen until the system was killed.
#[derive(Default)]
struct Seen {
    acknowledged: Vec<Saga>,
    cut_off: Option<Saga>,
}

/// From the start after the kill to the answer of the last saga that was in flight.
///
/// # Errors
/// If a saga is lost, or has another answer than it should have.
pub fn measure(system: &mut dyn System, door: Door, in_flight: usize) -> anyhow::Result<Duration> {
    let seen = load_and_kill(system, door, in_flight)?;
    let begin = Instant::now();
    system.start()?;
    let base = base(system)?;
    let (cut_off, acknowledged): (Vec<_>, Vec<_>) =
        seen.into_iter().map(|seen| (seen.cut_off, seen.acknowledged)).unzip();
    let cut_off: Vec<Saga> = cut_off.into_iter().flatten().collect();
    if cut_off.is_empty() {
        bail!("no saga was in flight when the system was killed");
    }
    all_at_once(&base, door, cut_off)?;
    let took = begin.elapsed();
    let client = Client::new(&base);
    for saga in acknowledged.into_iter().flatten() {
        let exchange = saga.exchange(door);
        let answer = send(&client, &exchange).context("a saga that had ended before the kill")?;
        right(&exchange, &answer).context("a saga that had ended before the kill")?;
    }
    Ok(took)
}

/// Each client asks for one saga after another until it gets no answer any more.
fn load_and_kill(system: &mut dyn System, door: Door, in_flight: usize) -> anyhow::Result<Vec<Seen>> {
    let base = base(system)?;
    let (ended, wait) = mpsc::channel();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..in_flight)
            .map(|_| {
                let (ended, base) = (ended.clone(), &base);
                scope.spawn(move || until_cut_off(base, door, &ended))
            })
            .collect();
        drop(ended);
        // Fewer only if all clients have failed, which they say themselves.
        let _ = wait.iter().take(ENDED).count();
        system.kill();
        let seen = clients.into_iter().map(|client| client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?);
        seen.collect()
    })
}

fn until_cut_off(base: &str, door: Door, ended: &mpsc::Sender<()>) -> anyhow::Result<Seen> {
    let client = Client::new(base);
    let mut seen = Seen::default();
    for number in 0.. {
        let saga = Saga::new(number);
        let exchange = saga.exchange(door);
        match send(&client, &exchange) {
            Ok(answer) if answer.status < 500 => right(&exchange, &answer)?,
            // Killed, or about to be.
            _ => {
                seen.cut_off = Some(saga);
                break;
            }
        }
        seen.acknowledged.push(saga);
        // Nobody waits any more once enough have ended.
        let _ = ended.send(());
    }
    Ok(seen)
}

/// Asks for all of them at the same time, again and again until they are answered.
fn all_at_once(base: &str, door: Door, sagas: Vec<Saga>) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let each = sagas.into_iter().map(|saga| {
            scope.spawn(move || {
                let (client, exchange) = (Client::new(base), saga.exchange(door));
                let answer = eventually("a saga after the restart", || match send(&client, &exchange) {
                    Ok(answer) if answer.status < 500 => Ok(answer),
                    other => Err(other.map(|answer| answer.status)),
                });
                right(&exchange, &answer).context("a saga that was in flight at the kill")
            })
        });
        let each: Vec<_> = each.collect();
        each.into_iter().try_for_each(|each| each.join().map_err(|_| anyhow::anyhow!("a saga is lost"))?)
    })
}

fn base(system: &dyn System) -> anyhow::Result<String> {
    Ok(format!("http://{}", system.server()?.address))
}

fn send(client: &Client, exchange: &Exchange) -> anyhow::Result<Response> {
    let mut request = client.request(exchange.method.as_str(), &exchange.path);
    for (name, value) in &exchange.headers {
        request = request.header(name, value);
    }
    Ok(request.body(exchange.body.to_vec()).try_send()?)
}

fn right(exchange: &Exchange, answer: &Response) -> anyhow::Result<()> {
    if !(exchange.is_right)(StatusCode::from_u16(answer.status)?, &answer.body) {
        bail!("{} {} was answered wrongly: {} {}", exchange.method, exchange.path, answer.status, answer.text());
    }
    Ok(())
}
