//! A column ready to be printed as JSON, as PostgreSQL's `to_json` prints values.

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::datatypes::{DataType, Field};

use super::json::write_string;
use super::{Column, TimeZone, Values};
use crate::data::types::{JSON_OID, item};
use crate::error::Result;

/// A column ready to be printed as JSON.
pub enum JsonColumn {
    /// What is neither of the others.
    Scalar(Column),
    /// Where each row's items are, and all items.
    List(ListArray, Box<JsonColumn>),
    /// Which rows are NULL, and the members by name.
    Record(StructArray, Vec<(String, JsonColumn)>),
}

impl JsonColumn {
    /// Prepares an array; the field decides the type.
    pub fn new(array: &ArrayRef, field: &Field) -> Result<Self> {
        Ok(match (array.data_type(), field.data_type()) {
            (DataType::List(_), DataType::List(_)) => {
                let list = array.as_list::<i32>();
                Self::List(list.clone(), Box::new(Self::new(list.values(), &item(field))?))
            }
            (DataType::Struct(_), DataType::Struct(fields)) => {
                let record = array.as_struct();
                let columns = fields.iter().zip(record.columns());
                let columns = columns.map(|(field, column)| Ok((field.name().clone(), Self::new(column, field)?)));
                Self::Record(record.clone(), columns.collect::<Result<_>>()?)
            }
            _ => Self::Scalar(Column::new(array.as_ref(), field)?),
        })
    }

    /// Whether a row's value is NULL.
    pub fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Scalar(column) => column.is_null(row),
            Self::List(list, _) => list.is_null(row),
            Self::Record(record, _) => record.is_null(row),
        }
    }

    /// Prints a row's value; `null` for NULL.
    pub fn write(&self, row: usize, zone: &TimeZone, out: &mut String) {
        if self.is_null(row) {
            out.push_str("null");
            return;
        }
        match self {
            Self::Scalar(column) => write_scalar(column, row, zone, out),
            Self::List(list, items) => {
                out.push('[');
                let offsets = list.value_offsets();
                for item in offsets[row]..offsets[row + 1] {
                    out.push_str(if item > offsets[row] { "," } else { "" });
                    items.write(item as usize, zone, out);
                }
                out.push(']');
            }
            Self::Record(_, columns) => {
                out.push('{');
                for (i, (name, value)) in columns.iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    write_string(name, out);
                    out.push(':');
                    value.write(row, zone, out);
                }
                out.push('}');
            }
        }
    }
}

fn write_scalar(column: &Column, row: usize, zone: &TimeZone, out: &mut String) {
    let from = out.len();
    match &column.values {
        Values::Bool(a) => out.push_str(if a.value(row) { "true" } else { "false" }),
        Values::Int16(_) | Values::Int32(_) | Values::Int64(_) | Values::Numeric { .. } | Values::WideNumeric(_) => {
            column.write(row, zone, out);
        }
        Values::Float32(_) | Values::Float64(_) => {
            column.write(row, zone, out);
            if !out.ends_with(|c: char| c.is_ascii_digit()) {
                out.insert(from, '"');
                out.push('"');
            }
        }
        Values::Jsonb(_) => column.write(row, zone, out),
        Values::Text(_) if column.pg.oid == JSON_OID => column.write(row, zone, out),
        Values::Text(a) => write_string(a.value(row), out),
        Values::Date(_) | Values::Time(_) | Values::Interval(_) | Values::Uuid(_) | Values::Oid(_) => {
            out.push('"');
            column.write(row, zone, out);
            out.push('"');
        }
        Values::Timestamp(_) | Values::Timestamptz(_) => {
            out.push('"');
            column.write(row, zone, out);
            if let Some(space) = out[from..].find(' ') {
                out.replace_range(from + space..=from + space, "T");
                // `+00` is `+00:00` here.
                let time = &out[from + space + 1..];
                if matches!(column.values, Values::Timestamptz(_))
                    && let Some(at) = time.rfind(['+', '-'])
                    && time[at + 1..].bytes().all(|b| b.is_ascii_digit())
                {
                    out.push_str(":00");
                }
            }
            out.push('"');
        }
        Values::Bytes(_) | Values::List { .. } | Values::Record { .. } => {
            let mut text = String::new();
            column.write(row, zone, &mut text);
            write_string(&text, out);
        }
    }
}
