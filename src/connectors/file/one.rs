//! Reads one file, from a record on, in batches.

use std::fs;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::encoding::Encoding;
use super::paths::Listed;
use crate::error::{Error, Result, SqlState};
use crate::formats::csv::{self, Csv};
use crate::formats::json::Json;
use crate::formats::{Align, BATCH_RECORDS_MAX, Coming, Cut, Decoded, Decoder, RecordReader};

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
    let name = Arc::from(file.name.as_str());
    match encoding {
        Encoding::Parquet => open_parquet(file, target, skip),
        Encoding::Csv(options) => {
            let (mut records, header) = open_csv(file, options)?;
            let skipped = records.skip(skip)?;
            let own = || target.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
            let names = if options.header { header } else { own() };
            let decoder = Arc::new(Csv::new(options.clone(), &names, Arc::clone(&target))?);
            Ok((Box::new(Lines { name, records, decoder }), skipped))
        }
        Encoding::Json => {
            let mut records = RecordReader::new(file.open()?, Cut::Lines);
            let skipped = records.skip(skip)?;
            Ok((Box::new(Lines { name, records, decoder: Arc::new(Json::new(target)) }), skipped))
        }
    }
}

/// A file of text records.
struct Lines {
    name: Arc<str>,
    records: RecordReader<fs::File>,
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

/// Opens a CSV file behind its header; the names in it, if there is to be one.
pub(super) fn open_csv(file: &Listed, options: &csv::Options) -> Result<(RecordReader<fs::File>, Vec<String>)> {
    let mut records = RecordReader::new(file.open()?, options.cut());
    if !options.header {
        return Ok((records, Vec::new()));
    }
    let first = records.read(1)?;
    if first.is_empty() {
        return Ok((records, Vec::new()));
    }
    let names = options.fields(first.get(0)).into_iter().map(|name| name.trim().to_owned()).collect();
    Ok((records, names))
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
    Error::new(SqlState::BAD_COPY_FILE_FORMAT, format!("could not read \"{name}\" as Parquet: {error}"))
        .with_hint("Is it a Parquet file, and whole?")
}
