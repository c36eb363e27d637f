//! A plan as it runs: windows send only the columns that are read, and a hopping window's rows travel once.
//!
//! The rows, errors and counters of a view are the same as those of the plan that EXPLAIN prints; only what goes from one
//! operator to the next is less. Columns are left out, and panes formed, only where nothing but a choice of columns lies
//! between the window and whoever reads it: an expression that fails reports the row that it was given, once per window.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use super::expr::{Scalar, Scalars};
use super::node::{Aggregate, AggregateCall, Panes, Plan, Project, Window};
use crate::functions::window::WindowKind;
use crate::state::AggregateFunction;

/// The plan to render.
pub fn shaped(plan: &Plan) -> Plan {
    match plan {
        Plan::Aggregate(aggregate) => match panes(aggregate) {
            Some(aggregate) => Plan::Aggregate(aggregate),
            None => Plan::Aggregate(Aggregate { input: below(&aggregate.input), ..aggregate.clone() }),
        },
        Plan::Project(project) => match project.input.as_ref() {
            Plan::Window(window) => Plan::Project(narrowed(project, window, false).unwrap_or_else(|| project.clone())),
            _ => Plan::Project(Project { input: below(&project.input), ..project.clone() }),
        },
        Plan::Source(_) | Plan::Values(_) => plan.clone(),
        Plan::Filter(n) => Plan::Filter(super::Filter { input: below(&n.input), ..n.clone() }),
        Plan::Unnest(n) => Plan::Unnest(super::Unnest { input: below(&n.input), ..n.clone() }),
        Plan::Window(n) => Plan::Window(Window { input: below(&n.input), ..n.clone() }),
        Plan::Union(n) => Plan::Union(super::Union {
            inputs: n.inputs.iter().map(shaped).collect(),
            properties: n.properties.clone(),
        }),
        Plan::Join(n) => Plan::Join(super::Join { left: below(&n.left), right: below(&n.right), ..n.clone() }),
    }
}

fn below(input: &Plan) -> Box<Plan> {
    Box::new(shaped(input))
}

/// Whether rows are aggregated on each worker before they are exchanged: where that leaves a sum or a count of many, and
/// not every single value, since it may be taken back.
pub fn preaggregates(aggregate: &Aggregate) -> bool {
    use AggregateFunction as F;
    let append_only = aggregate.input.properties().append_only;
    let light = |call: &AggregateCall| append_only || !matches!(call.function, F::Min | F::Max);
    aggregate.calls.iter().all(|call| merges(call) && light(call))
}

/// An aggregate over a choice of a hopping window's columns, if its windows' groups can be put together from parts.
fn panes(aggregate: &Aggregate) -> Option<Aggregate> {
    let windowed = aggregate.windowed.as_ref()?;
    let Plan::Project(project) = aggregate.input.as_ref() else { return None };
    let Plan::Window(window) = project.input.as_ref() else { return None };
    let WindowKind::Hop { slide, size, .. } = window.kind else { return None };
    if size == slide || !aggregate.calls.iter().all(merges) {
        return None;
    }
    let width = window.input.properties().columns.len();
    // The window is known by its bounds among the group columns only.
    let is_bound = |c: usize| windowed.bounds.iter().any(|(bound, _)| *bound == c);
    let columns = project.scalars.columns()?;
    if columns.iter().enumerate().any(|(i, c)| (*c >= width) != is_bound(i)) {
        return None;
    }
    let project = narrowed(project, window, true)?;
    let panes = Some(Panes { windows: project.scalars.0.len() - 1, slide });
    Some(Aggregate { input: Box::new(Plan::Project(project)), panes, ..aggregate.clone() })
}

/// Whether what rows bring can be put together before it is added to groups: independent of their order, and small.
fn merges(call: &AggregateCall) -> bool {
    use AggregateFunction as F;
    !call.distinct
        && matches!(
            call.function,
            F::Count | F::Sum | F::Min | F::Max | F::Avg | F::Moment(_) | F::Bool(_) | F::Spelling
        )
}

/// A choice of columns over a window that sends no others, and, with `panes`, each row once and its number of windows as
/// the last column.
fn narrowed(project: &Project, window: &Window, panes: bool) -> Option<Project> {
    let chosen = project.scalars.columns()?;
    let width = window.input.properties().columns.len();
    let wide = &window.properties.schema;
    let mut columns: Vec<usize> = chosen.iter().copied().filter(|c| *c < width).collect();
    columns.sort_unstable();
    columns.dedup();
    let mut fields: Vec<Arc<Field>> = columns.iter().map(|c| Arc::clone(&wide.fields()[*c])).collect();
    fields.extend(wide.fields()[width..].iter().cloned());
    let place = |c: usize| match columns.binary_search(&c) {
        Ok(place) => place,
        Err(_) => columns.len() + (c - width),
    };
    let mut scalars: Vec<Scalar> =
        project.scalars.0.iter().zip(&chosen).map(|(s, c)| Scalar::column(place(*c), s.text())).collect();
    let mut projected: Vec<Arc<Field>> = project.properties.schema.fields().iter().cloned().collect();
    if panes {
        let windows = Arc::new(Field::new("windows", DataType::UInt32, false));
        scalars.push(Scalar::column(fields.len(), "windows"));
        projected.push(Arc::clone(&windows));
        fields.push(windows);
    }
    let mut window = Window { input: below(&window.input), columns: Some(columns), panes, ..window.clone() };
    window.properties.schema = Arc::new(Schema::new(fields));
    let mut properties = project.properties.clone();
    properties.schema = Arc::new(Schema::new(projected));
    Some(Project { input: Box::new(Plan::Window(window)), scalars: Scalars(scalars), properties })
}
