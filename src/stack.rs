//! Stacks for deep statements: parsing, planning and evaluating an expression recurse once per level of it.
//!
//! How deep a statement may be is bounded where it is parsed (54001); here it is seen to that a thread's stack is
//! enough for that, whatever the thread.
//!
//! Uses: config

use std::future::Future;
use std::pin::pin;

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::config::{STACK_BYTES, STACK_LEFT_BYTES};

/// A text shorter than this is not deep enough to need more than [`STACK_LEFT_BYTES`].
const SHORT: usize = 1000;

/// A text longer than this may take long to plan.
const QUICK: usize = 200;

/// Does some work that recurses as deep as the statement `text` is, on a stack that is large enough.
///
/// A thread of the runtime that is busy with a long text hands its other work to another thread meanwhile: else nobody
/// might look at the other connections until it is done.
pub fn for_text<T>(text: &str, work: impl FnOnce() -> T) -> T {
    let left = if text.len() < SHORT { STACK_LEFT_BYTES } else { STACK_BYTES };
    let work = || stacker::maybe_grow(left, STACK_BYTES, work);
    let many_threads = || Handle::try_current().is_ok_and(|h| h.runtime_flavor() == RuntimeFlavor::MultiThread);
    if text.len() > QUICK && many_threads() { tokio::task::block_in_place(work) } else { work() }
}

/// Polls a future that does such work.
pub async fn polled_for_text<F: Future>(text: &str, future: F) -> F::Output {
    let mut future = pin!(future);
    std::future::poll_fn(|context| for_text(text, || future.as_mut().poll(context))).await
}

/// Evaluates expressions of a running view.
pub fn for_evaluation<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(STACK_LEFT_BYTES / 4, STACK_BYTES, work)
}
