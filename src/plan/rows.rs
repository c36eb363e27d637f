//! Constant rows and UNNEST.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::DFSchema;
use datafusion::common::NullHandling;
use datafusion::logical_expr::{self as logical};

use super::lower::{Above, Lowering, open};
use super::node::{Plan, Unnest, Values};
use super::properties::Properties;
use crate::error::{Error, Result};

impl Lowering<'_> {
    pub(super) fn values(&self, values: &logical::Values) -> Result<Plan> {
        let schema = open(&values.schema);
        let one = one_row()?;
        let from = DFSchema::try_from(one.schema())?;
        let mut columns = vec![];
        for (i, field) in schema.fields().iter().enumerate() {
            let cells = values.values.iter().map(|row| self.scalar(&row[i], &from)?.evaluate(&one));
            let cells = cells.collect::<Result<Vec<ArrayRef>>>()?;
            let cells = cells.iter().map(|c| Ok(arrow::compute::cast(c, field.data_type())?));
            let cells = cells.collect::<Result<Vec<ArrayRef>>>()?;
            columns.push(concat(&cells.iter().map(AsRef::as_ref).collect::<Vec<_>>())?);
        }
        constant(RecordBatch::try_new(schema, columns)?)
    }

    /// FROM nothing: one row of a column that nobody reads, or no row at all.
    pub(super) fn empty(&self, empty: &logical::EmptyRelation) -> Result<Plan> {
        if empty.produce_one_row && empty.schema.fields().is_empty() {
            return constant(one_row()?);
        }
        constant(RecordBatch::new_empty(open(&empty.schema)))
    }

    pub(super) fn unnest(&mut self, unnest: &logical::Unnest, above: Above) -> Result<Plan> {
        let input = self.node(&unnest.input, above)?;
        let deep = unnest.list_type_columns.iter().any(|(_, list)| list.depth != 1);
        if deep || !unnest.struct_type_columns.is_empty() {
            return Err(Error::unsupported(
                "unnest of records or of nested lists in a materialized view",
                "Unnest one level at a time, in views on views.",
            ));
        }
        let preserve_nulls = match unnest.options.null_handling {
            NullHandling::Drop => false,
            NullHandling::Preserve => true,
            NullHandling::PreserveAndExpandEmpty => {
                return Err(Error::unsupported(
                    "unnest that keeps empty lists in a materialized view",
                    "Leave it out.",
                ));
            }
        };
        let before = input.properties();
        let mut properties = Properties::plain(open(&unnest.schema));
        properties.append_only = before.append_only;
        let mut columns = vec![];
        for (i, &from) in unnest.dependency_indices.iter().enumerate() {
            let list = unnest.list_type_columns.iter().any(|(c, _)| *c == from);
            if list && !matches!(before.schema.field(from).data_type(), DataType::List(_)) {
                return Err(Error::unsupported(
                    "unnest of this list type in a materialized view",
                    "Cast it to an array.",
                ));
            }
            if !list {
                properties.columns[i] = before.columns[from].clone();
            }
            columns.push((from, list));
        }
        Ok(Plan::Unnest(Unnest { input: Box::new(input), columns, preserve_nulls, properties }))
    }
}

fn constant(rows: RecordBatch) -> Result<Plan> {
    let properties = Properties { append_only: true, ..Properties::plain(rows.schema()) };
    Ok(Plan::Values(Values { rows, properties }))
}

fn one_row() -> Result<RecordBatch> {
    let schema = Schema::new(vec![Field::new("?", DataType::Boolean, true)]);
    Ok(RecordBatch::try_new(Arc::new(schema), vec![Arc::new(BooleanArray::from(vec![None::<bool>]))])?)
}
