//! From a checkpoint, and a log that was read back, to a running sequencer.
//!
//! * What the log has is made durable before anything is made of it: sinks write it outside.
//! * A source that is not what it was, or is gone, does not keep the rest from starting: the views that read it are away
//!   from the clock (55000) until a later start finds it as it was.
//! * Readers go on where the log has them; rows that they had read ahead are admitted next.
//! * A view that is paused at the end of the log, or is to be, is not computed, nor are those that read it; nor is what a
//!   view was before it left the clock for the last time.
//! * A view whose creation is in the log and which had not joined is filled anew.
//! * Late rows that were to be written back, and are not in the log yet, are written now.
//! * An epoch of which the log has the changes of the catalog, and not its own record, is closed at once.
//! * Epochs go on behind the log's last: none that was not durable was ever shown.

use std::sync::Arc;

use crate::checkpoint::{Objects, Owner};
use crate::data::{Epoch, ObjectId};
use crate::error::{Error, Result, SqlState};
use crate::log::{Ddl, JoinRecord, LogFiles, LogNews, NoLog, OpenLog, Position};

use super::ingest::From;
use super::lookout::Ahead;
use super::message::{Message, Publish};
use super::replay::{self, ReadAgain};
use super::sequencer::{Sequencer, start_reader};
use super::{Checkpoint, Spec};

/// Begins with a checkpoint, reads the log back that follows it, and goes on with both.
pub(super) fn run(
    sequencer: &mut Sequencer,
    log: LogFiles,
    kept: Option<Kept>,
    poisoned: Vec<(ObjectId, String)>,
    mut rebuild: impl FnMut(&Ddl) -> Result<Option<Spec>>,
) -> Result<()> {
    // What is read back is there already.
    sequencer.log = Box::new(NoLog);
    sequencer.recovering = true;
    sequencer.idle = poisoned.into_iter().map(|(view, reason)| (view, Some(reason))).collect();
    // Sinks write what is read back.
    let open = OpenLog::open(&log)?;
    let mut ahead = Ahead::of(&log)?;
    sequencer.leave_idle(std::mem::take(&mut ahead.idle));
    let lost =
        kept.iter().filter_map(|kept| kept.newest.as_ref()).flat_map(Checkpoint::lost).copied().collect::<Vec<_>>();
    if let Some(Kept { objects, owner, mut newest }) = kept {
        sequencer.keep_checkpoints(objects, owner, newest.as_ref())?;
        if let Some(checkpoint) = &mut newest {
            sequencer.restore(checkpoint, |view| ahead.is_in_vain(view), &mut rebuild)?;
        }
    }
    let readers = replay::run(sequencer, &log, ahead, rebuild)?;
    let (inbox, publisher) = (sequencer.shared.inbox.clone(), sequencer.shared.publisher.clone());
    let log = open.start(log, move |news| {
        if let LogNews::Durable { epoch, .. } = news {
            let _ = publisher.send(Publish::Durable(epoch));
        }
        let _ = inbox.send(Message::Log(news));
    })?;
    sequencer.log = Box::new(log);
    // Everything until now is.
    let last = Epoch(sequencer.next_epoch.0 - 1);
    let (reply, shown) = crossbeam_channel::bounded(1);
    let _ = sequencer.shared.publisher.send(Publish::Durable(last));
    // Also when it is that in which a view joined which is paused now.
    let _ = sequencer.shared.publisher.send(Publish::Restored(last));
    let _ = sequencer.shared.publisher.send(Publish::Recovered(reply));
    shown.recv().map_err(|_| Error::internal("the publisher is gone"))?;
    sequencer.shared.acknowledge(last);
    sequencer.pause_idle()?;
    sequencer.recovering = false;
    sequencer.begin_checkpoints();
    sequencer.shared.sinks.all().iter().for_each(|sink| sink.recovered(last, &lost));
    sequencer.go_on(readers)?;
    sequencer.end_open()
}

/// Where checkpoints are kept, and the newest one.
pub struct Kept {
    /// Where they are.
    pub objects: Arc<dyn Objects>,
    /// Who writes more of them.
    pub owner: Owner,
    /// The one to begin with.
    pub newest: Option<Checkpoint>,
}

