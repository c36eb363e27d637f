//! [`Extent`]: rows on disk that are read together, or some of them in blocks.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::compute::{concat_batches, interleave_record_batch};
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;

use super::{Memory, failed};
use crate::data::batch_bytes;
use crate::error::{Error, Result};

/// Bytes of a block, about: what is read for one row.
const BLOCK_BYTES: usize = 128 << 10;
/// Rows of a block at least, and at most.
const BLOCK_ROWS: [usize; 2] = [16, 8192];

/// One record batch in a file of its own, which goes with it.
#[derive(Debug)]
pub struct Extent {
    path: PathBuf,
    rows: usize,
    bytes: u64,
    /// Rows of all blocks but the last.
    block: usize,
}

impl Extent {
    /// Writes rows.
    ///
    /// Errors: `53100`, `58030` of the disk.
    pub fn write(memory: &Memory, rows: &RecordBatch) -> Result<Self> {
        let path = memory.place()?;
        // From here on it is removed whatever happens.
        let blocks = batch_bytes(rows).div_ceil(BLOCK_BYTES).max(1);
        let block = rows.num_rows().div_ceil(blocks).clamp(BLOCK_ROWS[0], BLOCK_ROWS[1]);
        let mut extent = Self { path, rows: rows.num_rows(), bytes: 0, block };
        extent.bytes = extent.fill(rows)?;
        Ok(extent)
    }

    fn fill(&self, rows: &RecordBatch) -> Result<u64> {
        let failed = |error: &std::io::Error| failed("could not move rows out of memory", error);
        let file = File::create(&self.path).map_err(|error| failed(&error))?;
        let mut writer = FileWriter::try_new(BufWriter::new(file), &rows.schema())?;
        for from in (0..rows.num_rows()).step_by(self.block) {
            writer.write(&rows.slice(from, self.block.min(rows.num_rows() - from)))?;
        }
        writer.finish()?;
        let mut file = writer.into_inner()?;
        file.flush().map_err(|error| failed(&error))?;
        Ok(file.get_ref().metadata().map_err(|error| failed(&error))?.len())
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The rows.
    ///
    /// Errors: `58030` of the disk.
    pub fn read(&self) -> Result<RecordBatch> {
        let reader = FileReader::try_new(BufReader::new(self.open()?), None)?;
        let schema = reader.schema();
        let mut blocks = reader.collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(match blocks.len() {
            1 => blocks.remove(0),
            _ => concat_batches(&schema, &blocks)?,
        })
    }

    /// Some of the rows, by position, in any order.
    ///
    /// Errors: `58030` of the disk.
    pub fn take(&self, positions: &[u32]) -> Result<RecordBatch> {
        let mut reader = FileReader::try_new(self.open()?, None)?;
        let mut wanted: Vec<usize> = positions.iter().map(|position| *position as usize / self.block).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut blocks = Vec::with_capacity(wanted.len());
        for block in &wanted {
            reader.set_index(*block)?;
            let rows = reader.next().ok_or_else(|| Error::internal("rows that were moved out of memory are gone"))?;
            blocks.push(rows?);
        }
        let place = |position: &u32| {
            let (block, row) = (*position as usize / self.block, *position as usize % self.block);
            (wanted.binary_search(&block).unwrap_or_default(), row)
        };
        let places: Vec<(usize, usize)> = positions.iter().map(place).collect();
        if blocks.is_empty() {
            return Ok(RecordBatch::new_empty(reader.schema()));
        }
        Ok(interleave_record_batch(&blocks.iter().collect::<Vec<_>>(), &places)?)
    }

    fn open(&self) -> Result<File> {
        let failed = |error: &std::io::Error| failed("could not read rows that were moved out of memory", error);
        File::open(&self.path).map_err(|error| failed(&error))
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        // What is left is removed with the folder.
        let _ = std::fs::remove_file(&self.path);
    }
}
