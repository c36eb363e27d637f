//! Results put aside: what groups were before the epoch that touches them.

use arrow::array::{Array, ArrayRef};
use arrow::compute::interleave;

use super::{CellError, Finished};
use crate::error::Result;

/// Results of one aggregate, by the order in which they were put aside.
#[derive(Default)]
pub struct Results {
    chunks: Vec<ArrayRef>,
    /// Per result: its chunk and its row there.
    places: Vec<(usize, usize)>,
    errors: Vec<(usize, CellError)>,
}

impl Results {
    /// Puts results aside.
    pub fn append(&mut self, results: Finished) {
        let Finished { column, errors } = results;
        let (chunk, offset) = (self.chunks.len(), self.places.len());
        self.places.extend((0..column.len()).map(|row| (chunk, row)));
        self.chunks.push(column);
        self.errors.extend(errors.into_iter().map(|(i, error)| (offset + i, error)));
    }

    /// The results put aside as the `from`-th to the `to`-th.
    pub fn get(&self, from: usize, to: usize) -> Result<Finished> {
        let errors = self.errors.iter().filter(|(i, _)| (from..to).contains(i));
        let errors = errors.map(|(i, error)| (i - from, error.clone())).collect();
        let column = match &self.chunks[..] {
            [one] => one.slice(from, to - from),
            chunks => {
                let chunks: Vec<&dyn arrow::array::Array> = chunks.iter().map(AsRef::as_ref).collect();
                interleave(&chunks, &self.places[from..to])?
            }
        };
        Ok(Finished { column, errors })
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.chunks.clear();
        self.places.clear();
        self.errors.clear();
    }
}
