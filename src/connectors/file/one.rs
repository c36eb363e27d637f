//! Reads one file, from a record on, in batches.

use std::fs;
use std::io::Read;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::paths::Listed;
use crate::connectors::encoding::Encoding;
use crate::error::{Error, Result, SqlState};
use crate::formats::{Align, BATCH_RECORDS_MAX, Coming, Decoded, Decoder, RecordReader};

/// A file that is being read.
pub(super) trait OneFile: Send {
    /// The next records, which may still be decoded while others are read, and their number; `None` at the end.
    fn read(&mut self) -> Result<Option<(Coming<Result<Decoded>>, u64)>>;
}

/// Opens a file behind its first `skip` records. Also the number passed over: less than `skip` if the file has less.
pub(super) fn open(
    file: &Listed,
    encoding: &Encoding,
    target: SchemaRef,
    skip: u64,
) -> Result<(Box<dyn OneFile>, u64)> {
    if matches!(encoding, Encoding::Parquet) {
        return open_parquet(file, target, skip);
    }
    let (mut records, names) = open_text(file, encoding)?;
    let skipped = records.skip(skip)?;
    let decoder = encoding.decoder(names.as_deref(), &target)?;
    Ok((Box::new(Lines { name: Arc::from(file.name.as_str()), records, decoder }), skipped))
}

/// A file of text records.
struct Lines {
    name: Arc<str>,
    records: TextRecords,
    decoder: Arc<dyn Decoder>,
}

impl OneFile for Lines {
    fn read(&mut self) -> Result<Option<(Coming<Result<Decoded>>, u64)>> {
        let records = self.records.read(BATCH_RECORDS_MAX)?;
        if records.is_empty() {
            return Ok(None);
        }
        let count = records.len() as u64;
        let (decoder, name) = (Arc::clone(&self.decoder), Arc::clone(&self.name));
        Ok(Some((Coming::start(move || decoder.decode(&records, &name)), count)))
    }
}

/// The records of a text file.
type TextRecords = RecordReader<Box<dyn Read + Send>>;

/// Opens a text file behind its header; the names in it, if there is to be one.
pub(super) fn open_text(file: &Listed, encoding: &Encoding) -> Result<(TextRecords, Option<Vec<String>>)> {
    let mut records = RecordReader::new(file.bytes()?, encoding.cut());
    if !encoding.is_headed() {
        return Ok((records, None));
    }
    let first = records.read(1)?;
    let names = if first.is_empty() { Vec::new() } else { encoding.names(first.get(0)) };
    Ok((records, Some(names)))
}

/// A Parquet file.
struct Parquet {
    name: String,
    batches: Option<ParquetRecordBatchReader>,
    align: Align,
    /// Rows read so far.
    row: u64,
}

impl OneFile for Parquet {
    fn read(&mut self) -> Result<Option<(Coming<Result<Decoded>>, u64)>> {
        let Some(batch) = self.batches.as_mut().and_then(Iterator::next) else { return Ok(None) };
        let batch = batch.map_err(|e| not_parquet(&self.name, &e))?;
        let (name, before) = (&self.name, self.row);
        let decoded = self.align.batch(&batch, |row| format!("{name}: row {}", before + row as u64 + 1))?;
        self.row += batch.num_rows() as u64;
        Ok(Some((Coming::ready(Ok(decoded)), batch.num_rows() as u64)))
    }
}

fn open_parquet(file: &Listed, target: SchemaRef, skip: u64) -> Result<(Box<dyn OneFile>, u64)> {
    let builder = parquet_builder(file)?;
    let rows = builder.metadata().file_metadata().num_rows().unsigned_abs();
    let skipped = skip.min(rows);
    let wanted = builder.schema().fields().iter().enumerate();
    let wanted = wanted.filter(|(_, field)| target.field_with_name(field.name()).is_ok()).map(|(at, _)| at);
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let batches = match skipped == rows {
        true => None,
        false => {
            let builder = builder.with_projection(mask).with_batch_size(BATCH_RECORDS_MAX);
            let builder = builder.with_offset(skipped as usize);
            Some(builder.build().map_err(|e| not_parquet(&file.name, &e))?)
        }
    };
    let reader = Parquet { name: file.name.clone(), batches, align: Align::new(target), row: skipped };
    Ok((Box::new(reader), skipped))
}

/// The columns in a Parquet file's footer.
pub(super) fn parquet_schema(file: &Listed) -> Result<SchemaRef> {
    Ok(Arc::clone(parquet_builder(file)?.schema()))
}

fn parquet_builder(file: &Listed) -> Result<ParquetRecordBatchReaderBuilder<fs::File>> {
    ParquetRecordBatchReaderBuilder::try_new(file.open()?).map_err(|e| not_parquet(&file.name, &e))
}

fn not_parquet(name: &str, error: &dyn std::fmt::Display) -> Error {
    let told = error.to_string();
    let why = match told.as_str() {
        t if t.contains("footer") || t.contains("Invalid Parquet file") || t.contains("is less than") => {
            "it does not end as a Parquet file does"
        }
        t => t.trim_start_matches("Arrow: ").trim_start_matches("Parquet argument error: ").trim_start_matches("EOF: "),
    };
    let why = why.trim_start_matches("Parquet error: ");
    Error::new(SqlState::BAD_COPY_FILE_FORMAT, format!("could not read \"{name}\" as Parquet: {why}"))
        .with_hint("Is it a Parquet file, and whole?")
}
