//! Who reads what.

use crate::data::ObjectId;

use super::Sequencer;

impl Sequencer {
    /// The views on the clock that an epoch with these inputs concerns.
    pub(super) fn concerned(&self, touched: &[ObjectId]) -> Vec<ObjectId> {
        let on_clock = self.views.iter().filter(|(_, v)| v.is_published());
        on_clock.filter(|(_, v)| touched.iter().any(|t| v.reads.contains(t))).map(|(id, _)| *id).collect()
    }

    /// The views on the clock that read a source, through others too.
    pub(in crate::runtime) fn readers(&self, source: ObjectId) -> Vec<ObjectId> {
        let readers = self.views.iter().filter(|(_, v)| v.is_running() && v.reads.contains(&source));
        readers.map(|(id, _)| *id).collect()
    }

    /// Whether everything that a view reads is there.
    pub(in crate::runtime) fn can_read(&self, view: ObjectId) -> bool {
        let Some(state) = self.views.get(&view) else { return false };
        let is_there = |object: &ObjectId| match self.views.get(object) {
            Some(upstream) => upstream.is_running(),
            None => !self.away.contains_key(object),
        };
        state.reads.iter().all(|source| !self.is_lost(*source)) && state.direct.iter().all(is_there)
    }

    /// Whether a view on the clock names this object.
    pub(super) fn is_read(&self, object: ObjectId) -> bool {
        self.views.values().any(|v| v.is_published() && v.names(object))
    }

    /// Whether any view, joined or not, names this source.
    pub(super) fn is_wanted(&self, object: ObjectId) -> bool {
        let is_archived = self.feeds.get(&object).is_some_and(|feed| feed.archive.is_some());
        is_archived || self.views.values().any(|v| v.names(object))
    }
}
