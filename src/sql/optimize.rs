//! The fixed list of rules that a view's plan goes through.
//!
//! A rule is here because incremental operators need its shape: join keys out of WHERE and ON, filters at their inputs.
//! Rules that fold, merge or reorder for a single run (SimplifyExpressions, SingleDistinctToGroupBy, OptimizeUnions,
//! PropagateEmptyRelation, ..) stay out: they would change the shape of a running view's state with the data or the
//! version. Nothing is moved below a window.

use std::sync::Arc;

use datafusion::error::Result as DfResult;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{Optimizer, OptimizerContext, OptimizerRule};

/// The rules, in order; each runs once.
pub fn view_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    vec![
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(OptimizeProjections::new()),
    ]
}

/// Applies [`view_rules`].
pub(crate) fn for_view(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    let context = OptimizerContext::new()
        .with_max_passes(1)
        .with_skip_failing_rules(false)
        .filter_null_keys(false)
        .without_query_execution_start_time();
    Optimizer::with_rules(view_rules()).optimize(plan, &context, |_, _| {})
}
