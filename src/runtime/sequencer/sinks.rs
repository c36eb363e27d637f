//! Sinks as the sequencer sees them: they begin with an epoch, and hold it back when they have too much to write.

use std::sync::Arc;

use tokio::sync::oneshot::Sender as Reply;

use crate::data::{Epoch, ObjectId};
use crate::error::{Error, Result, SqlState};

use crate::store::Store;

use super::super::SinkSpec;
use super::super::checkpoint::{Image, LeftImage, SinkImage, StoreImage};
use super::super::message::{Message, Publish};
use super::Sequencer;

impl Sequencer {
    pub(super) fn create_sink(&mut self, spec: SinkSpec, reply: Reply<Result<Epoch>>) -> Result<()> {
        let ddl = spec.ddl.clone();
        let from = self.next_epoch;
        let began = self.check_sink(&spec).and_then(|()| self.begin_sink(spec, from));
        if let Err(error) = began {
            let _ = reply.send(Err(error));
            return Ok(());
        }
        self.log_ddl(ddl, vec![])?;
        self.open.ddl.push(reply);
        Ok(())
    }

    fn check_sink(&self, spec: &SinkSpec) -> Result<()> {
        let is_running = self.views.get(&spec.input).is_some_and(|view| view.is_running());
        if !is_running && !self.tables.contains_key(&spec.input) {
            let message = "the materialized view is not running";
            return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                .with_hint("Wait until its status in highwater.views is running."));
        }
        self.check_disk()
    }

    /// The log says that a sink was created. Only a server that starts writes: one that only replays looks on.
    pub(in crate::runtime) fn sink_again(&mut self, spec: SinkSpec, from: Epoch) -> Result<()> {
        if !self.recovering {
            return Ok(());
        }
        // If the log ends here it begins with the next epoch, whether or not there is anything else to be in it.
        self.open.begins = true;
        self.begin_sink(spec, from)
    }

    fn begin_sink(&mut self, spec: SinkSpec, from: Epoch) -> Result<()> {
        let SinkSpec { id, name, input, description, .. } = spec;
        let inbox = self.shared.inbox.clone();
        // It may be that there is room again.
        let wake = Box::new(move || drop(inbox.send(Message::Ingest)));
        let sink = self.shared.sinks.start((id, input), &name, description, !self.recovering, wake)?;
        let _ = self.shared.publisher.send(Publish::AddSink { sink, input, from });
        Ok(())
    }

    /// Sinks as a checkpoint has them: what they have not written, and what they saw of relations that are away.
    pub(super) fn restore_sinks(&mut self, sinks: Vec<SinkSpec>, image: &mut Image) -> Result<()> {
        for spec in sinks {
            let (id, input) = (spec.id, spec.input);
            self.begin_sink(spec, image.epoch)?;
            let SinkImage { items, away, .. } = image.sinks.remove(&id).unwrap_or_default();
            if let Some(left) = away.or_else(|| image.left.get(&input).cloned()) {
                self.restore_left(id, input, left)?;
            }
            if let Some(sink) = self.shared.sinks.get(id) {
                items.into_iter().for_each(|(epoch, item)| sink.push(epoch, item));
                sink.advance(image.epoch);
            }
        }
        Ok(())
    }

    fn restore_left(&self, sink: ObjectId, input: ObjectId, left: LeftImage) -> Result<()> {
        let view = self.away.get(&input).map(|away| &away.spec).or(self.views.get(&input).map(|view| &view.spec));
        let rows = match (left.rows, view) {
            (Some(StoreImage { next_row, chunks }), Some(view)) => {
                let key = view.graph.key.as_deref();
                Some(Store::from_image(Arc::clone(&view.schema), key, next_row, chunks)?.seal()?)
            }
            _ => None,
        };
        let _ = self.shared.publisher.send(Publish::RestoreLeft(sink, rows, left.since));
        Ok(())
    }

    /// Objects are to be dropped at the next quiet moment: sinks among them must not hold back the epochs before it.
    pub(super) fn sinks_leave(&self, objects: &[ObjectId]) {
        objects.iter().filter_map(|id| self.shared.sinks.get(*id)).for_each(|sink| sink.leave());
    }

    /// The log is read back, and there may be no room for what follows. Sinks whose disk refuses do not keep a server from
    /// starting: they go on at a later start.
    pub(in crate::runtime) fn sinks_make_room(&self) {
        if !self.shared.sinks.has_room() {
            self.shared.sinks.give_way();
        }
    }

    /// Whether the rows that these views have as they leave the clock are of use when the log is read back: sinks go on from
    /// them.
    pub(super) fn are_kept(&self, views: &[ObjectId]) -> bool {
        !self.recovering && views.iter().any(|view| self.shared.sinks.reads(*view))
    }

    /// They are dropped.
    pub(super) fn sinks_end(&self, objects: &[ObjectId]) {
        objects.iter().filter_map(|id| self.shared.sinks.remove(*id)).for_each(|sink| sink.end());
    }
}
