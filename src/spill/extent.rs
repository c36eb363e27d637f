//! [`Extent`]: rows on disk that are read together.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;

use super::{Memory, failed};
use crate::error::{Error, Result};

/// One record batch in a file of its own, which goes with it.
#[derive(Debug)]
pub struct Extent {
    path: PathBuf,
    rows: usize,
    bytes: u64,
}

impl Extent {
    /// Writes rows.
    ///
    /// Errors: `53100`, `58030` of the disk.
    pub fn write(memory: &Memory, rows: &RecordBatch) -> Result<Self> {
        let path = memory.place()?;
        // From here on it is removed whatever happens.
        let mut extent = Self { path, rows: rows.num_rows(), bytes: 0 };
        extent.bytes = extent.fill(rows)?;
        Ok(extent)
    }

    fn fill(&self, rows: &RecordBatch) -> Result<u64> {
        let failed = |error: &std::io::Error| failed("could not move rows out of memory", error);
        let file = File::create(&self.path).map_err(|error| failed(&error))?;
        let mut writer = FileWriter::try_new(BufWriter::new(file), &rows.schema())?;
        writer.write(rows)?;
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
        let failed = |error: &std::io::Error| failed("could not read rows that were moved out of memory", error);
        let file = File::open(&self.path).map_err(|error| failed(&error))?;
        let mut reader = FileReader::try_new(BufReader::new(file), None)?;
        match reader.next() {
            Some(rows) => Ok(rows?),
            None => Err(Error::internal("rows that were moved out of memory are gone")),
        }
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        // What is left is removed with the folder.
        let _ = std::fs::remove_file(&self.path);
    }
}
