//! The queue of a log and the one thread that empties it. Positions are given when a record is queued; the thread
//! takes everything queued, writes it, flushes once if anyone waits, and acknowledges all.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use futures::FutureExt;
use futures::channel::oneshot;

use weft_core::disk::DiskFile;

use super::frame::{self, FRAME_HEADER, MAX_PAYLOAD, SEGMENT_HEADER};
use super::{Appended, LogError, LogStats, MARK, Record, Shared};

/// Queued bytes at which the thread writes even though nobody waits for a flush.
const WRITE_BEHIND_BYTES: usize = 256 * 1024;

/// Where the log stood when it was opened.
pub(super) struct Start {
    pub(super) segment: u64,
    pub(super) end: u64,
}

/// Bytes that lie side by side in one segment.
#[derive(Debug)]
struct Chunk {
    segment: u64,
    position: u64,
    bytes: Vec<u8>,
    /// The segment has to be made first.
    new_segment: bool,
    /// Lengths of the records in it, in bytes; kept only for failpoints.
    records: Vec<usize>,
}

#[derive(Debug)]
struct Queue {
    chunks: Vec<Chunk>,
    /// What the thread is writing now: still readable from here.
    writing: Arc<Vec<Chunk>>,
    queued_bytes: usize,
    waiting: Vec<(u64, oneshot::Sender<Result<(), LogError>>)>,
    segment: u64,
    end: u64,
    flushed: u64,
    marked: u64,
    closing: bool,
    /// The thread waits to be woken.
    asleep: bool,
    stopped: Option<LogError>,
    stats: LogStats,
    #[cfg(test)]
    gate: Gate,
}

/// Tests decide when the thread takes what is queued, so that they run the same each time.
#[cfg(test)]
#[derive(Debug, Default)]
struct Gate {
    shut: bool,
    /// The thread writes, or answers who waited.
    busy: bool,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug)]
pub(super) struct Writer {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Inner {
    /// Wakes the thread if it waits. One that is at work looks again before it waits.
    fn wake(&self, mut queue: MutexGuard<'_, Queue>) {
        let asleep = std::mem::take(&mut queue.asleep);
        drop(queue);
        if asleep {
            self.wake.notify_one();
        }
    }

    /// Waits to be woken.
    fn wait<'a>(&self, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        queue.asleep = true;
        let mut queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        queue.asleep = false;
        queue
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    pub(super) fn start(shared: Arc<Shared>, start: Start) -> Self {
        let queue = Queue {
            chunks: Vec::new(),
            writing: Arc::default(),
            queued_bytes: 0,
            waiting: Vec::new(),
            segment: start.segment,
            end: start.end,
            flushed: start.end,
            marked: 0,
            closing: false,
            asleep: false,
            stopped: None,
            stats: LogStats::default(),
            #[cfg(test)]
            gate: Gate::default(),
        };
        let name = format!("{}-log", shared.options.name);
        let inner = Arc::new(Inner { shared, queue: Mutex::new(queue), wake: Condvar::new() });
        let running = Arc::clone(&inner);
        let spawned = std::thread::Builder::new().name(name).spawn(move || run(&running));
        let thread = match spawned {
            Ok(thread) => Some(thread),
            Err(error) => {
                inner.queue().stopped = Some(LogError::Stopped(format!("its thread cannot be started: {error}")));
                None
            }
        };
        Self { inner, thread: Mutex::new(thread) }
    }

    pub(super) fn append(&self, kind: u8, version: u8, payload: &[u8]) -> Result<Appended, LogError> {
        if payload.len() > MAX_PAYLOAD {
            return Err(LogError::TooLarge { bytes: payload.len(), limit: MAX_PAYLOAD });
        }
        let mut queue = self.inner.queue();
        if queue.closing {
            return Err(LogError::Stopped("it is closed".to_owned()));
        }
        let options = &self.inner.shared.options;
        let appended = queue.append(options.segment_bytes, options.max_queued_bytes, kind, version, payload)?;
        if queue.queued_bytes >= WRITE_BEHIND_BYTES {
            self.inner.wake(queue);
        }
        Ok(appended)
    }

