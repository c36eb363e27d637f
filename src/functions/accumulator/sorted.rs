//! Order as PostgreSQL has it, as bytes: of any types, ascending or not, NULLs first or last.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int32Array, IntervalMonthDayNanoArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Decimal128Type, Int32Type, IntervalMonthDayNano, IntervalMonthDayNanoType};
use arrow::row::{RowConverter, Rows, SortField};

use crate::data::one_nan;
use crate::error::Result;

/// Ascending, NULLs last: PostgreSQL's default.
pub(super) const ASCENDING: SortOptions = SortOptions { descending: false, nulls_first: false };

const DAY: i128 = 86_400_000_000_000;

/// Makes bytes of some columns that order as the columns do, and columns of such bytes.
pub(super) struct SortEncoder {
    types: Vec<DataType>,
    converter: RowConverter,
}

/// Whether values of a type can be put in order.
pub fn sortable(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_)) || RowConverter::supports_fields(&[SortField::new(data_type.clone())])
}

impl SortEncoder {
    /// For columns of these types.
    pub fn new(columns: &[(DataType, SortOptions)]) -> Result<Self> {
        let field = |(t, options): &(DataType, SortOptions)| match t {
            // How long it is, then the days and months in which it says so: equal ones are told apart at the end.
            DataType::Interval(_) => [DataType::Decimal128(38, 0), DataType::Int32, DataType::Int32]
                .map(|t| SortField::new_with_options(t, *options))
                .to_vec(),
            t => vec![SortField::new_with_options(t.clone(), *options)],
        };
        let converter = RowConverter::new(columns.iter().flat_map(field).collect())?;
        Ok(Self { types: columns.iter().map(|(t, _)| t.clone()).collect(), converter })
    }

    /// The bytes of every row.
    pub fn encode<'a>(&self, columns: impl IntoIterator<Item = &'a ArrayRef>) -> Result<Rows> {
        let mut parts = vec![];
        for column in columns {
            match column.data_type() {
                DataType::Interval(_) => parts.extend(interval_parts(column.as_primitive())),
                _ => parts.push(one_nan(column)?),
            }
        }
        Ok(self.converter.convert_columns(&parts)?)
    }

    /// The columns of rows' bytes.
    pub fn decode<'a>(&self, rows: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        let mut parts = self.converter.convert_rows(rows.into_iter().map(|r| parser.parse(r)))?.into_iter();
        let mut columns = vec![];
        for data_type in &self.types {
            let taken: Vec<ArrayRef> = match data_type {
                DataType::Interval(_) => parts.by_ref().take(3).collect(),
                _ => parts.by_ref().take(1).collect(),
            };
            columns.push(match &taken[..] {
                [length, days, months] => interval_of(length, days, months),
                _ => taken[0].clone(),
            });
        }
        Ok(columns)
    }
}

fn interval_parts(intervals: &IntervalMonthDayNanoArray) -> [ArrayRef; 3] {
    let length =
        |i: IntervalMonthDayNano| (i128::from(i.months) * 30 + i128::from(i.days)) * DAY + i128::from(i.nanoseconds);
    let length: Decimal128Array = intervals.unary(length);
    let days: Int32Array = intervals.unary(|i| i.days);
    let months: Int32Array = intervals.unary(|i| i.months);
    [Arc::new(length.with_data_type(DataType::Decimal128(38, 0))), Arc::new(days), Arc::new(months)]
}

fn interval_of(length: &ArrayRef, days: &ArrayRef, months: &ArrayRef) -> ArrayRef {
    let (days, months) = (days.as_primitive::<Int32Type>(), months.as_primitive::<Int32Type>());
    let length = length.as_primitive::<Decimal128Type>().iter().enumerate();
    let one = |(i, length): (usize, Option<i128>)| {
        let (days, months) = (days.value(i), months.value(i));
        let rest = length? - (i128::from(months) * 30 + i128::from(days)) * DAY;
        Some(IntervalMonthDayNano::new(months, days, i64::try_from(rest).unwrap_or(i64::MAX)))
    };
    Arc::new(length.map(one).collect::<arrow::array::PrimitiveArray<IntervalMonthDayNanoType>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_order_by_their_length_and_come_back() {
        let of = |m, d, h: i64| IntervalMonthDayNano::new(m, d, h * 3_600_000_000_000);
        let ascending = vec![
            Some(of(0, -1, 23)),
            Some(of(0, 0, 0)),
            Some(of(0, 1, -1)),
            Some(of(0, 0, 24)),
            Some(of(0, 1, 0)),
            Some(of(1, 0, -1)),
            Some(of(1, 0, 0)),
            Some(of(0, 30, 0)),
            None,
        ];
        let column: ArrayRef = Arc::new(IntervalMonthDayNanoArray::from(ascending));
        let encoder = SortEncoder::new(&[(column.data_type().clone(), ASCENDING)]).unwrap();
        let rows = encoder.encode([&column]).unwrap();
        for i in 1..rows.num_rows() {
            assert!(rows.row(i - 1) < rows.row(i), "{i}");
        }
        let back = encoder.decode(rows.iter().map(|r| r.data())).unwrap();
        assert_eq!(&back[0], &column);
    }
}
