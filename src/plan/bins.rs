//! `GROUP BY date_bin(..)` and `date_trunc(..)`: ordinary SQL, and a window where the column has a watermark.
//!
//! The bin of a watermarked column is a tumbling window: its end is the next bin, by arithmetic for fixed strides and by
//! the calendar for months, quarters and years. So a [`WindowAssign`] takes its place, and everything that is true of
//! TUMBLE is true of it: one table of groups per bin, EMIT ON WINDOW CLOSE, ALLOW LATENESS. The window is assigned where
//! the bin is computed, directly below the GROUP BY or at the projection of a subquery that names it; there, above WHERE
//! and joins, each change is judged by its own event time.
//!
//! **NULL**: SQL keeps a group of the rows without event time, and so does this window: their bin is NULL. They are never
//! late, for no watermark passes them. Their window has no next bin: it ends when event time does, so EMIT ON WINDOW
//! CLOSE shows their group when every source has ended, and a NOTICE says so.
//!
//! **`infinity` and `-infinity`** are in no bin of any length: each has one of its own, as `date_bin` says. That of `-infinity`
//! is over as soon as event time has begun, the other when it has ended.
//!
//! **Several bins** in one GROUP BY: the shortest is the window, since its end is the end of the group; the others are
//! group columns like any other. A GROUP BY that names the window of a TUMBLE or HOP has its window.
//!
//! Not windows, but ordinary groups: bins of columns without watermark, of a varying stride, and `date_trunc` of
//! TIMESTAMPTZ in a TimeZone other than UTC, where days are not all of one length.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, Extension, Filter, LogicalPlan, Projection, SubqueryAlias};

use super::lower::{Above, Lowering, ViewOptions};
use super::properties::Properties;
use super::watermark;
use crate::catalog::object::Emit;
use crate::data::Monotone;
use crate::error::Result;
use crate::functions::window::WindowKind;
use crate::sql::optimize;
use crate::sql::window::{Spelling, WindowAssign};

/// Puts windows where a query groups by bins of watermarked columns. The plan is typed, not yet optimized.
pub fn binned(plan: LogicalPlan, options: &ViewOptions) -> Result<LogicalPlan> {
    let plan = plan.transform_up(|node| {
        let bins = match &node {
            LogicalPlan::Aggregate(a) => Bins { groups: a.group_expr.clone(), input: &a.input, options },
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let columns = input.schema().iter().map(|field| Expr::Column(field.into()));
                Bins { groups: columns.collect(), input, options }
            }
            _ => return Ok(Transformed::no(node)),
        };
        let Some((place, bin)) = bins.window()? else { return Ok(Transformed::no(node)) };
        Ok(Transformed::yes(match node {
            LogicalPlan::Aggregate(a) => LogicalPlan::Aggregate(aggregate(a, place, bin)?),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                LogicalPlan::Distinct(Distinct::All(Arc::new(below(&input, place, bin)?)))
            }
            other => other,
        }))
    })?;
    Ok(plan.data)
}

/// What a query groups by.
struct Bins<'a> {
    groups: Vec<Expr>,
    input: &'a LogicalPlan,
    options: &'a ViewOptions,
}

/// A bin of a time.
struct Bin {
    time: Expr,
    kind: WindowKind,
}

impl Bins<'_> {
    /// Which group is the window, if one is.
    fn window(&self) -> DfResult<Option<(usize, Bin)>> {
        let found: Vec<(usize, Bin)> = (0..self.groups.len()).filter_map(|i| Some((i, self.bin(i)?))).collect();
        if found.is_empty() {
            return Ok(None);
        }
        let Some(properties) = self.properties() else { return Ok(None) };
        let schema = self.input.schema();
        let known = |e: &Expr| watermark::of_expr(e, schema, &properties, &self.options.config);
        if self.groups.iter().any(|g| known(g).window.is_some()) {
            return Ok(None);
        }
        let moving = found.into_iter().filter(|(i, _)| known(&self.groups[*i]).watermark.is_some());
        Ok(moving.min_by_key(|(_, bin)| bin.kind.size()))
    }

    fn bin(&self, group: usize) -> Option<Bin> {
        match self.groups.get(group)? {
            Expr::Column(column) => named(self.input, column, &self.options.config),
            expr => bin(expr, self.input, &self.options.config),
        }
    }

    /// What is known of the input; what cannot be lowered is refused later, with a reason.
    fn properties(&self) -> Option<Properties> {
        let options = ViewOptions { config: self.options.config.clone(), ..ViewOptions::default() };
        let input = optimize::for_view(self.input.clone()).ok()?;
        let plan = Lowering::new(&options).node(&input, Above { emit: Emit::OnUpdate, lateness: None }).ok()?;
        Some(plan.properties().clone())
    }
}

