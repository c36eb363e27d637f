//! A column ready to be printed: cast once per batch to one of a few array types, then one match per value.

use std::fmt::{self, Write};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    FixedSizeBinaryArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray,
    LargeStringArray, ListArray, StringArray, StructArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::zone::TimeZone;
use super::{array, datetime, interval, number, record, string};
use crate::data::types::{META_TYPE, NUMERIC_DEFAULT, PgType, UUID_BYTES, item as item_of, pg_type};
use crate::error::Result;

/// One column of a batch with its wire type.
pub struct Column {
    /// What clients are told about it.
    pub pg: PgType,
    /// The values.
    pub values: Values,
}

/// Arrays of the types that have a text form of their own.
pub enum Values {
    /// `t`, `f`
    Bool(BooleanArray),
    /// smallint
    Int16(Int16Array),
    /// integer
    Int32(Int32Array),
    /// bigint
    Int64(Int64Array),
    /// oid and its aliases, as unsigned 32 bits.
    Oid(Int64Array),
    /// real
    Float32(Float32Array),
    /// double precision
    Float64(Float64Array),
    /// numeric; without a declared scale, trailing zeros are not shown.
    Numeric {
        /// Scaled integers.
        array: Decimal128Array,
        /// Digits behind the point.
        scale: i8,
        /// Leave trailing zeros out.
        trim: bool,
    },
    /// numeric beyond 38 digits (sums of sums).
    WideNumeric(Decimal256Array),
    /// Everything that is text inside.
    Text(StringArray),
    /// bytea
    Bytes(BinaryArray),
    /// date
    Date(Date32Array),
    /// time
    Time(Time64MicrosecondArray),
    /// timestamp
    Timestamp(TimestampMicrosecondArray),
    /// timestamptz
    Timestamptz(TimestampMicrosecondArray),
    /// interval
    Interval(IntervalMonthDayNanoArray),
    /// uuid
    Uuid(FixedSizeBinaryArray),
    /// jsonb
    Jsonb(LargeStringArray),
    /// Arrays; `vector` prints as int2vector does, with spaces.
    List {
        /// Where each row's items are.
        array: ListArray,
        /// All items.
        items: Box<Column>,
        /// int2vector and oidvector.
        vector: bool,
    },
    /// STRUCT: `(1,"a b",)`.
    Record {
        /// Which rows are NULL.
        array: StructArray,
        /// The fields' values.
        columns: Vec<Column>,
    },
}

/// The array type that a type is printed as.
pub(super) fn canonical(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Float16 => DataType::Float32,
        DataType::FixedSizeBinary(UUID_BYTES) | DataType::LargeUtf8 => data_type.clone(),
        DataType::Utf8View | DataType::Null => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Interval(_) | DataType::Duration(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::FixedSizeList(item, _) => {
            DataType::List(item.as_ref().clone().with_data_type(canonical(item.data_type())).into())
        }
        DataType::Struct(fields) => {
            let field = |field: &Arc<Field>| field.as_ref().clone().with_data_type(canonical(field.data_type()));
            DataType::Struct(fields.iter().map(field).collect())
        }
        DataType::Dictionary(_, value) => canonical(value),
        DataType::RunEndEncoded(_, value) => canonical(value.data_type()),
        other => other.clone(),
    }
}

