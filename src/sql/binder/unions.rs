//! UNION, INTERSECT, EXCEPT: the columns of both sides get one type, as PostgreSQL finds it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Projection, Union};

use super::typing::{Typer, common, field_of, is_unknown, plain, type_name};
use crate::data::text::TimeZone;
use crate::error::{Error, SqlState};

/// A node over typed inputs; only set operations change.
pub(super) fn matched(node: LogicalPlan, zone: &TimeZone) -> Result<LogicalPlan> {
    match node {
        LogicalPlan::Union(union) => united(union, zone),
        LogicalPlan::Join(join)
            if join.null_equality == NullEquality::NullEqualsNull
                && matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti) =>
        {
            compared(join, zone)
        }
        other => Ok(other),
    }
}

fn mismatch(what: &str, left: &Field, right: &Field) -> Error {
    let message = format!("{what} types {} and {} cannot be matched", type_name(left), type_name(right));
    Error::new(SqlState::DATATYPE_MISMATCH, message)
}

fn united(union: Union, zone: &TimeZone) -> Result<LogicalPlan> {
    let width = union.schema.fields().len();
    let mut targets: Vec<Option<Field>> = vec![None; width];
    for input in &union.inputs {
        for (n, target) in targets.iter_mut().enumerate() {
            if unknown(input, n) {
                continue;
            }
            let field = input.schema().field(n).as_ref().clone();
            *target = Some(match target.take() {
                None => field,
                Some(so_far) => common(&so_far, &field).ok_or_else(|| mismatch("UNION", &so_far, &field))?,
            });
        }
    }
    let targets: Vec<Field> = targets.into_iter().map(|t| t.unwrap_or_else(|| plain(&DataType::Utf8))).collect();
    let inputs = union.inputs.into_iter().map(|input| cast_to(input, &targets, zone));
    Ok(LogicalPlan::Union(Union::try_new_with_loose_types(inputs.collect::<Result<_>>()?)?))
}

/// Whether a column is a constant without a type.
fn unknown(plan: &LogicalPlan, column: usize) -> bool {
    match plan {
        LogicalPlan::Projection(p) => p.expr.get(column).is_some_and(is_unknown),
        plan => plan.schema().field(column).data_type().is_null(),
    }
}

/// A side with its columns cast where they are of another type.
fn cast_to(input: Arc<LogicalPlan>, targets: &[Field], zone: &TimeZone) -> Result<Arc<LogicalPlan>> {
    let schema = input.schema().clone();
    let differs = |(n, to): (usize, &Field)| unknown(&input, n) || schema.field(n).data_type() != to.data_type();
    if !targets.iter().enumerate().any(differs) {
        return Ok(input);
    }
    if let LogicalPlan::Projection(projection) = input.as_ref() {
        let typer = Typer { zone, schema: projection.input.schema() };
        let mut exprs = Vec::with_capacity(targets.len());
        for (n, (expr, to)) in projection.expr.iter().zip(targets).enumerate() {
            let (qualifier, field) = schema.qualified_field(n);
            let own = expr.clone().unalias();
            exprs.push(if is_unknown(&own) {
                typer.coerce_unknown(own, to)?.alias_qualified(qualifier.cloned(), field.name())
            } else if field.data_type() != to.data_type() {
                typer.implicit(own, to)?.alias_qualified(qualifier.cloned(), field.name())
            } else {
                expr.clone()
            });
        }
        return Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(exprs, projection.input.clone())?)));
    }
    let typer = Typer { zone, schema: &schema };
    let column = |(n, to): (usize, &Field)| {
        let (qualifier, field) = schema.qualified_field(n);
        let column = Expr::Column(Column::from((qualifier, field)));
        if field.data_type() == to.data_type() {
            return Ok(column);
        }
        Ok(typer.implicit(column, to)?.alias_qualified(qualifier.cloned(), field.name()))
    };
    let exprs = targets.iter().enumerate().map(column).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(LogicalPlanBuilder::from(input.as_ref().clone()).project(exprs)?.build()?))
}

/// INTERSECT and EXCEPT are joins on all columns.
fn compared(mut join: Join, zone: &TimeZone) -> Result<LogicalPlan> {
    let what = if join.join_type == JoinType::LeftSemi { "INTERSECT" } else { "EXCEPT" };
    let mut on = Vec::with_capacity(join.on.len());
    for (left, right) in join.on {
        let (l, r) = (field_of(&left, join.left.schema())?, field_of(&right, join.right.schema())?);
        let target = common(&l, &r).ok_or_else(|| mismatch(what, &l, &r))?;
        let (of_left, of_right) =
            (Typer { zone, schema: join.left.schema() }, Typer { zone, schema: join.right.schema() });
        let cast = |typer: &Typer<'_>, e: Expr, own: &Field| {
            if own.data_type() == target.data_type() { Ok(e) } else { typer.implicit(e, &target) }
        };
        on.push((cast(&of_left, left, &l)?, cast(&of_right, right, &r)?));
    }
    join.on = on;
    Ok(LogicalPlan::Join(join))
}
