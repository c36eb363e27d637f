//! Columns of at most 64 bits as words, and back: one form for keys and codes of many types.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};

/// Whether a column of this type can be had as 64-bit words.
pub fn is_word(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int64
            | DataType::Int32
            | DataType::Int16
            | DataType::Date32
            | DataType::Time64(TimeUnit::Microsecond)
            | DataType::Timestamp(TimeUnit::Microsecond, _)
    )
}

/// A column as words.
pub fn to_words(column: &ArrayRef) -> Option<Int64Array> {
    fn wide<T: ArrowPrimitiveType<Native: Into<i64>>>(column: &ArrayRef) -> Int64Array {
        column.as_primitive::<T>().unary::<_, Int64Type>(Into::into)
    }
    fn same<T: ArrowPrimitiveType<Native = i64>>(column: &ArrayRef) -> Int64Array {
        column.as_primitive::<T>().reinterpret_cast::<Int64Type>()
    }
    Some(match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().clone(),
        DataType::Int32 => wide::<Int32Type>(column),
        DataType::Int16 => wide::<Int16Type>(column),
        DataType::Date32 => wide::<Date32Type>(column),
        DataType::Time64(TimeUnit::Microsecond) => same::<Time64MicrosecondType>(column),
        DataType::Timestamp(TimeUnit::Microsecond, _) => same::<TimestampMicrosecondType>(column),
        _ => return None,
    })
}

/// Words as the column that they were.
pub fn from_words(words: Int64Array, data_type: &DataType) -> ArrayRef {
    fn narrow<T: ArrowPrimitiveType<Native: TryFrom<i64> + Default>>(words: &Int64Array) -> PrimitiveArray<T> {
        words.unary(|w| T::Native::try_from(w).unwrap_or_default())
    }
    match data_type {
        DataType::Int32 => Arc::new(narrow::<Int32Type>(&words)),
        DataType::Int16 => Arc::new(narrow::<Int16Type>(&words)),
        DataType::Date32 => Arc::new(narrow::<Date32Type>(&words)),
        DataType::Time64(_) => Arc::new(words.reinterpret_cast::<Time64MicrosecondType>()),
        DataType::Timestamp(_, zone) => {
            Arc::new(words.reinterpret_cast::<TimestampMicrosecondType>().with_timezone_opt(zone.clone()))
        }
        _ => Arc::new(words),
    }
}