impl Column {
    /// Prepares an array. The field decides the type; the array is cast to it where it differs.
    pub fn new(array: &dyn Array, field: &Field) -> Result<Self> {
        let pg = pg_type(field);
        let target = canonical(field.data_type());
        let array: ArrayRef = if array.data_type() == &target {
            array.slice(0, array.len())
        } else {
            match cast(array, &target) {
                Ok(array) => array,
                Err(_) => as_text(array)?,
            }
        };
        Ok(Self { pg, values: Values::new(array, &target, pg, field)? })
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.values.array().len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a row's value is NULL.
    pub fn is_null(&self, row: usize) -> bool {
        self.values.array().is_null(row)
    }

    /// Prints a row's value; nothing for NULL.
    pub fn write(&self, row: usize, zone: &TimeZone, out: &mut impl Write) {
        if !self.is_null(row) {
            // Strings and byte buffers take whatever is written.
            let _ = self.values.write(row, zone, out);
        }
    }
}

/// Types without a text form in PostgreSQL (maps) print as Arrow prints them.
fn as_text(array: &dyn Array) -> Result<ArrayRef> {
    let options = FormatOptions::default().with_null("");
    let formatter = ArrayFormatter::try_new(array, &options)?;
    let texts = (0..array.len()).map(|row| (!array.is_null(row)).then(|| formatter.value(row).to_string()));
    Ok(Arc::new(texts.collect::<StringArray>()))
}

impl Values {
    fn new(array: ArrayRef, target: &DataType, pg: PgType, field: &Field) -> Result<Self> {
        if super::is_oid(pg.oid) && target.is_integer() {
            return Ok(Self::Oid(cast(&array, &DataType::Int64)?.as_primitive().clone()));
        }
        Ok(match array.data_type() {
            DataType::Boolean => Self::Bool(array.as_boolean().clone()),
            DataType::Int16 => Self::Int16(array.as_primitive().clone()),
            DataType::Int32 => Self::Int32(array.as_primitive().clone()),
            DataType::Int64 => Self::Int64(array.as_primitive().clone()),
            DataType::Float32 => Self::Float32(array.as_primitive().clone()),
            DataType::Float64 => Self::Float64(array.as_primitive().clone()),
            DataType::Decimal128(p, s) => Self::Numeric {
                array: array.as_primitive().clone(),
                scale: *s,
                trim: (*p, *s) == NUMERIC_DEFAULT && pg.typmod == -1,
            },
            DataType::Decimal256(..) => Self::WideNumeric(array.as_primitive().clone()),
            DataType::Utf8 => Self::Text(array.as_string().clone()),
            DataType::Binary => Self::Bytes(array.as_binary().clone()),
            DataType::Date32 => Self::Date(array.as_primitive().clone()),
            DataType::Time64(_) => Self::Time(array.as_primitive().clone()),
            DataType::Timestamp(_, None) => Self::Timestamp(array.as_primitive().clone()),
            DataType::Timestamp(_, Some(_)) => Self::Timestamptz(array.as_primitive().clone()),
            DataType::Interval(_) => Self::Interval(array.as_primitive().clone()),
            DataType::FixedSizeBinary(_) => Self::Uuid(array.as_fixed_size_binary().clone()),
            DataType::LargeUtf8 => Self::Jsonb(array.as_string().clone()),
            DataType::List(item) => {
                let list = array.as_list::<i32>().clone();
                // The column's field knows more than the array's own.
                let item = match field.data_type() {
                    DataType::List(_) => item_of(field),
                    _ => item.as_ref().clone(),
                };
                let items = Box::new(Column::new(list.values().as_ref(), &item)?);
                let vector = field.metadata().get(META_TYPE).is_some_and(|t| t.ends_with("vector"));
                Self::List { array: list, items, vector }
            }
            DataType::Struct(own) => {
                let record = array.as_struct().clone();
                let fields = match field.data_type() {
                    DataType::Struct(fields) => fields,
                    _ => own,
                };
                let columns = record.columns().iter().zip(fields);
                let columns =
                    columns.map(|(column, field)| Column::new(column.as_ref(), field)).collect::<Result<_>>()?;
                Self::Record { array: record, columns }
            }
            _ => Self::Text(as_text(array.as_ref())?.as_string().clone()),
        })
    }

    /// The array, whatever its type.
    pub fn array(&self) -> &dyn Array {
        match self {
            Self::Bool(a) => a,
            Self::Int16(a) => a,
            Self::Int32(a) => a,
            Self::Int64(a) | Self::Oid(a) => a,
            Self::Float32(a) => a,
            Self::Float64(a) => a,
            Self::Numeric { array, .. } => array,
            Self::WideNumeric(a) => a,
            Self::Text(a) => a,
            Self::Bytes(a) => a,
            Self::Date(a) => a,
            Self::Time(a) => a,
            Self::Timestamp(a) | Self::Timestamptz(a) => a,
            Self::Interval(a) => a,
            Self::Uuid(a) => a,
            Self::Jsonb(a) => a,
            Self::List { array, .. } => array,
            Self::Record { array, .. } => array,
        }
    }

