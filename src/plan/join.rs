//! Inner joins: keys as columns on both sides, what else the condition asks as a filter above.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{self as logical, Expr, ExprSchemable, Operator};

use super::aggregate::is_true;
use super::bounds::{Bound, bounds};
use super::expr::{Scalar, display};
use super::lower::{Above, Lowering, check_join, open, projection};
use super::node::{Join, Plan};
use super::properties::{ColumnProperties, Properties, StateBound};
use super::watermark;
use crate::data::Monotone;
use crate::error::{Error, Result};
use crate::state::check_key_type;

/// One side of a join: its plan, and the key columns, of which computed ones stand behind its own.
struct Side<'a> {
    plan: Plan,
    schema: &'a DFSchema,
    width: usize,
    computed: Vec<Expr>,
    keys: Vec<usize>,
}

impl Lowering<'_> {
    pub(super) fn join(&mut self, join: &logical::Join, above: Above) -> Result<Plan> {
        check_join(join)?;
        let (left_schema, right_schema): (&DFSchema, &DFSchema) = (join.left.schema(), join.right.schema());
        let mut on = join.on.clone();
        let mut residual = vec![];
        for condition in join.filter.iter().flat_map(split_conjunction).filter(|c| !is_true(c)) {
            match equality(condition, left_schema, right_schema) {
                Some(pair) => on.push(pair),
                None => residual.push(condition.clone()),
            }
        }
        if on.is_empty() {
            return Err(Error::unsupported(
                "a join without an equality between its sides in a materialized view",
                "Add a condition like a.x = b.y.",
            ));
        }
        let mut left = Side::new(self.node(&join.left, above)?, left_schema);
        let mut right = Side::new(self.node(&join.right, above)?, right_schema);
        for (l, r) in &on {
            let (lt, rt) = (l.get_type(left_schema)?, r.get_type(right_schema)?);
            check_key_type(&lt)?;
            left.key(l);
            if lt == rt {
                right.key(r);
            } else {
                right.key(&logical::cast(r.clone(), lt));
            }
        }
        let (left_width, right_width) = (left.width, right.width);
        let left_columns = left.plan.properties().columns.clone();
        let right_columns = right.plan.properties().columns.clone();
        let (left, left_keys) = left.finish(self)?;
        let (right, right_keys) = right.finish(self)?;
        let shift = left.properties().columns.len();
        let node = node(left, right, left_keys.into_iter().zip(right_keys).collect());
        // Computed keys are projected away again; the output has the columns that the logical plan says.
        let visible = (0..left_width).chain(shift..shift + right_width);
        let schema = open(&join.schema);
        let scalars = visible.clone().zip(schema.fields()).map(|(c, f)| Scalar::column(c, f.name())).collect();
        let columns = visible.map(|c| node.properties().columns[c].clone()).collect();
        let plain = node.properties().columns.len() == left_width + right_width;
        let mut plan = if plain { node } else { projection(node, scalars, columns, schema)? };
        let own: Vec<ColumnProperties> = left_columns.into_iter().chain(right_columns).collect();
        let mut kept = plan.properties().columns.clone();
        for condition in residual {
            plan = self.filter(plan, &condition, &join.schema)?;
            for bound in bounds(&condition, &join.schema, &self.options.config) {
                keep(&mut kept, &own, bound, left_width);
            }
        }
        if let Plan::Filter(filter) = &mut plan {
            filter.properties.columns = kept;
        }
        Ok(plan)
    }
}

/// Keeps the watermark of a column that the condition holds above one of the other side; `own`: before the join.
fn keep(kept: &mut [ColumnProperties], own: &[ColumnProperties], bound: Bound, left_width: usize) {
    let sides_differ = (bound.column < left_width) != (bound.other < left_width);
    if !sides_differ || kept[bound.column].watermark.is_some() {
        return;
    }
    let mine = own[bound.column].watermark.clone();
    let theirs = own[bound.other].watermark.clone().map(|w| w.then(&Monotone::Shift(bound.micros)));
    kept[bound.column].watermark = mine.zip(theirs).map(|(mine, theirs)| mine.min(theirs).behind_state());
}

