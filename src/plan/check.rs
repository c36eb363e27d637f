//! What is refused, by name and with a hint, and what a NOTICE says.

use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};

use super::lower::ViewOptions;
use super::node::{Aggregate, Plan, Window};
use super::properties::StateBound;
use crate::catalog::object::Emit;
use crate::data::{ObjectId, Retention, WatermarkExpr};
use crate::error::{Error, Result, SqlState};
use crate::sql::window::{WindowAssign, WindowKind};

/// Why a node of a logical plan cannot be kept up to date.
pub(super) fn refusal(plan: &LogicalPlan) -> Error {
    let (what, hint) = match plan {
        LogicalPlan::Sort(_) => ("ORDER BY", "Order the rows when you SELECT from the view."),
        LogicalPlan::Limit(_) => return limit(),
        LogicalPlan::Window(_) => ("a window function (OVER)", "Use TUMBLE or HOP with GROUP BY."),
        LogicalPlan::Distinct(Distinct::On(_)) => ("DISTINCT ON", "Use GROUP BY with min or max."),
        LogicalPlan::RecursiveQuery(_) => ("WITH RECURSIVE", "Recursion is not kept up to date."),
        LogicalPlan::Subquery(_) => ("a subquery in an expression", "Write it as a join."),
        other => {
            return Error::unsupported(
                format!("{} in a materialized view", other.display()),
                "Rewrite the query without it.",
            );
        }
    };
    Error::unsupported(format!("{what} in a materialized view"), hint)
}

pub(super) fn limit() -> Error {
    Error::unsupported("LIMIT in a materialized view", "Limit the rows when you SELECT from the view.")
}

/// EMIT ON WINDOW CLOSE reaches its GROUP BY through filters and projections only.
pub(super) fn may_close(plan: &LogicalPlan) -> Result<()> {
    let what = match plan {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => return Ok(()),
        LogicalPlan::Join(_) => "a join",
        LogicalPlan::Union(_) => "UNION ALL",
        LogicalPlan::Unnest(_) => "unnest",
        LogicalPlan::TableScan(_) | LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => {
            "a query without GROUP BY"
        }
        LogicalPlan::Extension(_) => "a window without GROUP BY",
        other => return Err(refusal(other)),
    };
    Err(Error::unsupported(
        format!("EMIT ON WINDOW CLOSE over {what}"),
        "It applies to filters and projections over one GROUP BY on the window of a TUMBLE or HOP, or on date_bin or date_trunc; put the rest into a view on the view.",
    ))
}

/// What has windows that close.
pub(super) const GROUP_BY_WINDOW: &str = "Group by window_start or window_end of a TUMBLE or HOP, or by date_bin or date_trunc (in UTC), over a column with a watermark.";

/// A lateness over a column that has no watermark.
pub(super) fn no_watermark(assign: &WindowAssign, options: &ViewOptions) -> Error {
    let window = match assign.kind {
        WindowKind::Tumble { .. } => "TUMBLE",
        WindowKind::Hop { .. } => "HOP",
        WindowKind::Calendar { .. } => "date_trunc",
    };
    let column = assign.input.schema().field(assign.time_column).name();
    let clause = match (options.emit, options.lateness) {
        (Emit::OnUpdate, None) => "WITH (retention)",
        (Emit::OnUpdate, Some(_)) | (Emit::OnWindowClose, _) => "EMIT ON WINDOW CLOSE or ALLOW LATENESS",
    };
    Error::unsupported(
        format!("{clause} over {window} on column \"{column}\", which has no watermark,"),
        "Declare WATERMARK FOR the column at its table or source; outer joins and computed columns lose it.",
    )
}

/// What becomes of rows without event time where they are kept.
pub(super) fn null_group(assign: &WindowAssign) -> Option<String> {
    let column = assign.input.schema().field(assign.time_column);
    if !assign.keeps_nulls() || !column.is_nullable() || known(&assign.input, column.name()) {
        return None;
    }
    let name = crate::sql::visible(column.name());
    Some(format!(
        "rows without {name} wait in the group of NULL until event time has ended; WHERE {name} IS NOT NULL leaves them out"
    ))
}

/// Whether a filter lets no NULL of a column through.
fn known(plan: &LogicalPlan, column: &str) -> bool {
    let asks =
        |e: &Expr| matches!(e, Expr::IsNotNull(inner) if matches!(inner.as_ref(), Expr::Column(c) if c.name == column));
    match plan {
        LogicalPlan::Filter(f) => split_conjunction(&f.predicate).into_iter().any(asks) || known(&f.input, column),
        LogicalPlan::SubqueryAlias(a) => known(&a.input, column),
        _ => false,
    }
}

fn walk<'a>(plan: &'a Plan, visit: &mut impl FnMut(&'a Plan)) {
    visit(plan);
    plan.inputs().into_iter().for_each(|input| walk(input, visit));
}

