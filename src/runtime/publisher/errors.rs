//! The errors that stand: what `highwater.errors` shows of one view or source.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::data::{Epoch, ObjectId};
use crate::operators::RowError;

use super::super::checkpoint::ErrorsImage;
use super::super::sequencer::READER;
use super::super::{ErrorRow, Missing};
use super::Publisher;

/// Counts an error of a source.
pub(super) fn miss(missing: &mut Missing, error: &RowError) {
    if *error.operator == *READER {
        missing.failure = Some(Arc::clone(&error.message));
    } else {
        missing.bad_records = missing.bad_records.saturating_add_signed(error.diff);
    }
}

impl Publisher {
    /// Forgets what was wrong with a source.
    pub(super) fn forget_errors(&mut self, source: ObjectId) {
        self.source_errors.remove(&source);
        if self.missing.contains_key(&source) {
            Arc::make_mut(&mut self.missing).remove(&source);
        }
    }

    /// Forgets that a source failed, and not that it had.
    pub(super) fn forget_failure(&mut self, source: ObjectId) {
        if let Some(missing) = Arc::make_mut(&mut self.missing).get_mut(&source) {
            missing.failure = None;
        }
    }
}

/// A number that no other state of anything has: what has it has not changed.
pub(in crate::runtime) fn stamp() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A Z-set of errors, the newest of which are kept with their text.
#[derive(Default)]
pub(super) struct Errors {
    /// All that stand, kept or not.
    pub(super) standing: i64,
    /// By number, ascending with age.
    kept: BTreeMap<u64, (Epoch, RowError)>,
    /// Error with diff 0 -> number.
    numbers: HashMap<RowError, u64>,
    next: u64,
    /// Another one after each change; 0 while there was none.
    stamp: u64,
}

impl Errors {
    /// All of it, and what changes with it.
    pub(super) fn image(&self) -> (u64, ErrorsImage) {
        (self.stamp, ErrorsImage { standing: self.standing, kept: self.kept.values().cloned().collect() })
    }

    /// What [`Self::image`] gave.
    pub(super) fn restored(stamp: u64, image: &ErrorsImage) -> Self {
        let mut errors = Self { standing: image.standing, stamp, ..Self::default() };
        for (number, (epoch, error)) in (0..).zip(&image.kept) {
            errors.numbers.insert(RowError { diff: 0, ..error.clone() }, number);
            errors.kept.insert(number, (*epoch, error.clone()));
            errors.next = number + 1;
        }
        errors
    }

    /// Adds the errors of one epoch; keeps `limit` different ones.
    pub(super) fn add(&mut self, epoch: Epoch, errors: Vec<RowError>, limit: usize) {
        if errors.is_empty() {
            return;
        }
        self.stamp = stamp();
        // Workers report in any order, so a retraction may come before its insertion.
        let mut net: Vec<RowError> = Vec::with_capacity(errors.len());
        let mut places: HashMap<RowError, usize> = HashMap::new();
        for mut error in errors {
            let diff = std::mem::take(&mut error.diff);
            self.standing += diff;
            match places.get(&error) {
                Some(place) => net[*place].diff += diff,
                None => {
                    places.insert(error.clone(), net.len());
                    net.push(RowError { diff, ..error });
                }
            }
        }
        for error in net.into_iter().filter(|e| e.diff != 0) {
            self.add_net(epoch, error);
        }
        while self.kept.len() > limit {
            if let Some((_, (_, mut oldest))) = self.kept.pop_first() {
                oldest.diff = 0;
                self.numbers.remove(&oldest);
            }
        }
    }

    fn add_net(&mut self, epoch: Epoch, mut error: RowError) {
        let diff = std::mem::take(&mut error.diff);
        if let Some(number) = self.numbers.get(&error) {
            if let Some((_, kept)) = self.kept.get_mut(number) {
                kept.diff += diff;
                if kept.diff == 0 {
                    self.kept.remove(number);
                    self.numbers.remove(&error);
                }
            }
        } else if diff > 0 {
            self.numbers.insert(error.clone(), self.next);
            self.kept.insert(self.next, (epoch, RowError { diff, ..error }));
            self.next += 1;
        }
        // Else it retracts one that is not kept any more: it only counts.
    }

    /// Those that are kept, oldest first.
    pub(super) fn rows(&self, view: ObjectId, name: &Arc<str>) -> impl Iterator<Item = ErrorRow> {
        let row = move |(epoch, error): &(Epoch, RowError)| ErrorRow {
            view,
            view_name: Arc::clone(name),
            epoch: *epoch,
            error: error.clone(),
        };
        self.kept.values().map(row)
    }
}