/// A condition `l = r` whose sides belong to the two inputs, as (left, right).
fn equality(condition: &Expr, left: &DFSchema, right: &DFSchema) -> Option<(Expr, Expr)> {
    let Expr::BinaryExpr(binary) = condition else { return None };
    if binary.op != Operator::Eq {
        return None;
    }
    let within = |e: &Expr, schema: &DFSchema| {
        let columns = e.column_refs();
        !columns.is_empty() && columns.iter().all(|c| schema.has_column(c))
    };
    let (a, b) = (binary.left.as_ref(), binary.right.as_ref());
    if within(a, left) && within(b, right) {
        Some((a.clone(), b.clone()))
    } else if within(b, left) && within(a, right) {
        Some((b.clone(), a.clone()))
    } else {
        None
    }
}

impl<'a> Side<'a> {
    fn new(plan: Plan, schema: &'a DFSchema) -> Self {
        let width = plan.properties().columns.len();
        Self { plan, schema, width, computed: vec![], keys: vec![] }
    }

    fn key(&mut self, expr: &Expr) {
        let column = match expr {
            Expr::Column(column) => self.schema.index_of_column(column).ok(),
            _ => None,
        };
        self.keys.push(column.unwrap_or(self.width + self.computed.len()));
        if column.is_none() {
            self.computed.push(expr.clone());
        }
    }

    fn finish(self, lowering: &Lowering<'_>) -> Result<(Plan, Vec<usize>)> {
        if self.computed.is_empty() {
            return Ok((self.plan, self.keys));
        }
        let before = self.plan.properties();
        let mut fields: Vec<Field> = before.schema.fields().iter().map(|f| f.as_ref().clone()).collect();
        let own = before.schema.fields().iter().enumerate();
        let mut scalars: Vec<Scalar> = own.map(|(i, f)| Scalar::column(i, f.name())).collect();
        let mut columns = before.columns.clone();
        for expr in &self.computed {
            scalars.push(lowering.scalar(expr, self.schema)?);
            columns.push(lowering.column_properties(expr, self.schema, before));
            fields.push(Field::new(display(expr), expr.get_type(self.schema)?, true));
        }
        Ok((projection(self.plan, scalars, columns, Arc::new(Schema::new(fields)))?, self.keys))
    }
}

fn node(left: Plan, right: Plan, on: Vec<(usize, usize)>) -> Plan {
    let (l, r) = (left.properties(), right.properties());
    let width = l.columns.len();
    let fields: Vec<_> = l.schema.fields().iter().chain(r.schema.fields()).cloned().collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let mut columns = vec![ColumnProperties::default(); width + r.columns.len()];
    for &(a, b) in &on {
        let both = watermark::min(l.columns[a].clone(), &r.columns[b], true);
        columns[a] = both.clone();
        columns[width + b] = both;
    }
    let covered = |key: &Vec<usize>, mut side: Box<dyn Iterator<Item = usize>>| {
        let on: Vec<usize> = side.by_ref().collect();
        key.iter().all(|k| on.contains(k))
    };
    let right_unique = r.key.as_ref().is_some_and(|k| covered(k, Box::new(on.iter().map(|p| p.1))));
    let left_unique = l.key.as_ref().is_some_and(|k| covered(k, Box::new(on.iter().map(|p| p.0))));
    let shifted = |k: &Vec<usize>| k.iter().map(|c| c + width).collect::<Vec<_>>();
    let key = match (&l.key, &r.key) {
        (Some(left), _) if right_unique => Some(left.clone()),
        (_, Some(right)) if left_unique => Some(shifted(right)),
        (Some(left), Some(right)) => Some(left.iter().copied().chain(shifted(right)).collect()),
        _ => None,
    };
    let properties =
        Properties { schema, key, append_only: l.append_only && r.append_only, columns, state: StateBound::Rows };
    Plan::Join(Join { left: Box::new(left), right: Box::new(right), on, properties })
}
