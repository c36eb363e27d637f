//! JSON lines.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::data::text::json::write_string;
use crate::data::text::{JsonColumn, TimeZone};
use crate::error::Result;

/// Writes JSON lines of one schema.
pub(super) struct Json {
    /// What stands before each value: `{"a":`, `,"b":`
    names: Vec<String>,
    zone: TimeZone,
}

impl Json {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let name = |(i, field): (usize, &std::sync::Arc<arrow::datatypes::Field>)| {
            let mut text = String::from(if i == 0 { "{" } else { "," });
            write_string(field.name(), &mut text);
            text.push(':');
            text
        };
        Self { names: schema.fields().iter().enumerate().map(name).collect(), zone: TimeZone::utc() }
    }

    pub(super) fn write(&self, rows: &RecordBatch, out: &mut String) -> Result<()> {
        let schema = rows.schema();
        let columns = rows.columns().iter().zip(schema.fields());
        let columns = columns.map(|(array, field)| JsonColumn::new(array, field)).collect::<Result<Vec<_>>>()?;
        for row in 0..rows.num_rows() {
            let from = out.len();
            if columns.is_empty() {
                out.push('{');
            }
            for (name, column) in self.names.iter().zip(&columns) {
                out.push_str(name);
                column.write(row, &self.zone, out);
            }
            out.push('}');
            one_line(out, from);
            out.push('\n');
        }
        Ok(())
    }
}

/// Only a document of type json, which is kept as it was written, may have line ends between its tokens.
fn one_line(out: &mut String, from: usize) {
    if memchr::memchr2(b'\n', b'\r', &out.as_bytes()[from..]).is_some() {
        let line = out.split_off(from);
        out.push_str(&line.replace(['\n', '\r'], " "));
    }
}
