//! Arrays of arrays: in PostgreSQL all parts of one dimension are equally long.

use arrow::array::{Array, AsArray, ListArray};
use arrow::datatypes::Field;

use super::text::{BadValue, cut};
use crate::data::text::{Column, TimeZone};
use crate::error::{Result, SqlState};

/// The rows of a column, if it is one of arrays of arrays, whose parts differ in length.
pub(super) fn ragged(array: &dyn Array, field: &Field) -> Result<Vec<BadValue>> {
    let Some(list) = array.as_list_opt::<i32>().filter(|list| list.value_type().is_list()) else {
        return Ok(Vec::new());
    };
    let rows: Vec<usize> = (0..list.len()).filter(|row| list.is_valid(*row) && !is_rectangular(list, *row)).collect();
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let (column, utc) = (Column::new(list, field)?, TimeZone::utc());
    let bad = rows.into_iter().map(|row| {
        let mut literal = String::new();
        column.write(row, &utc, &mut literal);
        let message = cut(&format!("malformed array literal: \"{literal}\""), 256);
        BadValue { row, code: SqlState::INVALID_TEXT_REPRESENTATION, message }
    });
    Ok(bad.collect())
}

/// Whether the parts of each dimension are equally long, and none of them is NULL.
fn is_rectangular(list: &ListArray, row: usize) -> bool {
    let part = |list: &ListArray, from: usize, to: usize| {
        list.value_offsets()[from] as usize..list.value_offsets()[to] as usize
    };
    let (mut list, mut parts) = (list, part(list, row, row + 1));
    while let Some(inner) = list.values().as_list_opt::<i32>() {
        if parts.is_empty() {
            return true;
        }
        let length = inner.value_length(parts.start);
        if parts.clone().any(|at| inner.is_null(at) || inner.value_length(at) != length) {
            return false;
        }
        (list, parts) = (inner, part(inner, parts.start, parts.end));
    }
    true
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::json::ReaderBuilder;

    use super::*;
    use crate::data::types::list_of;
    use arrow::datatypes::{DataType, Schema};

    fn refused(cube: &str) -> Option<String> {
        let item = Field::new(
            "item",
            list_of(&Field::new("item", list_of(&Field::new("item", DataType::Int32, true)), true)),
            true,
        );
        let field = Field::new("c", list_of(&item), true);
        let schema = Arc::new(Schema::new(vec![field.clone()]));
        let text = format!("{{\"c\": {cube}}}");
        let batch = ReaderBuilder::new(schema).build(text.as_bytes()).unwrap().next().unwrap().unwrap();
        ragged(batch.column(0), &field).unwrap().pop().map(|bad| bad.message)
    }

    #[test]
    fn parts_of_one_dimension_are_equally_long() {
        for cube in ["null", "[]", "[[]]", "[[[1, 2]], [[3, null]]]"] {
            assert_eq!(refused(cube), None, "{cube}");
        }
        for (cube, literal) in [
            ("[[[1], [2]], [[3]]]", "{{{1},{2}},{{3}}}"),
            ("[[[1]], [[2, 3]]]", "{{{1}},{{2,3}}}"),
            ("[[[1]], null]", "{{{1}},NULL}"),
            ("[null, null]", "{NULL,NULL}"),
            ("[[], [[1]]]", "{{},{{1}}}"),
        ] {
            assert_eq!(refused(cube), Some(format!("malformed array literal: \"{literal}\"")), "{cube}");
        }
    }
}