    pub(super) fn flush(&self, through: u64) -> impl Future<Output = Result<(), LogError>> + Send + use<> {
        let (sender, receiver) = oneshot::channel();
        let mut queue = self.inner.queue();
        let now = if queue.flushed >= through { Some(Ok(())) } else { queue.stopped.clone().map(Err) };
        match now {
            // The receiver is here: this cannot fail.
            Some(now) => drop(sender.send(now)),
            None => {
                queue.waiting.push((through, sender));
                self.inner.wake(queue);
            }
        }
        let gone = || LogError::Stopped("its thread has ended".to_owned());
        receiver.map(move |answer| answer.unwrap_or_else(|oneshot::Canceled| Err(gone())))
    }

    /// Appends the log's own record and waits for it.
    pub(super) fn mark_durable(&self) -> Result<(), LogError> {
        let end = self.mark()?;
        futures::executor::block_on(self.flush(end))
    }

    fn mark(&self) -> Result<u64, LogError> {
        let end = self.append(MARK, 1, &[])?.end;
        self.inner.queue().marked = end;
        Ok(end)
    }

    pub(super) fn end(&self) -> u64 {
        self.inner.queue().end
    }

    pub(super) fn flushed(&self) -> u64 {
        self.inner.queue().flushed
    }

    pub(super) fn stats(&self) -> LogStats {
        self.inner.queue().stats
    }

    pub(super) fn stopped(&self) -> Option<LogError> {
        self.inner.queue().stopped.clone()
    }

    #[cfg(test)]
    pub(super) fn shut_gate(&self, shut: bool) {
        let mut queue = self.inner.queue();
        queue.gate.shut = shut;
        self.inner.wake(queue);
    }

    /// Whether nobody waits for a flush, and all who did have been answered.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        let queue = self.inner.queue();
        !queue.gate.busy && queue.waiting.is_empty()
    }

    /// The record at `position`, if it is not on disk yet.
    pub(super) fn queued(&self, position: u64) -> Option<Record> {
        let queue = self.inner.queue();
        queue.chunks.iter().chain(queue.writing.iter()).find_map(|chunk| {
            let from = usize::try_from(position.checked_sub(chunk.position)?).ok()?;
            let bytes = chunk.bytes.get(from..).filter(|bytes| !bytes.is_empty())?;
            let frame::Frame::Good { kind, version, length, .. } = frame::parse(bytes, position) else { return None };
            let payload = bytes.get(FRAME_HEADER..length)?.to_vec();
            Some(Record { position, kind, version, payload })
        })
    }

    pub(super) fn close(&self) -> Result<(), LogError> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let unmarked = {
                let queue = self.inner.queue();
                queue.marked < queue.end
            };
            if unmarked {
                // Were the log stopped, that is what is answered below.
                let _ = self.mark();
            }
            let mut queue = self.inner.queue();
            queue.closing = true;
            self.inner.wake(queue);
            if thread.join().is_err() {
                return Err(LogError::Stopped("its thread panicked".to_owned()));
            }
        }
        self.stopped().map_or(Ok(()), Err)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the log was not closed cleanly");
        }
    }
}

impl Queue {
    fn append(
        &mut self,
        segment_bytes: u64,
        max_queued_bytes: usize,
        kind: u8,
        version: u8,
        payload: &[u8],
    ) -> Result<Appended, LogError> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.clone());
        }
        let length = FRAME_HEADER + payload.len();
        if self.queued_bytes + length > max_queued_bytes && self.queued_bytes > 0 {
            return Err(LogError::Full { limit: max_queued_bytes });
        }
        let used = self.end - self.segment;
        let new_segment = used + length as u64 > segment_bytes && used > SEGMENT_HEADER as u64;
        if new_segment {
            self.segment = self.end;
            self.end += SEGMENT_HEADER as u64;
        }
        let position = self.end;
        if new_segment || self.chunks.is_empty() {
            let (bytes, records) = (Vec::new(), Vec::new());
            self.chunks.push(Chunk { segment: self.segment, position, bytes, new_segment, records });
        }
        let unflushed = u32::try_from(position - self.flushed).unwrap_or(u32::MAX);
        if let Some(chunk) = self.chunks.last_mut() {
            frame::encode(&mut chunk.bytes, position, unflushed, kind, version, payload);
            chunk.records.push(length);
        }
        self.queued_bytes += length;
        self.end += length as u64;
        if kind != MARK {
            self.stats.records += 1;
            self.stats.bytes += length as u64;
        }
        Ok(Appended { position, end: self.end })
    }
}

/// One round of the thread: what it took.
struct Batch {
    chunks: Arc<Vec<Chunk>>,
    end: u64,
    flush: bool,
}

