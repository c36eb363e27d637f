//! CSV, as COPY prints it.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::data::text::{TimeZone, columns};
use crate::error::Result;
use crate::formats::csv::Options;

/// Writes CSV records.
pub(super) struct Csv {
    options: Options,
    zone: TimeZone,
}

impl Csv {
    pub(super) fn new(options: Options) -> Self {
        Self { options, zone: TimeZone::utc() }
    }

    /// The record of the columns' names, if there is to be one.
    pub(super) fn header(&self, schema: &SchemaRef) -> String {
        let mut out = String::new();
        if self.options.header {
            for (i, field) in schema.fields().iter().enumerate() {
                self.separate(i, &mut out);
                out.push_str(field.name());
                self.quote(out.len() - field.name().len(), &mut out);
            }
            out.push('\n');
        }
        out
    }

    pub(super) fn write(&self, rows: &RecordBatch, out: &mut String) -> Result<()> {
        let columns = columns(rows)?;
        for row in 0..rows.num_rows() {
            let line = out.len();
            for (i, column) in columns.iter().enumerate() {
                self.separate(i, out);
                if column.is_null(row) {
                    out.push_str(&self.options.null);
                    continue;
                }
                let from = out.len();
                column.write(row, &self.zone, out);
                self.quote(from, out);
            }
            // An empty line would be no record.
            if out.len() == line {
                out.push_str("\"\"");
            }
            out.push('\n');
        }
        Ok(())
    }

    fn separate(&self, column: usize, out: &mut String) {
        if column > 0 {
            out.push(self.options.delimiter.into());
        }
    }

    /// Quotes the value that begins here, where it has to be.
    fn quote(&self, from: usize, out: &mut String) {
        let value = &out[from..];
        let special = |b: u8| b == self.options.delimiter || matches!(b, b'"' | b'\n' | b'\r');
        let edge = value.starts_with(' ') || value.ends_with(' ');
        if value != self.options.null && value != "\\." && !edge && !value.bytes().any(special) {
            return;
        }
        let value = out.split_off(from);
        out.push('"');
        for (i, part) in value.split('"').enumerate() {
            out.push_str(if i > 0 { "\"\"" } else { "" });
            out.push_str(part);
        }
        out.push('"');
    }
}
