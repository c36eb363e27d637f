//! Records: `ROW(..)` makes one, `(record).field` takes one apart, IS NULL looks at its fields.
//!
//! A STRUCT column is an Arrow struct whose fields carry their SQL types' metadata inside, so that a field taken out of it is
//! the column it would have been. ROW(..) has no names to give: its fields are f1, f2, .. until it is cast, field by field.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, StructArray};
use arrow::compute::{SortOptions, is_null, nullif};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::row::{RowConverter, SortField};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::native::{Call, Function};
use crate::data::key_form;
use crate::data::types::{record, sql_name};
use crate::error::{Error, Result, SqlState};

pub(super) const ALL: &[&Function] = &[
    &Function::of("record_is_null", test, |c| tested(c, false)),
    &Function::of("record_is_not_null", test, |c| tested(c, true)),
    &Function::of("record_order", order_types, order),
    &Function::of("record_is_there", test, |c| Ok(Arc::new(arrow::compute::is_not_null(&c.args[0])?))),
];

/// Of functions that say themselves what they take.
static SIGNATURE: LazyLock<Signature> = LazyLock::new(|| Signature::user_defined(Volatility::Immutable));

/// `row` and `record_field`, whose result is more than a type.
pub(super) fn all() -> [ScalarUDF; 2] {
    [ScalarUDF::new_from_impl(Row), ScalarUDF::new_from_impl(RecordField)]
}

fn test(types: &[DataType]) -> Option<(Vec<DataType>, Field)> {
    matches!(types, [DataType::Struct(_)]).then(|| (types.to_vec(), Field::new("", DataType::Boolean, true)))
}

fn order_types(types: &[DataType]) -> Option<(Vec<DataType>, Field)> {
    matches!(types, [DataType::Struct(_)]).then(|| (types.to_vec(), Field::new("", DataType::Binary, true)))
}

/// Bytes that compare as records do: field by field, a NULL field behind all others, `-0` and `0` equal.
fn order(call: &Call<'_>) -> Result<ArrayRef> {
    let records = key_form(&call.args[0])?;
    let options = SortOptions { descending: false, nulls_first: false };
    let field = SortField::new_with_options(records.data_type().clone(), options);
    let keys = RowConverter::new(vec![field])?.convert_columns(&[Arc::clone(&records)])?;
    let key = |row: usize| records.is_valid(row).then(|| keys.row(row));
    let mut out = BinaryBuilder::new();
    (0..call.rows).for_each(|row| out.append_option(key(row).as_ref().map(|key| key.as_ref())));
    Ok(Arc::new(out.finish()))
}

/// Whether all of its fields are there, or none of them.
fn tested(call: &Call<'_>, there: bool) -> Result<ArrayRef> {
    let records = call.args[0].as_struct();
    let one = |row: usize| match records.is_null(row) {
        true => !there,
        false => records.columns().iter().all(|column| column.is_valid(row) == there),
    };
    Ok(Arc::new((0..call.rows).map(|row| Some(one(row))).collect::<BooleanArray>()))
}

/// `ROW(a, b)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Row;

/// The type of a column that may be a NULL of no type.
fn known(data_type: &DataType) -> DataType {
    if data_type.is_null() { DataType::Utf8 } else { data_type.clone() }
}

impl ScalarUDFImpl for Row {
    fn name(&self) -> &'static str {
        "row"
    }

    fn signature(&self) -> &Signature {
        &SIGNATURE
    }

    fn coerce_types(&self, types: &[DataType]) -> DfResult<Vec<DataType>> {
        Ok(types.iter().map(known).collect())
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        let fields = types.iter().enumerate().map(|(i, t)| Field::new(format!("f{}", i + 1), known(t), true));
        Ok(record(fields))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        let fields = args.arg_fields.iter().enumerate().map(|(i, field)| {
            let data_type = known(field.data_type());
            field.as_ref().clone().with_name(format!("f{}", i + 1)).with_data_type(data_type)
        });
        Ok(Arc::new(Field::new("row", record(fields), false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let DataType::Struct(fields) = args.return_field.data_type() else { return Err(no_record()) };
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = args.args.iter().zip(fields).map(|(value, field)| {
            let array = value.to_array(rows)?;
            let same = array.data_type() == field.data_type();
            Ok(if same { array } else { arrow::compute::cast(&array, field.data_type())? })
        });
        let columns = columns.collect::<DfResult<Vec<_>>>()?;
        let array: ArrayRef = Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, rows)?);
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)),
            false => Ok(ColumnarValue::Array(array)),
        }
    }
}

/// `(record).field`, the field's name being a constant. With a third argument it is `column.field`, which names a table.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RecordField;

impl RecordField {
    fn find<'a>(of: &'a Field, name: &str) -> Result<(usize, &'a Fields)> {
        let DataType::Struct(fields) = of.data_type() else {
            let of = sql_name(of);
            let message = format!("column notation .{name} applied to type {of}, which is not a composite type");
            let error = Error::new(SqlState::WRONG_OBJECT_TYPE, message);
            return Err(if of == "jsonb" { error.with_hint("Use -> or ->>.") } else { error });
        };
        let at = fields.iter().position(|field| field.name() == name).ok_or_else(|| {
            let message = format!("column \"{name}\" not found in data type {}", sql_name(of));
            Error::new(SqlState::UNDEFINED_COLUMN, message)
        })?;
        Ok((at, fields))
    }
}

impl ScalarUDFImpl for RecordField {
    fn name(&self) -> &'static str {
        "record_field"
    }

    fn signature(&self) -> &Signature {
        &SIGNATURE
    }

    fn coerce_types(&self, types: &[DataType]) -> DfResult<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Err(no_record())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        let text = |at: usize| args.scalar_arguments.get(at).and_then(|a| a.and_then(|a| a.try_as_str().flatten()));
        if let (Some(field), Some(column)) = (text(1), text(2)) {
            let message = format!("missing FROM-clause entry for table \"{column}\"");
            let hint = format!("A field of column \"{column}\" is ({column}).{field}.");
            return Err(Error::new(SqlState::UNDEFINED_TABLE, message).with_hint(hint).into());
        }
        let (Some(of), Some(name)) = (args.arg_fields.first(), text(1)) else { return Err(no_record()) };
        let (at, fields) = Self::find(of, name)?;
        Ok(Arc::clone(&fields[at]))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let [value, ColumnarValue::Scalar(name)] = args.args.as_slice() else { return Err(no_record()) };
        let (at, _) = Self::find(&args.arg_fields[0], name.try_as_str().flatten().unwrap_or_default())?;
        let part = |array: &ArrayRef| -> DfResult<ArrayRef> {
            let records = array.as_struct_opt().ok_or_else(no_record)?;
            let column = records.column(at);
            match records.null_count() {
                0 => Ok(Arc::clone(column)),
                _ => Ok(nullif(column, &is_null(records)?)?),
            }
        };
        match value {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(part(array)?)),
            ColumnarValue::Scalar(value) => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&part(&value.to_array()?)?, 0)?))
            }
        }
    }
}

fn no_record() -> DataFusionError {
    Error::internal("a record's field without a record or a name").into()
}
