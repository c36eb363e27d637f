//! Columns of json and jsonb, and of arrays and STRUCTs that hold them: members of a JSON record as they are written, whatever
//! they are.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Fields, Schema};

use super::align::Refused;
use super::text::cut;
use crate::data::text::array::write_element;
use crate::data::text::json::{elements, members, unquoted};
use crate::data::text::record::write_field;
use crate::data::types::{JSON_OID, item, leaf, pg_type};
use crate::error::{Error, Result};

const JSONB_OID: u32 = 3802;

/// Whether a column takes a member as it is written, and not what Arrow reads of it.
pub(super) fn is_document(field: &Field) -> bool {
    let leaf = leaf(field);
    match leaf.data_type() {
        DataType::Struct(fields) => fields.iter().any(|field| is_document(field)),
        _ => is_json(&leaf),
    }
}

fn is_json(field: &Field) -> bool {
    matches!(pg_type(field).oid, JSON_OID | JSONB_OID)
}

/// Adds such columns, as text, to what was read of the others, and says which rows cannot be read. `record(i)` is row i's
/// text.
pub(super) fn add<'a>(
    batch: RecordBatch,
    columns: &[Field],
    record: impl Fn(usize) -> &'a [u8],
) -> Result<(RecordBatch, Refused)> {
    let mut refused = Refused::new();
    if columns.is_empty() {
        return Ok((batch, refused));
    }
    let rows = batch.num_rows();
    let mut found: Vec<Vec<Option<String>>> = vec![Vec::with_capacity(rows); columns.len()];
    for row in 0..rows {
        let text = std::str::from_utf8(record(row)).unwrap_or_default();
        let members = members(text).unwrap_or_else(|error| {
            refused.insert(row, (error.code(), why(&error)));
            None
        });
        let members = members.unwrap_or_default();
        for (column, values) in columns.iter().zip(&mut found) {
            let member = members.iter().rev().find(|(key, _)| key == column.name()).map(|(_, raw)| *raw);
            let text = member.filter(|raw| *raw != "null").map(|raw| written(raw, column)).transpose();
            values.push(text.unwrap_or_else(|error| {
                let message = format!("{} in column \"{}\"", why(&error), column.name());
                refused.entry(row).or_insert((error.code(), message));
                None
            }));
        }
    }
    let mut fields: Vec<Field> = batch.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    let mut arrays: Vec<ArrayRef> = batch.columns().to_vec();
    for (column, values) in columns.iter().zip(found) {
        fields.push(Field::new(column.name(), DataType::Utf8, true));
        arrays.push(Arc::new(StringArray::from(values)));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok((RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?, refused))
}

/// What an error says, on one line.
pub(super) fn why(error: &Error) -> String {
    match &error.parts().detail {
        Some(detail) => cut(&format!("{}: {detail}", error.message()), 256),
        None => error.message().to_owned(),
    }
}

/// A member as the text of its column: of an array of documents an array literal, of a STRUCT a record's.
fn written(raw: &str, column: &Field) -> Result<String> {
    let text = match column.data_type() {
        DataType::List(_) => elements(raw)?.map(|elements| array(&elements, &item(column))).transpose()?,
        DataType::Struct(fields) => members(raw)?.map(|members| record(&members, fields)).transpose()?,
        _ if is_json(column) => None,
        _ => unquoted(raw)?,
    };
    Ok(text.unwrap_or_else(|| raw.to_owned()))
}

fn array(elements: &[&str], item: &Field) -> Result<String> {
    let mut out = String::from("{");
    for (i, element) in elements.iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        let text = written(element, item)?;
        if *element == "null" {
            out.push_str("NULL");
        } else if item.data_type().is_list() {
            out.push_str(&text);
        } else {
            // Strings take whatever is written.
            let _ = write_element(&mut out, &text);
        }
    }
    out.push('}');
    Ok(out)
}

fn record(members: &[(String, &str)], fields: &Fields) -> Result<String> {
    let mut out = String::from("(");
    for (i, field) in fields.iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        let member = members.iter().rev().find(|(key, _)| key == field.name()).map(|(_, raw)| *raw);
        if let Some(raw) = member.filter(|raw| *raw != "null") {
            let _ = write_field(&mut out, &written(raw, field)?);
        }
    }
    out.push(')');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::text::{TimeZone, display, parse};
    use crate::data::types::{self, JSONB, array};

    #[test]
    fn members_as_they_are_written() {
        let lines: [&[u8]; 3] = [br#"{"j": {"a" : 1}, "l": [1, null, {"b":"c,d"}]}"#, br#"{"j":null}"#, b"no json"];
        let none = RecordBatchOptions::new().with_row_count(Some(3));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &none).unwrap();
        let j = Field::new("j", JSONB, true);
        let l = array("l", &Field::new("item", JSONB, true), true);
        let (added, refused) = add(batch, &[j, l], |i| lines[i]).unwrap();
        assert_eq!(refused.into_keys().collect::<Vec<_>>(), [2]);
        let column = |n: usize| arrow::array::AsArray::as_string::<i32>(added.column(n)).iter().collect::<Vec<_>>();
        assert_eq!(column(0), [Some(r#"{"a" : 1}"#), None, None]);
        assert_eq!(column(1), [Some(r#"{1,NULL,"{\"b\":\"c,d\"}"}"#), None, None]);
    }

    #[test]
    fn documents_inside_of_structs() {
        let inner = types::record([Field::new("j", JSONB, true), Field::new("t", DataType::Utf8, true)]);
        let list = array("l", &Field::new("item", inner, true), true);
        let field = Field::new("s", types::record([Field::new("n", DataType::Int32, true), list]), true);
        assert!(is_document(&field));
        let raw = r#"{"l": [{"t": "a, \"b\"", "j": {"k": [1]}}, null, {"j": null}], "n": 1, "x": 2}"#;
        let utc = TimeZone::utc();
        let value = parse(&written(raw, &field).unwrap(), &field, &utc).unwrap();
        let expected = r#"(1,"{""(\\""{\\""\\""k\\""\\"": [1]}\\"",\\""a, \\""\\""b\\""\\""\\"")"",NULL,""(,)""}")"#;
        assert_eq!(display(&value, &field, &utc).unwrap().as_deref(), Some(expected));
    }
}