fn take(inner: &Inner) -> Option<Batch> {
    let mut queue = inner.queue();
    loop {
        #[cfg(test)]
        {
            queue.gate.busy = false;
            if queue.gate.shut && !queue.closing {
                queue = inner.wait(queue);
                continue;
            }
        }
        let flush = !queue.waiting.is_empty() || queue.closing;
        if queue.closing && queue.flushed == queue.end {
            return None;
        }
        if flush || queue.queued_bytes >= WRITE_BEHIND_BYTES {
            let chunks = Arc::new(std::mem::take(&mut queue.chunks));
            queue.writing = Arc::clone(&chunks);
            queue.queued_bytes = 0;
            #[cfg(test)]
            {
                queue.gate.busy = true;
            }
            return Some(Batch { chunks, end: queue.end, flush });
        }
        queue = inner.wait(queue);
        // Whoever runs now may have something to add, and one flush does for all.
        drop(queue);
        std::thread::yield_now();
        queue = inner.queue();
    }
}

fn run(inner: &Inner) {
    let mut file: Option<(u64, Arc<dyn DiskFile>)> = None;
    while let Some(batch) = take(inner) {
        let done = write(&inner.shared, &batch, &mut file);
        let mut queue = inner.queue();
        queue.writing = Arc::default();
        let through = match done {
            Ok(()) if batch.flush => {
                queue.flushed = batch.end;
                queue.stats.flushes += 1;
                batch.end
            }
            Ok(()) => continue,
            Err(error) => {
                tracing::error!(%error, "the log stops");
                queue.stopped = Some(LogError::Stopped(error.to_string()));
                u64::MAX
            }
        };
        let answer = queue.stopped.clone().map_or(Ok(()), Err);
        let (ready, waiting) = std::mem::take(&mut queue.waiting).into_iter().partition(|(end, _)| *end <= through);
        queue.waiting = waiting;
        drop(queue);
        let ready: Vec<(u64, oneshot::Sender<_>)> = ready;
        for (_, sender) in ready {
            // Who waited may have gone.
            let _ = sender.send(answer.clone());
        }
        if answer.is_err() {
            return;
        }
        // Those who were answered go on, and have their next records in the next flush.
        std::thread::yield_now();
    }
}

fn write(shared: &Shared, batch: &Batch, open: &mut Option<(u64, Arc<dyn DiskFile>)>) -> Result<(), LogError> {
    for chunk in batch.chunks.iter() {
        if chunk.new_segment {
            if let Some((base, file)) = open {
                file.sync_data().map_err(|error| shared.io_error("flush", *base, &error))?;
            }
            let first = chunk.records.first().copied().unwrap_or_default();
            *open = Some((chunk.segment, shared.make_segment(chunk.segment, first as u64)?));
        }
        let file = segment(shared, chunk.segment, open)?;
        write_chunk(shared, chunk, &*file).map_err(|error| shared.io_error("write", chunk.segment, &error))?;
    }
    if batch.flush
        && let Some((base, file)) = open
    {
        hit(shared, "before-flush");
        file.sync_data().map_err(|error| shared.io_error("flush", *base, &error))?;
        hit(shared, "after-flush");
    }
    Ok(())
}

fn segment(
    shared: &Shared,
    base: u64,
    open: &mut Option<(u64, Arc<dyn DiskFile>)>,
) -> Result<Arc<dyn DiskFile>, LogError> {
    if let Some((_, file)) = open.as_ref().filter(|(opened, _)| *opened == base) {
        return Ok(Arc::clone(file));
    }
    let file = shared.segments().get(&base).cloned().ok_or(LogError::NoRecord(base))?;
    *open = Some((base, Arc::clone(&file)));
    Ok(file)
}

fn write_chunk(shared: &Shared, chunk: &Chunk, file: &dyn DiskFile) -> std::io::Result<()> {
    let mut offset = chunk.position - chunk.segment;
    if !shared.options.failpoints.is_armed() {
        return file.write_at(offset, &chunk.bytes);
    }
    let mut rest = chunk.bytes.as_slice();
    for length in &chunk.records {
        let (record, after) = rest.split_at(*length);
        file.write_at(offset, record)?;
        // The log's own records are not points of a saga.
        if record.get(8) != Some(&MARK) {
            hit(shared, "record-written");
        }
        rest = after;
        offset += *length as u64;
    }
    Ok(())
}

fn hit(shared: &Shared, point: &str) {
    let options = &shared.options;
    if options.failpoints.is_armed() {
        options.failpoints.hit(&format!("{}.{point}", options.name));
    }
}
