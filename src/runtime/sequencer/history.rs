//! Sources whose rows are archived ([`crate::archive`]): read from CREATE on, and read again by later views.

use std::sync::Arc;

use crate::archive::{Archive, History};
use crate::connectors::Connector;
use crate::data::{Changes, Epoch, EventTime};
use crate::error::Result;

use super::super::SourceSpec;
use super::super::message::Message;
use super::Sequencer;
use super::answers::Answer;
use super::epoch::OpenEpoch;
use super::sources::Feed;

impl Feed {
    /// What a later view reads, from the beginning or from the first row that is kept; `None`: rows pass only once.
    pub(in crate::runtime) fn again(&self) -> Option<Arc<dyn Connector>> {
        match &self.archive {
            _ if self.connector.replayable() => Some(Arc::clone(&self.connector)),
            Some(archive) => Some(History::of(archive, false)),
            None => None,
        }
    }
}

impl Sequencer {
    pub(in crate::runtime) fn add_source(&mut self, spec: SourceSpec) -> Result<()> {
        let (id, archive) = (spec.id, spec.archive.clone());
        self.feeds.insert(id, Feed::for_source(spec));
        let Some(archive) = archive else { return Ok(()) };
        self.watch(&archive);
        self.open_feed(id)
    }

    /// Is told when there is room in it again.
    pub(super) fn watch(&self, archive: &Archive) {
        let inbox = self.shared.inbox.clone();
        archive.on_room(move || drop(inbox.send(Message::Ingest)));
    }

    fn archives(&self) -> impl Iterator<Item = &Arc<Archive>> {
        self.feeds.values().filter_map(|feed| feed.archive.as_ref())
    }

    /// An epoch closes: its rows are to be kept. The watermarks are those before it.
    pub(super) fn archive(&self, epoch: Epoch, open: &OpenEpoch) {
        for (partition, changes) in &open.sources {
            let Some(feed) = self.feeds.get(&partition.source) else { continue };
            let (Some(archive), Some(part)) = (&feed.archive, feed.parts.get(partition.index as usize)) else {
                continue;
            };
            let rows: usize = changes.iter().map(Changes::len).sum();
            let before = self.vector.0.get(partition).map_or(EventTime::MIN, |entry| entry.watermark);
            archive.append(part.clock.rows - rows as u64, before, epoch, changes);
        }
    }

    /// An epoch is published.
    pub(super) fn archives_published(&self, epoch: Epoch) {
        self.archives().for_each(|archive| archive.published(epoch));
    }

    /// A source is dropped: its archive goes when nothing brings it back any more, and nothing needs it.
    pub(super) fn leave_archive(&mut self, feed: &Feed) {
        if let (Some(checkpoints), Some(archive)) = (&mut self.checkpoints, feed.archive.clone()) {
            checkpoints.left_archives.retain(|archive| !archive.is_gone());
            checkpoints.left_archives.push(Arc::clone(&archive));
            self.answer(Answer::Left(archive));
        }
    }

    pub(super) fn archives_have_room(&self) -> bool {
        self.archives().all(|archive| archive.has_room())
    }

    /// Those that a checkpoint relies on, and those that are told of it.
    pub(super) fn archives_of_checkpoint(&self) -> Vec<Arc<Archive>> {
        let left = self.checkpoints.iter().flat_map(|checkpoints| &checkpoints.left_archives);
        self.archives().chain(left).cloned().collect()
    }
}