    fn write(&self, row: usize, zone: &TimeZone, out: &mut impl Write) -> fmt::Result {
        match self {
            Self::Bool(a) => out.write_char(if a.value(row) { 't' } else { 'f' }),
            Self::Int16(a) => write!(out, "{}", a.value(row)),
            Self::Int32(a) => write!(out, "{}", a.value(row)),
            Self::Int64(a) => write!(out, "{}", a.value(row)),
            Self::Oid(a) => write!(out, "{}", a.value(row) as u32),
            Self::Float32(a) => number::write_f32(out, a.value(row)),
            Self::Float64(a) => number::write_f64(out, a.value(row)),
            Self::Numeric { array, scale, trim } => number::write_numeric(out, array.value(row), *scale, *trim),
            Self::WideNumeric(a) => out.write_str(&a.value_as_string(row)),
            Self::Text(a) => out.write_str(a.value(row)),
            Self::Bytes(a) => string::write_bytea(out, a.value(row)),
            Self::Date(a) => datetime::write_date(out, a.value(row)),
            Self::Time(a) => super::calendar::write_clock(out, a.value(row)),
            Self::Timestamp(a) => datetime::write_timestamp(out, a.value(row)),
            Self::Timestamptz(a) => datetime::write_timestamptz(out, a.value(row), zone),
            Self::Interval(a) => interval::write_interval(out, a.value(row)),
            Self::Uuid(a) => string::write_uuid(out, a.value(row)),
            Self::Jsonb(a) => out.write_str(a.value(row)),
            Self::List { array, items, vector } => write_list(array, items, *vector, row, zone, out),
            Self::Record { columns, .. } => record::write_record(out, columns, row, zone),
        }
    }
}

fn write_list(
    list: &ListArray,
    items: &Column,
    vector: bool,
    row: usize,
    zone: &TimeZone,
    out: &mut impl Write,
) -> fmt::Result {
    let range = list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize;
    let mut element = String::new();
    if !vector {
        out.write_char('{')?;
    }
    for (i, item) in range.enumerate() {
        if i > 0 {
            out.write_char(if vector { ' ' } else { ',' })?;
        }
        element.clear();
        items.write(item, zone, &mut element);
        if items.is_null(item) {
            out.write_str("NULL")?;
        } else if vector || matches!(items.values, Values::List { .. }) {
            out.write_str(&element)?;
        } else {
            array::write_element(out, &element)?;
        }
    }
    if vector { Ok(()) } else { out.write_char('}') }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow::array::{DictionaryArray, DurationMicrosecondArray, UInt64Array};

    use super::*;
    use crate::data::text::{row_detail, row_text};

    fn texts(array: &dyn Array, field: &Field) -> Vec<Option<String>> {
        let column = Column::new(array, field).unwrap();
        let show = |row| {
            let mut s = String::new();
            column.write(row, &TimeZone::utc(), &mut s);
            (!column.is_null(row)).then_some(s)
        };
        (0..column.len()).map(show).collect()
    }

    #[test]
    fn foreign_arrays_print_as_their_nearest_type() {
        let field = |t: &DataType| Field::new("c", t.clone(), true);
        let words: DictionaryArray<arrow::datatypes::Int32Type> = vec![Some("a"), None].into_iter().collect();
        assert_eq!(texts(&words, &field(words.data_type())), [Some("a".into()), None]);
        let big = UInt64Array::from(vec![u64::MAX]);
        assert_eq!(texts(&big, &field(&DataType::UInt64)), [Some("18446744073709551615".into())]);
        let gap = DurationMicrosecondArray::from(vec![90_000_000]);
        assert_eq!(texts(&gap, &field(gap.data_type())), [Some("00:01:30".into())]);
        let oids = Field::new("c", DataType::Int32, true)
            .with_metadata(HashMap::from([(META_TYPE.to_owned(), "oid".to_owned())]));
        assert_eq!(texts(&Int32Array::from(vec![-1]), &oids), [Some("4294967295".into())]);
        // An array of another width than its field is cast to the field's.
        let column = Column::new(&Int32Array::from(vec![7]), &field(&DataType::Int64)).unwrap();
        assert!(matches!(column.values, Values::Int64(_)));
    }

    #[test]
    fn rows_print_as_composites() {
        let columns = [
            Column::new(&Int64Array::from(vec![Some(1), None]), &Field::new("a", DataType::Int64, true)).unwrap(),
            Column::new(&StringArray::from(vec!["a \"b\"", ""]), &Field::new("b", DataType::Utf8, true)).unwrap(),
        ];
        assert_eq!(row_text(&columns, 0), "(1,\"a \"\"b\"\"\")");
        assert_eq!(row_text(&columns, 1), "(,\"\")");
        assert_eq!(row_detail(&columns, 1), "(null, )");
        let long: ArrayRef = Arc::new(StringArray::from(vec!["é".repeat(100)]));
        let long = [Column::new(long.as_ref(), &Field::new("b", DataType::Utf8, true)).unwrap()];
        assert_eq!(row_detail(&long, 0), format!("({}...)", "é".repeat(32)));
    }
}
