//! Columns declared as `name type`, and rows pushed by column name: small tables, built for reading, not for speed.
//!
//! | word | SQL type | Arrow |
//! |---|---|---|
//! | bool, int2, int4, int8, float4, float8, text | the same | the same |
//! | oid, xid | oid | Int64 marked `oid` |
//! | name, char, regproc | name, "char", regproc | Utf8, marked |
//! | timestamptz, interval | the same | the same |
//! | oid[], int2[], text[], name[] | arrays | List |
//! | int2vector, oidvector | the same | List, marked |

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int16Array, Int16Builder, Int32Array, Int64Array, Int64Builder,
    ListBuilder, RecordBatch, RecordBatchOptions, StringArray, StringBuilder, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::data::types::{META_TYPE, interval, timestamptz};
use crate::error::Result;

/// One value of a system relation.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// Boolean.
    Bool(bool),
    /// Any integer, and timestamps as microseconds.
    Int(i64),
    /// Either float.
    Float(f64),
    /// Any text.
    Text(String),
    /// An array or vector of integers.
    Ints(Vec<i64>),
    /// An array of texts.
    Texts(Vec<String>),
}

macro_rules! from {
    ($($t:ty => |$v:ident| $e:expr;)*) => { $(impl From<$t> for Value { fn from($v: $t) -> Self { $e } })* };
}
from! {
    bool => |v| Self::Bool(v);
    i16 => |v| Self::Int(v.into());
    i32 => |v| Self::Int(v.into());
    u32 => |v| Self::Int(v.into());
    i64 => |v| Self::Int(v);
    u64 => |v| Self::Int(v.min(i64::MAX as u64) as i64);
    usize => |v| Self::Int(v as i64);
    f64 => |v| Self::Float(v);
    &str => |v| Self::Text(v.to_owned());
    String => |v| Self::Text(v);
    &String => |v| Self::Text(v.clone());
    Vec<i64> => |v| Self::Ints(v);
    Vec<String> => |v| Self::Texts(v);
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The rows of a system relation while they are made.
#[derive(Debug)]
pub struct Rows {
    schema: SchemaRef,
    columns: Vec<Vec<Value>>,
    count: usize,
}

impl Rows {
    /// None yet.
    pub fn new(schema: SchemaRef) -> Self {
        let columns = vec![Vec::new(); schema.fields().len()];
        Self { schema, columns, count: 0 }
    }

    /// Adds a row; columns that are not named take their type's nothing (0, false, NULL for text and arrays).
    pub fn push<const N: usize>(&mut self, values: [(&str, Value); N]) {
        for (column, field) in self.columns.iter_mut().zip(self.schema.fields()) {
            column.push(nothing(field.data_type()));
        }
        for (name, value) in values {
            let found = self.schema.index_of(name).ok().and_then(|i| self.columns[i].last_mut());
            debug_assert!(found.is_some(), "no column {name}");
            if let Some(slot) = found {
                *slot = value;
            }
        }
        self.count += 1;
    }

    /// The batch.
    pub fn finish(self) -> Result<RecordBatch> {
        let arrays: Vec<ArrayRef> =
            self.schema.fields().iter().zip(&self.columns).map(|(f, values)| array(f.data_type(), values)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        Ok(RecordBatch::try_new_with_options(self.schema, arrays, &options)?)
    }
}

fn nothing(data_type: &DataType) -> Value {
    match data_type {
        DataType::Boolean => Value::Bool(false),
        DataType::Int16 | DataType::Int32 | DataType::Int64 => Value::Int(0),
        DataType::Float32 | DataType::Float64 => Value::Float(0.0),
        _ => Value::Null,
    }
}

/// The schema of a column list.
pub(super) fn schema(columns: &str) -> SchemaRef {
    Arc::new(Schema::new(columns.split(',').map(|c| field(c.trim())).collect::<Vec<_>>()))
}

fn field(column: &str) -> Field {
    let (name, word) = column.split_once(' ').unwrap_or((column, "text"));
    let list = |item: DataType| DataType::List(Arc::new(Field::new_list_field(item, true)));
    let data_type = match word {
        "bool" => DataType::Boolean,
        "int2" => DataType::Int16,
        "int4" => DataType::Int32,
        "int8" | "oid" | "xid" => DataType::Int64,
        "float4" => DataType::Float32,
        "float8" => DataType::Float64,
        "timestamptz" => timestamptz(),
        "interval" => interval(),
        "oid[]" | "oidvector" => list(DataType::Int64),
        "int2[]" | "int2vector" => list(DataType::Int16),
        "text[]" | "name[]" | "char[]" => list(DataType::Utf8),
        "text" | "name" | "char" | "regproc" => DataType::Utf8,
        _ => {
            debug_assert!(false, "unknown column type {word}");
            DataType::Utf8
        }
    };
    let field = Field::new(name, data_type, true);
    match word {
        "xid" => marked(field, "oid"),
        "oid" | "name" | "char" | "regproc" | "int2vector" | "oidvector" | "oid[]" => marked(field, word),
        _ => field,
    }
}

fn marked(field: Field, sql_type: &str) -> Field {
    field.with_metadata(HashMap::from([(META_TYPE.to_owned(), sql_type.to_owned())]))
}

fn array(data_type: &DataType, values: &[Value]) -> ArrayRef {
    let int = |v: &Value| if let Value::Int(i) = v { Some(*i) } else { None };
    let float = |v: &Value| if let Value::Float(f) = v { Some(*f) } else { int(v).map(|i| i as f64) };
    match data_type {
        DataType::Boolean => Arc::new(BooleanArray::from_iter(
            values.iter().map(|v| if let Value::Bool(b) = v { Some(*b) } else { None }),
        )),
        DataType::Int16 => Arc::new(Int16Array::from_iter(values.iter().map(|v| int(v).map(|i| i as i16)))),
        DataType::Int32 => Arc::new(Int32Array::from_iter(values.iter().map(|v| int(v).map(|i| i as i32)))),
        DataType::Int64 => Arc::new(Int64Array::from_iter(values.iter().map(int))),
        DataType::Float32 => Arc::new(Float32Array::from_iter(values.iter().map(|v| float(v).map(|f| f as f32)))),
        DataType::Float64 => Arc::new(Float64Array::from_iter(values.iter().map(float))),
        DataType::Timestamp(..) => {
            Arc::new(TimestampMicrosecondArray::from_iter(values.iter().map(int)).with_timezone("UTC"))
        }
        DataType::Utf8 => Arc::new(StringArray::from_iter(
            values.iter().map(|v| if let Value::Text(t) = v { Some(t.as_str()) } else { None }),
        )),
        DataType::List(item) => list(item, values),
        other => new_null_array(other, values.len()),
    }
}

fn list(item: &Arc<Field>, values: &[Value]) -> ArrayRef {
    match item.data_type() {
        DataType::Int16 => {
            let mut builder = ListBuilder::new(Int16Builder::new()).with_field(item.clone());
            for value in values {
                if let Value::Ints(ints) = value {
                    builder.append_value(ints.iter().map(|i| Some(*i as i16)));
                } else {
                    builder.append_null();
                }
            }
            Arc::new(builder.finish())
        }
        DataType::Int64 => {
            let mut builder = ListBuilder::new(Int64Builder::new()).with_field(item.clone());
            for value in values {
                if let Value::Ints(ints) = value {
                    builder.append_value(ints.iter().map(|i| Some(*i)));
                } else {
                    builder.append_null();
                }
            }
            Arc::new(builder.finish())
        }
        _ => {
            let mut builder = ListBuilder::new(StringBuilder::new()).with_field(item.clone());
            for value in values {
                if let Value::Texts(texts) = value {
                    builder.append_value(texts.iter().map(Some));
                } else {
                    builder.append_null();
                }
            }
            Arc::new(builder.finish())
        }
    }
}