/// The windows at which changes are turned away.
fn judging(root: &Plan) -> Vec<&Window> {
    let mut windows = vec![];
    walk(root, &mut |plan| match plan {
        Plan::Window(window) if window.lateness.is_some() => windows.push(window),
        _ => {}
    });
    windows
}

fn closing_groups(root: &Plan) -> Vec<&Aggregate> {
    let mut groups = vec![];
    walk(root, &mut |plan| match plan {
        Plan::Aggregate(a) if a.properties.state == StateBound::Windows => groups.push(a),
        _ => {}
    });
    groups
}

/// By what the windows of the topmost windowed GROUP BY close.
pub(super) fn closing(root: &Plan) -> Option<WatermarkExpr> {
    let mut found = None;
    walk(root, &mut |plan| match plan {
        Plan::Aggregate(a) if found.is_none() => {
            found = a.windowed.as_ref().and_then(|w| w.column.closing.clone());
        }
        _ => {}
    });
    found
}

/// Checks the clauses against the plan; gives the columns of LATE ROWS INTO.
pub(super) fn clauses(root: &Plan, options: &ViewOptions) -> Result<Option<(ObjectId, Vec<Option<usize>>)>> {
    if options.emit == Emit::OnUpdate && options.lateness.is_some() && closing_groups(root).is_empty() {
        return Err(Error::unsupported(
            "ALLOW LATENESS without a GROUP BY on the window of a TUMBLE or HOP",
            GROUP_BY_WINDOW,
        ));
    }
    let Some(target) = &options.late_into else { return Ok(None) };
    let windows = judging(root);
    let [window] = windows[..] else {
        return Err(match windows.len() {
            0 => Error::unsupported(
                "LATE ROWS INTO where no row is turned away",
                "Add EMIT ON WINDOW CLOSE or ALLOW LATENESS.",
            ),
            _ => Error::unsupported("LATE ROWS INTO over several windows", "Create one view per window."),
        });
    };
    let from = &window.input.properties().schema;
    for field in from.fields().iter().filter(|f| crate::sql::visible(f.name()) == f.name()) {
        let Ok(to) = target.schema.field_with_name(field.name()) else {
            return Err(Error::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column \"{}\" of relation \"{}\" does not exist", field.name(), target.name),
            )
            .with_hint("The target of LATE ROWS INTO has the columns of the window's table argument."));
        };
        if to.data_type() != field.data_type() {
            return Err(Error::new(
                SqlState::DATATYPE_MISMATCH,
                format!(
                    "column \"{}\" of relation \"{}\" is of type {} but the late rows have type {}",
                    field.name(),
                    target.name,
                    crate::data::types::sql_name(to),
                    crate::data::types::sql_name(field)
                ),
            )
            .with_hint("The target of LATE ROWS INTO has the columns of the window's table argument."));
        }
    }
    let columns = target.schema.fields().iter().map(|f| from.index_of(f.name()).ok()).collect();
    Ok(Some((target.table, columns)))
}

/// When the windows of the view's rows are final, if one of its columns tells them and they become so.
pub(super) fn finality(root: &Plan) -> Option<Retention> {
    let properties = root.properties();
    let all: Vec<usize> = (0..properties.columns.len()).collect();
    let column = properties.window_column(&all)?;
    let window = properties.columns[column].window.as_ref()?;
    Some(Retention { column, to_end: window.to_end(), closing: window.closing.clone()?, after: window.lateness? })
}

/// When rows leave the view: one of its columns has to tell their window, and it must be a window that becomes final.
pub(super) fn retention(root: &Plan, options: &ViewOptions) -> Result<Option<Retention>> {
    let Some(kept) = options.retention else { return Ok(None) };
    let Some(finality) = finality(root) else {
        return Err(match judging(root).is_empty() {
            true => Error::unsupported("WITH (retention) on a view without a window", GROUP_BY_WINDOW),
            false => Error::unsupported(
                "WITH (retention) on a view without a column of its window's bounds",
                "Let it have window_start or window_end (or the date_bin or date_trunc) among its columns, of a window that each row lies in.",
            ),
        });
    };
    // Without a lateness of their own, windows take late rows while they are kept.
    let lateness = options.lateness.unwrap_or(0);
    Ok(Some(Retention { after: kept.saturating_add(lateness), ..finality }))
}

/// What nothing bounds.
pub(super) fn notices(root: &Plan) -> Vec<String> {
    let mut notices = vec![];
    walk(root, &mut |plan| {
        let notice = match plan.properties().state {
            StateBound::Keys => format!("nothing bounds the state of {}: it keeps every group", plan.name()),
            StateBound::Rows => {
                format!("nothing bounds the state of {}: it keeps every row of both sides", plan.name())
            }
            StateBound::Stateless | StateBound::Constant | StateBound::Windows => return,
        };
        if !notices.contains(&notice) {
            notices.push(notice);
        }
    });
    notices
}
