//! REBUILD .. FROM: rows of windows that are over come from the view whose place a view takes.

use std::time::Instant;

use crate::data::{Changes, Epoch};
use crate::error::Result;

use super::super::KeptWindows;
use super::Publisher;
use super::expiry::retractions;
use super::history::History;
use super::view::View;

impl Publisher {
    /// A quiet moment: a view has these rows of some windows, whatever it had of them.
    pub(super) fn keep(&mut self, kept: &KeptWindows, rows: Vec<Changes>) -> Result<()> {
        let epoch = self.published;
        let Some(view) = self.views.get_mut(&kept.view) else { return Ok(()) };
        view.keep(kept, rows, epoch)?;
        if let Some(entry) = self.objects.get_mut(&kept.view) {
            entry.version = view.store.seal()?;
        }
        self.show();
        Ok(())
    }
}

impl View {
    fn keep(&mut self, kept: &KeptWindows, rows: Vec<Changes>, epoch: Epoch) -> Result<()> {
        let gone = self.store.take_out_where(0..u64::MAX, |rows| kept.has(rows))?;
        for changes in &rows {
            let first = self.store.insert(&changes.rows)?;
            if let Some(calendar) = &mut self.calendar {
                calendar.note(changes, first..first + changes.len() as u64)?;
            }
        }
        // Nobody is told: no change of an input explains it.
        let silent = gone.into_iter().map(retractions).chain(rows).collect();
        History::add_both(&mut self.history, epoch, Instant::now(), vec![], silent);
        Ok(())
    }
}
