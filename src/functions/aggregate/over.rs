//! [`Aggregate`]: any aggregate of ours in SELECT, over the accumulators that views have too.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::expr::AggregateFunctionParams;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator as One, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::types::types;
use crate::data::types::{JSONB, array, json};
use crate::error::Error;
use crate::functions::accumulator::{Accumulator, AccumulatorKind, AggregateFunction};

/// One aggregate function; ORDER BY's expressions are its last arguments.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Aggregate {
    name: &'static str,
    /// Which.
    pub function: AggregateFunction,
    /// How each of the last arguments orders.
    pub order: Vec<SortOptions>,
    signature: Signature,
}

impl Aggregate {
    pub(super) fn new(name: &'static str, function: AggregateFunction, order: Vec<SortOptions>) -> Self {
        Self { name, function, order, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// The same with an ORDER BY.
    pub fn ordered(&self, order: Vec<SortOptions>) -> Self {
        Self::new(self.name, self.function, order)
    }

    fn kind(&self, fields: &[FieldRef], result: &FieldRef, distinct: bool, retracting: bool) -> AccumulatorKind {
        AccumulatorKind {
            function: self.function,
            inputs: fields.iter().map(|f| f.data_type().clone()).collect(),
            order: self.order.clone(),
            output: result.data_type().clone(),
            retracting,
            distinct,
        }
    }

    /// What the arguments become, and the result. Wrong ones stay: the binder, which knows which are unknown, refuses them.
    fn types(&self, given: &[DataType]) -> (Vec<DataType>, DataType) {
        let (arguments, keys) = given.split_at(given.len().saturating_sub(self.order.len()));
        let found = types(self.function, arguments);
        let (mut arguments, result) = found.unwrap_or_else(|| (arguments.to_vec(), DataType::Null));
        arguments.extend_from_slice(keys);
        (arguments, result)
    }

    /// Tells apart what differs only in how it orders.
    fn text(&self, params: &AggregateFunctionParams) -> String {
        let AggregateFunctionParams { args, distinct, filter, order_by, .. } = params;
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let distinct = if *distinct { "DISTINCT " } else { "" };
        let order = self.order.iter().map(|o| match (o.descending, o.nulls_first) {
            (false, false) => " ASC",
            (false, true) => " ASC NULLS FIRST",
            (true, false) => " DESC NULLS LAST",
            (true, true) => " DESC",
        });
        let order: String = order.map(ToOwned::to_owned).chain(order_by.iter().map(|key| format!(" {key}"))).collect();
        let filter = filter.as_ref().map(|f| format!(" FILTER (WHERE {f})")).unwrap_or_default();
        format!("{}({distinct}{}{order}){filter}", self.name, args.join(","))
    }
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn schema_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        Ok(self.text(params))
    }

    fn display_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        Ok(self.text(params))
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        Ok(self.types(given).0)
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        Ok(self.types(given).1)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let given: Vec<DataType> = fields.iter().map(|f| f.data_type().clone()).collect();
        let result = self.return_type(&given)?;
        if let AggregateFunction::Ordered(function) = self.function
            && let Some(jsonb) = function.document()
        {
            let field = if jsonb { Field::new(self.name, JSONB, true) } else { json(self.name, true) };
            return Ok(Arc::new(field));
        }
        let Some(first) = fields.first() else { return Ok(Arc::new(Field::new(self.name, result, true))) };
        // What a value is called (varchar, json, ..) stays with it.
        Ok(Arc::new(match result {
            DataType::List(_) if !first.data_type().is_list() => array(self.name, first, true),
            same if same == *first.data_type() && same != DataType::Boolean => {
                Field::new(self.name, same, true).with_metadata(first.metadata().clone())
            }
            other => Field::new(self.name, other, true),
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let kind = self.kind(args.input_fields, &args.return_field, args.is_distinct, false);
        let columns = Accumulator::new(kind)?.dump(&[])?;
        let field = |(i, c): (usize, &ArrayRef)| {
            Arc::new(Field::new(format!("{}[{i}]", args.name), c.data_type().clone(), true))
        };
        Ok(columns.iter().enumerate().map(field).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn One>> {
        let kind = self.kind(args.expr_fields, &args.return_field, args.is_distinct, false);
        Ok(Box::new(Single::new(kind)?))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn One>> {
        let kind = self.kind(args.expr_fields, &args.return_field, args.is_distinct, true);
        Ok(Box::new(Single::new(kind)?))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        let kind = self.kind(args.expr_fields, &args.return_field, args.is_distinct, false);
        Ok(Box::new(Groups { accumulator: Accumulator::new(kind.clone())?, kind, groups: 0, entries: vec![] }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.function {
            AggregateFunction::Count | AggregateFunction::ApproxDistinct => Ok(ScalarValue::Int64(Some(0))),
            _ => ScalarValue::try_from(data_type),
        }
    }
}

/// The results of all entries below `entries`. Errors: that of the first without one.
fn results(accumulator: &Accumulator, entries: usize) -> Result<ArrayRef> {
    let finished = accumulator.finish(&numbers(0, entries))?;
    match finished.errors.into_iter().next() {
        Some((_, error)) => Err(Error::new(error.code, error.message).into()),
        None => Ok(finished.column),
    }
}

fn numbers(from: usize, to: usize) -> Vec<u32> {
    (from as u32..to as u32).collect()
}

/// Many groups.
struct Groups {
    kind: AccumulatorKind,
    accumulator: Accumulator,
    groups: usize,
    entries: Vec<u32>,
}

impl Groups {
    fn entries(&mut self, indices: &[usize], groups: usize) {
        self.groups = groups;
        self.accumulator.resize(groups);
        self.entries.clear();
        self.entries.extend(indices.iter().map(|&i| i as u32));
    }

    /// Forgets the first groups, or all.
    fn forget(&mut self, emit: EmitTo) -> Result<()> {
        let mut left = Accumulator::new(self.kind.clone())?;
        if let EmitTo::First(n) = emit {
            let rest = self.accumulator.dump(&numbers(n, self.groups))?;
            self.groups -= n;
            left.resize(self.groups);
            left.merge(&numbers(0, self.groups), &mut rest.into_iter())?;
        } else {
            self.groups = 0;
        }
        self.accumulator = left;
        Ok(())
    }

    fn emitted(&self, emit: EmitTo) -> usize {
        match emit {
            EmitTo::All => self.groups,
            EmitTo::First(n) => n,
        }
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.entries(group_indices, total_num_groups);
        Ok(self.accumulator.update(&self.entries, values, opt_filter, None)?)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let column = results(&self.accumulator, self.emitted(emit_to))?;
        self.forget(emit_to)?;
        Ok(column)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let columns = self.accumulator.dump(&numbers(0, self.emitted(emit_to)))?;
        self.forget(emit_to)?;
        Ok(columns)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.entries(group_indices, total_num_groups);
        Ok(self.accumulator.merge(&self.entries, &mut values.iter().cloned())?)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = numbers(0, values.first().map_or(0, |v| v.len()));
        let mut own = Accumulator::new(self.kind.clone())?;
        own.resize(rows.len());
        own.update(&rows, values, opt_filter, None)?;
        Ok(own.dump(&rows)?)
    }

    fn size(&self) -> usize {
        self.accumulator.bytes() + self.entries.capacity() * 4
    }
}

/// One group: of a query without GROUP BY, or of a window frame.
struct Single {
    accumulator: Accumulator,
    retracting: bool,
}

impl std::fmt::Debug for Single {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Single").field("retracting", &self.retracting).finish()
    }
}

impl Single {
    fn new(kind: AccumulatorKind) -> crate::error::Result<Self> {
        let retracting = kind.retracting;
        let mut accumulator = Accumulator::new(kind)?;
        accumulator.resize(1);
        Ok(Self { accumulator, retracting })
    }

    fn update(&mut self, values: &[ArrayRef], diffs: Option<&[i64]>) -> Result<()> {
        let rows = values.first().map_or(0, |v| v.len());
        Ok(self.accumulator.update(&vec![0; rows], values, None, diffs)?)
    }
}

impl One for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.update(values, None)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&results(&self.accumulator, 1)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.accumulator.bytes()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let columns = self.accumulator.dump(&[0])?;
        columns.iter().map(|c| ScalarValue::try_from_array(c, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states.first().map_or(0, |s| s.len());
        Ok(self.accumulator.merge(&vec![0; rows], &mut states.iter().cloned())?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |v| v.len());
        self.update(values, Some(&vec![-1; rows]))
    }

    fn supports_retract_batch(&self) -> bool {
        self.retracting
    }
}
