//! What of a checkpoint is the publisher's.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::data::{Epoch, ObjectId};
use crate::error::Result;
use crate::store::Version;

use super::super::checkpoint::{HistoryImage, PublishedImage, ShownImage, SourceErrors};
use super::super::message::NewView;
use super::super::shared::Entry;
use super::errors::Errors;
use super::history::History;
use super::view::View;
use super::{Publisher, Table};

impl Publisher {
    /// A quiet moment: copies everything, but what histories had until an epoch.
    pub(super) fn capture(&mut self, above: Epoch) -> Result<PublishedImage> {
        let mut image = PublishedImage::default();
        for (id, view) in self.views.iter_mut().filter(|(_, view)| view.left.is_none()) {
            image.views.insert(*id, view.image(above)?);
        }
        for (id, table) in &self.tables {
            if let Some(history) = &table.history {
                image.tables.insert(*id, history.image(above));
            }
        }
        for (id, (name, errors)) in &self.source_errors {
            let (stamp, book) = errors.image();
            let missing = self.missing.get(id).cloned().unwrap_or_default();
            let errors = (stamp, Arc::new(book));
            image.source_errors.insert(*id, SourceErrors { name: name.to_string(), missing, errors });
        }
        image.left = self.sinks_left();
        Ok(image)
    }

    pub(super) fn restore_view(&mut self, new: NewView, shown: ShownImage) -> Result<()> {
        let mut view = View::restored(new, shown, &self.config.memory)?;
        let (version, errors) = (view.store.seal()?, u64::try_from(view.errors.standing).unwrap_or(0));
        self.objects.insert(view.id, Entry { version, errors, left: None });
        self.views.insert(view.id, view);
        Ok(())
    }

    pub(super) fn restore_table(&mut self, id: ObjectId, name: &str, version: Version, history: Option<HistoryImage>) {
        self.tables.insert(id, Table { name: name.into(), history: history.map(History::restored) });
        self.objects.insert(id, Entry { version, errors: 0, left: None });
    }

    /// Takes all view stores apart and puts them together again.
    pub(super) fn restart(&mut self) -> Result<()> {
        for view in self.views.values_mut() {
            view.store = view.store.rebuilt()?;
            view.operators.clear();
            if let Some(entry) = self.objects.get_mut(&view.id) {
                entry.version = view.store.seal()?;
            }
        }
        self.show();
        Ok(())
    }

    pub(super) fn restore_errors(&mut self, all: BTreeMap<ObjectId, SourceErrors>) {
        for (id, SourceErrors { name, missing, errors }) in all {
            self.source_errors.insert(id, (name.into(), Errors::restored(errors.0, &errors.1)));
            Arc::make_mut(&mut self.missing).insert(id, missing);
        }
    }
}
