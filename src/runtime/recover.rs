//! From a log that was read back to a running sequencer.
//!
//! * Readers go on where the log has them; rows that they had read ahead are admitted next.
//! * A view whose creation is in the log and which had not joined is filled anew.
//! * Late rows that were to be written back, and are not in the log yet, are written now.
//! * Epochs go on behind the log's last: none that was not durable was ever shown.

use crate::data::{Epoch, ObjectId};
use crate::error::Result;
use crate::log::{Ddl, DurableLog, LogFiles, LogNews, NoLog};

use super::Spec;
use super::message::{Message, Publish};
use super::replay::{self, ReadAgain};
use super::sequencer::Sequencer;

/// Reads the log back and goes on with it.
pub(super) fn run(
    sequencer: &mut Sequencer,
    log: LogFiles,
    rebuild: impl FnMut(&Ddl) -> Result<Option<Spec>>,
) -> Result<()> {
    // What is read back is there already.
    sequencer.log = Box::new(NoLog);
    let readers = replay::run(sequencer, &log, rebuild)?;
    let (inbox, publisher) = (sequencer.shared.inbox.clone(), sequencer.shared.publisher.clone());
    let log = DurableLog::start(log, move |news| {
        if let LogNews::Durable(_, epoch) = news {
            let _ = publisher.send(Publish::Durable(epoch));
        }
        let _ = inbox.send(Message::Log(news));
    })?;
    sequencer.log = Box::new(log);
    // Everything until now is.
    let last = Epoch(sequencer.next_epoch.0 - 1);
    let _ = sequencer.shared.publisher.send(Publish::Durable(last));
    sequencer.shared.acknowledge(last);
    sequencer.go_on(readers)
}

impl Sequencer {
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
}
