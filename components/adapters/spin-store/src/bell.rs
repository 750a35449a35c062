//! One call wakes another of the same instance. To the host calls are tasks, each of which sleeps until something of its
//! own happens: here each that sleeps has a stream of its own, and who wakes it writes to that.
//!
//! wit-bindgen's feature `inter-task-wakeup` does the same for all tasks of a component. It is not used, since one build
//! has one set of features, and all functions would have such a stream.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use wit_bindgen::StreamOps;
use wit_bindgen::rt::async_support::raw_stream_new;

/// Drives a future that other calls of this instance may wake.
pub(crate) async fn wakeable<F: Future>(future: F) -> F::Output {
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut future = pin!(future);
    let mut go_on = |context: &mut Context<'_>| {
        bell.is_woken.store(false, Relaxed);
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        let again = bell.is_woken.load(Relaxed);
        if polled.is_pending() && again {
            // By itself: everything else goes on once, and then this.
            context.waker().wake_by_ref();
        }
        (polled, again)
    };
    // Most calls answer without having slept.
    let first = poll_fn(|context| match go_on(context) {
        (Poll::Ready(answer), _) => Poll::Ready(Some(answer)),
        (Poll::Pending, true) => Poll::Pending,
        (Poll::Pending, false) => Poll::Ready(None),
    });
    if let Some(answer) = first.await {
        return answer;
    }
    // SAFETY: the functions of `Unit` are those of a stream without values.
    let (writer, mut reader) = unsafe { raw_stream_new(Unit) };
    bell.stream.store(writer.handle(), Relaxed);
    let _silent = Silent(&bell);
    loop {
        let mut rings = pin!(reader.read(Vec::with_capacity(1)));
        let woken = poll_fn(|context| {
            bell.is_armed.store(false, Relaxed);
            match go_on(context) {
                (Poll::Ready(answer), _) => return Poll::Ready(Some(answer)),
                (Poll::Pending, true) => return Poll::Pending,
                (Poll::Pending, false) => {}
            }
            if rings.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            bell.is_armed.store(true, Relaxed);
            Poll::Pending
        });
        if let Some(answer) = woken.await {
            return answer;
        }
        bell.has_rung.store(false, Relaxed);
    }
}

#[derive(Debug, Default)]
struct Bell {
    is_woken: AtomicBool,
    /// The task sleeps, and reads its stream.
    is_armed: AtomicBool,
    /// It was written to, and the task has not seen it yet.
    has_rung: AtomicBool,
    stream: AtomicU32,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Relaxed);
        if self.is_armed.swap(false, Relaxed) && !self.has_rung.swap(true, Relaxed) {
            // SAFETY: the stream is there as long as the bell is armed, and is being read: this ends at once.
            unsafe { write(self.stream.load(Relaxed), std::ptr::null(), 1) };
        }
    }
}

/// Nobody rings a bell whose stream is gone.
struct Silent<'a>(&'a Bell);

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        self.0.is_armed.store(false, Relaxed);
        self.0.has_rung.store(true, Relaxed);
    }
}

#[cfg(target_arch = "wasm32")]
#[link(wasm_import_module = "$root")]
unsafe extern "C" {
    #[link_name = "[stream-new-unit]"]
    fn new() -> u64;
    #[link_name = "[async-lower][stream-write-unit]"]
    fn write(stream: u32, value: *const u8, amount: usize) -> u32;
    #[link_name = "[async-lower][stream-read-unit]"]
    fn read(stream: u32, value: *mut u8, amount: usize) -> u32;
    #[link_name = "[stream-cancel-read-unit]"]
    fn cancel_read(stream: u32) -> u32;
    #[link_name = "[stream-cancel-write-unit]"]
    fn cancel_write(stream: u32) -> u32;
    #[link_name = "[stream-drop-readable-unit]"]
    fn drop_readable(stream: u32);
    #[link_name = "[stream-drop-writable-unit]"]
    fn drop_writable(stream: u32);
}

/// A stream of the component model without values.
#[derive(Clone, Copy)]
struct Unit;

// SAFETY: each function is that of the component model for a `stream` without values, of which nothing is in memory.
unsafe impl StreamOps for Unit {
    type Payload = ();

    fn new(&mut self) -> u64 {
        unsafe { new() }
    }
    fn elem_layout(&self) -> std::alloc::Layout {
        std::alloc::Layout::new::<()>()
    }
    fn native_abi_matches_canonical_abi(&self) -> bool {
        true
    }
    fn contains_lists(&self) -> bool {
        false
    }
    unsafe fn lower(&mut self, (): (), _: *mut u8) {}
    unsafe fn dealloc_lists(&mut self, _: *mut u8) {}
    unsafe fn lift(&mut self, _: *mut u8) -> Self::Payload {}
    unsafe fn start_write(&mut self, stream: u32, value: *const u8, amount: usize) -> u32 {
        unsafe { write(stream, value, amount) }
    }
    unsafe fn start_read(&mut self, stream: u32, value: *mut u8, amount: usize) -> u32 {
        unsafe { read(stream, value, amount) }
    }
    unsafe fn cancel_read(&mut self, stream: u32) -> u32 {
        unsafe { cancel_read(stream) }
    }
    unsafe fn cancel_write(&mut self, stream: u32) -> u32 {
        unsafe { cancel_write(stream) }
    }
    unsafe fn drop_readable(&mut self, stream: u32) {
        unsafe { drop_readable(stream) }
    }
    unsafe fn drop_writable(&mut self, stream: u32) {
        unsafe { drop_writable(stream) }
    }
}
