//! Rows as JSON text, for `highwater.errors` and `highwater.late_rows`.

use arrow::array::RecordBatch;
use arrow::json::writer::{JsonArray, WriterBuilder};

/// One row as a JSON object; NULLs are spelled out.
pub(super) fn row(batch: &RecordBatch, row: usize) -> String {
    let mut bytes = Vec::new();
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut bytes);
    let written = writer.write(&batch.slice(row, 1)).and_then(|()| writer.finish());
    drop(writer);
    match written {
        // An array of one object.
        Ok(()) => String::from_utf8_lossy(bytes.get(1..bytes.len().saturating_sub(1)).unwrap_or_default()).into_owned(),
        Err(error) => format!("a row that JSON cannot say: {error}"),
    }
}