impl Sequencer {
    /// Whether a source could not be read back.
    pub(super) fn is_lost(&self, source: ObjectId) -> bool {
        self.lost.contains_key(&source)
    }

    /// A source cannot be read back: the views that read it do not show `epoch`, nor what follows.
    ///
    /// Errors: the same error, unless a server starts: a replay has to be the same.
    pub(super) fn lose(&mut self, source: ObjectId, epoch: Epoch, error: Error) -> Result<()> {
        if !self.recovering {
            return Err(error);
        }
        self.note_lost(source, &error);
        self.quiesce()?;
        let readers = self.readers(source);
        self.leave_clock(epoch, &readers)?;
        self.strand();
        Ok(())
    }

    pub(super) fn note_lost(&mut self, source: ObjectId, error: &Error) {
        let name = self.feeds.get(&source).map_or_else(String::new, |feed| feed.name.clone());
        tracing::error!("source \"{name}\" cannot be read back, and the views that read it are not shown: {error}");
        self.lost.insert(source, error.clone());
        if let Some(feed) = self.feeds.get_mut(&source) {
            feed.lost = Some(error.clone());
        }
    }

    /// A source that had failed goes on: nothing is missing any more.
    pub(super) fn went_on(&self, source: ObjectId, went_on: bool) {
        if went_on {
            let _ = self.shared.publisher.send(Publish::WentOn(source));
        }
    }

    /// A view joins as the log says, unless what it reads is lost.
    pub(super) fn rejoin(&mut self, join: JoinRecord, sources: &mut ReadAgain) -> Result<()> {
        let view = join.view;
        if !self.recovering {
            return self.replay_join(join, sources);
        }
        self.quiesce()?;
        self.reinstall(view)?;
        if !self.is_idle(view) && !self.can_read(view) {
            return self.leave_out(view);
        }
        let ranges: Vec<ObjectId> = join.caught_up.iter().map(|range| range.partition.source).collect();
        let joined = if self.is_idle(view) { self.join_idle(&join, sources) } else { self.replay_join(join, sources) };
        match joined {
            Err(error) if !ranges.is_empty() => {
                for source in ranges {
                    self.note_lost(source, &error);
                }
                self.leave_out(view)
            }
            joined => joined,
        }
    }

    fn leave_out(&mut self, view: ObjectId) -> Result<()> {
        let message = "a source that the view reads could not be read back when the server started";
        let error = Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message);
        self.give_up(view, Some(error))?;
        self.strand();
        Ok(())
    }

    /// The log may end between what made an object, or changed a table, and the epoch that shows it: that epoch comes now,
    /// and whoever asks waits for it.
    fn end_open(&mut self) -> Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        let epoch = self.next_epoch;
        self.close()?;
        self.shared.acknowledge(epoch);
        Ok(())
    }

    /// Reads and decides again.
    fn go_on(&mut self, mut readers: ReadAgain) -> Result<()> {
        let feeds: Vec<ObjectId> = self.feeds.keys().copied().collect();
        for id in feeds {
            let is_unread_table = self.feeds.get(&id).is_some_and(|feed| feed.is_table && !feed.is_open());
            if is_unread_table {
                self.open_feed(id)?;
            } else {
                self.resume_feed(id, &mut readers)?;
            }
        }
        self.resume_views()
    }

    /// The log was read back: its readers go on, those of sources where they are, those of tables where the log has them.
    fn resume_feed(&mut self, id: ObjectId, readers: &mut ReadAgain) -> Result<()> {
        let Some(feed) = self.feeds.get(&id) else { return Ok(()) };
        let mut queues = Vec::new();
        for (index, part) in feed.parts.iter().enumerate().filter(|(_, p)| !p.ended && p.queue.is_none()) {
            let from = match readers.remove(&part.clock.partition) {
                Some(reader) if !feed.connector.is_paced() => From::Reader(reader),
                _ if feed.connector.replayable() => From::Position(part.position),
                _ => From::Position(Position::default()),
            };
            queues.push((index, start_reader(&self.config, &self.shared, feed, index as u32, from)?));
        }
        for (index, queue) in queues {
            if let Some(part) = self.feeds.get_mut(&id).and_then(|feed| feed.parts.get_mut(index)) {
                part.queue = Some(queue);
                part.touch();
            }
        }
        Ok(())
    }
}
