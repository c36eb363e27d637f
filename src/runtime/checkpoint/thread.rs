//! The thread that writes images down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded, unbounded};

use crate::checkpoint::{Objects, Owner};
use crate::config::STOP_CHECKPOINT_S;
use crate::error::Result;

use super::image::Image;
use super::load::Checkpoint;
use super::write::{Writing, Written};

/// Writes one image after the other.
pub(in crate::runtime) struct Checkpointer {
    queue: Option<Sender<Image>>,
    thread: Option<JoinHandle<()>>,
    /// Tells the thread not to try again, when it is gone.
    running: Option<Sender<()>>,
    state: Arc<State>,
}

/// What is said of the thread, and to it.
#[derive(Default)]
pub(super) struct State {
    /// Writing has failed, and is tried again.
    pub(super) failing: AtomicBool,
    /// Nobody waits for it any more: it writes no more checkpoints.
    pub(super) left: AtomicBool,
}

impl Checkpointer {
    /// Goes on behind what was loaded. `told` is called, by the thread, with every image that was written: `None` when it
    /// is no checkpoint yet, because some state has not been copied as a whole.
    pub(in crate::runtime) fn start(
        objects: Arc<dyn Objects>,
        owner: Owner,
        loaded: Option<&Checkpoint>,
        told: impl Fn(Option<Written>) + Send + 'static,
    ) -> Result<Self> {
        let (queue, images) = unbounded();
        let ((running, stopping), state) = (bounded(0), Arc::new(State::default()));
        let mut writing = Writing::begin(objects, owner, loaded, stopping, Arc::clone(&state))?;
        let thread =
            std::thread::Builder::new().name("checkpoint".into()).spawn(move || writing.run(&images, &told))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), running: Some(running), state })
    }

    /// Hands an image over; the one before must have been written.
    pub(in crate::runtime) fn write(&self, image: Image) {
        if let Some(queue) = &self.queue {
            // A thread that has ended has said why.
            let _ = queue.send(image);
        }
    }

    /// Whether writing has failed, and is tried again.
    pub(in crate::runtime) fn is_failing(&self) -> bool {
        self.state.failing.load(Ordering::Acquire)
    }

    /// What was handed over is written, unless that fails, or takes longer.
    pub(in crate::runtime) fn end(mut self, until: Instant) {
        self.end_by(until);
    }

    fn end_by(&mut self, until: Instant) {
        self.running = None;
        self.queue = None;
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.state.left.store(true, Ordering::Release);
        if !thread.is_finished() {
            tracing::warn!("the last checkpoint is not waited for any longer: the next start reads the log back");
        } else if thread.join().is_err() {
            tracing::error!("the thread that writes checkpoints panicked");
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.end_by(Instant::now() + Duration::from_secs(STOP_CHECKPOINT_S));
    }
}