type Config = datafusion::config::ConfigOptions;

/// The bin that an expression is.
fn bin(expr: &Expr, input: &LogicalPlan, config: &Config) -> Option<Bin> {
    let (time, function) = watermark::monotone(bare(expr), input.schema(), config)?;
    let kind = match function {
        Monotone::Floor { size, offset } => WindowKind::Tumble { size, offset },
        Monotone::Truncate(unit) => WindowKind::Calendar { unit },
        Monotone::Shift(_) | Monotone::FirstHop { .. } | Monotone::End(_) => return None,
    };
    Some(Bin { time: time.clone(), kind })
}

fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => bare(&alias.expr),
        other => other,
    }
}

/// The bin that a projection further down calls by this name.
fn named(plan: &LogicalPlan, column: &Column, config: &Config) -> Option<Bin> {
    match plan {
        LogicalPlan::Projection(p) => match bare(p.expr.get(p.schema.index_of_column(column).ok()?)?) {
            Expr::Column(below) => named(&p.input, below, config),
            expr => bin(expr, &p.input, config),
        },
        LogicalPlan::Filter(f) => named(&f.input, column, config),
        LogicalPlan::SubqueryAlias(a) => named(&a.input, &through(a, column)?, config),
        _ => None,
    }
}

/// A column as an alias's input knows it.
fn through(alias: &SubqueryAlias, column: &Column) -> Option<Column> {
    let index = alias.schema.index_of_column(column).ok()?;
    Some(alias.input.schema().qualified_field(index).into())
}

/// The GROUP BY with a window for its n-th group.
fn aggregate(mut aggregate: Aggregate, place: usize, bin: Bin) -> DfResult<Aggregate> {
    let schema = aggregate.schema.clone();
    if let Some(Expr::Column(column)) = aggregate.group_expr.get(place) {
        let input = rename(&aggregate.input, &column.clone(), bin)?;
        return Aggregate::try_new_with_schema(Arc::new(input), aggregate.group_expr, aggregate.aggr_expr, schema);
    }
    let assign = assign(aggregate.input.as_ref().clone(), bin)?;
    let name = schema.field(place).name();
    aggregate.group_expr[place] = assign.bound(0).alias(name);
    let input = LogicalPlan::Extension(Extension { node: Arc::new(assign) });
    Aggregate::try_new_with_schema(Arc::new(input), aggregate.group_expr, aggregate.aggr_expr, schema)
}

/// A plan with a window for its n-th column.
fn below(plan: &LogicalPlan, place: usize, bin: Bin) -> DfResult<LogicalPlan> {
    rename(plan, &plan.schema().qualified_field(place).into(), bin)
}

/// The plan in which [`named`] found the bin, with a window for it.
fn rename(plan: &LogicalPlan, column: &Column, bin: Bin) -> DfResult<LogicalPlan> {
    let lost = || datafusion::error::DataFusionError::Internal("the bin has moved".into());
    Ok(match plan {
        LogicalPlan::Projection(p) => {
            let place = p.schema.index_of_column(column)?;
            let mut exprs = p.expr.clone();
            let input = match bare(&exprs[place]).clone() {
                Expr::Column(below) => rename(&p.input, &below, bin)?,
                _ => {
                    let assign = assign(p.input.as_ref().clone(), bin)?;
                    let (qualifier, field) = p.schema.qualified_field(place);
                    exprs[place] = assign.bound(0).alias_qualified(qualifier.cloned(), field.name());
                    LogicalPlan::Extension(Extension { node: Arc::new(assign) })
                }
            };
            LogicalPlan::Projection(Projection::try_new_with_schema(exprs, Arc::new(input), p.schema.clone())?)
        }
        LogicalPlan::Filter(f) => {
            LogicalPlan::Filter(Filter::try_new(f.predicate.clone(), Arc::new(rename(&f.input, column, bin)?))?)
        }
        LogicalPlan::SubqueryAlias(a) => {
            let input = rename(&a.input, &through(a, column).ok_or_else(lost)?, bin)?;
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), a.alias.clone())?)
        }
        _ => return Err(lost()),
    })
}

fn assign(input: LogicalPlan, bin: Bin) -> DfResult<WindowAssign> {
    let (input, time) = crate::sql::window::time_column(input, bin.time)?;
    WindowAssign::spelled(input, time, bin.kind, false, Spelling::Bin)
}
