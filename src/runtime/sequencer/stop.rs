//! The end: what was admitted is logged and answered, what waits is refused, and a last checkpoint is taken, so that the next
//! start has no log to read back.
//!
//! It takes its time, and not too much: a view that computes for long, or a disk that refuses, is not waited for. Then the
//! log has what the checkpoint lacks.

use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use crate::config::STOP_CHECKPOINT_S;
use crate::error::Result;

use super::super::message::{Message, Publish, shut_down};
use super::sources::Feed;
use super::{Barrier, Sequencer};

/// How long the end of the runtime waits for the log to have what was admitted.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long it waits, of all that, for the views to have what was admitted.
const QUIET: Duration = Duration::from_secs(2);
/// How often it looks whether writing fails.
const LOOK: Duration = Duration::from_millis(20);

impl Sequencer {
    /// Ends.
    pub(super) fn stop(&mut self) -> Result<()> {
        for queue in self.feeds.values().flat_map(|feed| &feed.parts).filter_map(|part| part.queue.as_ref()) {
            queue.close();
        }
        for catchup in self.catchups.values_mut() {
            catchup.close();
        }
        // A start that failed has nothing to add to what it found.
        let is_last = self.config.last_checkpoint && self.keeps_checkpoints() && !self.replaying && !self.recovering;
        if !self.open.acks.is_empty() || !self.open.ddl.is_empty() || is_last && !self.open.is_empty() {
            self.close()?;
        }
        for commit in self.waiting.drain(..) {
            let _ = commit.reply.send(Err(shut_down()));
        }
        self.requests.clear();
        self.barriers.clear();
        if is_last {
            self.last_checkpoint()?;
        }
        self.feeds.values_mut().for_each(Feed::close);
        // Nobody is shown what comes now.
        let _ = self.shared.publisher.send(Publish::Shutdown);
        for view in self.views.values() {
            view.spec.graph.stop.set();
        }
        self.last_words()?;
        self.workers = None;
        Ok(())
    }

    /// Takes a checkpoint of everything, and waits until it is written.
    fn last_checkpoint(&mut self) -> Result<()> {
        let began = Instant::now();
        let end = began + Duration::from_secs(STOP_CHECKPOINT_S);
        let mut quiet = Some(began + QUIET);
        let is_asked = |barrier: &Barrier| matches!(barrier, Barrier::Checkpoint);
        while self.wants_checkpoint() && !self.log.is_full() && Instant::now() < end {
            if !self.is_writing() && !self.barriers.iter().any(is_asked) {
                self.barriers.push_back(Barrier::Checkpoint);
            }
            let was_writing = self.is_writing();
            self.pass_barrier()?;
            if self.is_writing() {
                quiet = None;
            } else if quiet.is_some_and(|quiet| quiet < Instant::now()) {
                break;
            }
            if was_writing && self.is_writing_in_vain() {
                break;
            }
            match self.inbox.recv_timeout(LOOK) {
                Ok(
                    message @ (Message::Log(_)
                    | Message::Published(_)
                    | Message::Written(_)
                    | Message::Late { .. }
                    | Message::Unlock(_)),
                ) => self.take(message)?,
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.end_checkpoints(end);
        Ok(())
    }

    /// Waits a little until everybody is told who was admitted.
    fn last_words(&mut self) -> Result<()> {
        let deadline = Instant::now() + LAST_WORDS;
        while !self.is_all_answered() && !self.log.is_full() {
            match self.inbox.recv_deadline(deadline) {
                Ok(Message::Log(news)) => self.log_news(news)?,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(())
    }
}
