//! Answers that wait until what they speak of is durable, in the order of the log.

use std::sync::Arc;

use tokio::sync::oneshot::Sender as Reply;

use crate::archive::Archive;
use crate::data::{Epoch, EventTime};
use crate::error::{Error, Result, SqlState};
use crate::log::{LogNews, LogPosition, Record};

use super::super::Committed;
use super::super::message::Publish;
use super::Sequencer;

/// Who is told when the records until now are durable.
pub(super) enum Answer {
    /// Those whose writes, objects or moves came with an epoch.
    Epoch {
        epoch: Epoch,
        acks: Vec<(Reply<Result<Committed>>, Committed)>,
        ddl: Vec<Reply<Result<Epoch>>>,
        advances: Vec<(Reply<Result<EventTime>>, EventTime)>,
    },
    /// Objects are gone.
    Dropped(Reply<Result<Epoch>>, Epoch),
    /// So is this archive's source.
    Left(Arc<Archive>),
    /// Something was changed.
    Changed(Reply<Result<()>>),
    /// The same, and readers see it.
    Shown(Reply<Result<()>>),
}

impl Answer {
    fn give(self, shared: &super::super::shared::Shared) {
        match self {
            Self::Epoch { epoch, acks, ddl, advances } => {
                shared.acknowledge(epoch);
                for (reply, committed) in acks {
                    let _ = reply.send(Ok(Committed { epoch, ..committed }));
                }
                for reply in ddl {
                    let _ = reply.send(Ok(epoch));
                }
                for (reply, watermark) in advances {
                    let _ = reply.send(Ok(watermark));
                }
            }
            Self::Dropped(reply, epoch) => drop(reply.send(Ok(epoch))),
            Self::Left(archive) => archive.leave(),
            Self::Changed(reply) => drop(reply.send(Ok(()))),
            Self::Shown(reply) => drop(shared.publisher.send(Publish::Answer(reply))),
        }
    }
}

impl Sequencer {
    /// Appends a record to the log.
    pub(super) fn append(&mut self, record: &Record) -> Result<()> {
        self.appended = self.log.append(record)?;
        Ok(())
    }

    /// Answers when everything appended until now is durable.
    pub(super) fn answer(&mut self, answer: Answer) {
        self.answers.push_back((self.appended, answer));
        self.give_answers(self.log.durable());
    }

    /// Whether nobody waits any more.
    pub(super) fn is_all_answered(&self) -> bool {
        self.answers.is_empty()
    }

    fn give_answers(&mut self, durable: LogPosition) {
        while self.answers.front().is_some_and(|(position, _)| *position <= durable)
            && let Some((_, answer)) = self.answers.pop_front()
        {
            answer.give(&self.shared);
        }
    }

    /// What the log's thread says.
    pub(super) fn log_news(&mut self, news: LogNews) -> Result<()> {
        match news {
            LogNews::Durable { position, bytes, took, .. } => {
                self.config.metrics.log_bytes.inc_by(bytes as u64);
                self.config.metrics.log_sync_seconds.observe(took.as_secs_f64());
                self.give_answers(position);
            }
            // What waits is looked at in the next turn.
            LogNews::Full(_) => {}
            LogNews::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether the log takes more.
    ///
    /// Errors: `53100` what is in it waits for room on the disk.
    pub(super) fn check_disk(&self) -> Result<()> {
        if !self.log.is_full() {
            return Ok(());
        }
        Err(Error::new(SqlState::DISK_FULL, "the disk of the data directory is full")
            .with_hint("free some space: writing goes on as soon as there is room"))
    }
}
