//! Aggregate functions of SELECT, with PostgreSQL's names, types and words.
//!
//! * `sum`: sum and avg of plain columns;
//! * `over`: all others, and every DISTINCT, over the same accumulators that views have;
//! * [`types`]: what they take and give.
//!
//! count, min and max of plain columns are DataFusion's.

mod over;
mod sum;
mod types;

use std::sync::{Arc, LazyLock};

use arrow::compute::SortOptions;
use datafusion::logical_expr::AggregateUDF;

pub use over::Aggregate;
pub use types::types;

use super::accumulator::{AggregateFunction, BitFunction, Moment, OrderedFunction};

/// All names. `every` is `bool_and`; RisingWave calls `approx_distinct` `approx_count_distinct`.
const NAMES: &[(&str, AggregateFunction)] = {
    use AggregateFunction::{ApproxDistinct, Bit, Bool, Moment as Of, Ordered};
    &[
        ("stddev", Of(Moment::StddevSamp)),
        ("stddev_samp", Of(Moment::StddevSamp)),
        ("stddev_pop", Of(Moment::StddevPop)),
        ("variance", Of(Moment::VarSamp)),
        ("var_samp", Of(Moment::VarSamp)),
        ("var_pop", Of(Moment::VarPop)),
        ("covar_pop", Of(Moment::CovarPop)),
        ("covar_samp", Of(Moment::CovarSamp)),
        ("corr", Of(Moment::Corr)),
        ("regr_avgx", Of(Moment::RegrAvgx)),
        ("regr_avgy", Of(Moment::RegrAvgy)),
        ("regr_count", Of(Moment::RegrCount)),
        ("regr_intercept", Of(Moment::RegrIntercept)),
        ("regr_r2", Of(Moment::RegrR2)),
        ("regr_slope", Of(Moment::RegrSlope)),
        ("regr_sxx", Of(Moment::RegrSxx)),
        ("regr_sxy", Of(Moment::RegrSxy)),
        ("regr_syy", Of(Moment::RegrSyy)),
        ("bool_and", Bool(BitFunction::And)),
        ("every", Bool(BitFunction::And)),
        ("bool_or", Bool(BitFunction::Or)),
        ("bit_and", Bit(BitFunction::And)),
        ("bit_or", Bit(BitFunction::Or)),
        ("bit_xor", Bit(BitFunction::Xor)),
        ("string_agg", Ordered(OrderedFunction::StringAgg)),
        ("array_agg", Ordered(OrderedFunction::ArrayAgg)),
        ("json_agg", Ordered(OrderedFunction::JsonArray)),
        ("jsonb_agg", Ordered(OrderedFunction::JsonbArray)),
        ("json_object_agg", Ordered(OrderedFunction::JsonObject)),
        ("jsonb_object_agg", Ordered(OrderedFunction::JsonbObject)),
        ("any_value", Ordered(OrderedFunction::AnyValue)),
        ("first_value", Ordered(OrderedFunction::FirstValue)),
        ("last_value", Ordered(OrderedFunction::LastValue)),
        ("approx_distinct", ApproxDistinct),
        ("approx_count_distinct", ApproxDistinct),
    ]
};

/// Those that are DataFusion's, or [`sum`]'s, where nothing else is asked for.
const PLAIN: [(&str, AggregateFunction); 5] = [
    ("count", AggregateFunction::Count),
    ("sum", AggregateFunction::Sum),
    ("avg", AggregateFunction::Avg),
    ("min", AggregateFunction::Min),
    ("max", AggregateFunction::Max),
];

pub(super) fn all() -> Vec<Arc<AggregateUDF>> {
    let ours = NAMES.iter().map(|(name, f)| Arc::new(AggregateUDF::new_from_impl(Aggregate::new(name, *f, vec![]))));
    sum::all().into_iter().chain(ours).collect()
}

/// How the equal values of a group are spelled, of a value and its key form; no name of SQL's.
pub fn spelling() -> Arc<AggregateUDF> {
    static SPELLING: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| {
        Arc::new(AggregateUDF::new_from_impl(Aggregate::new("spelling", AggregateFunction::Spelling, vec![])))
    });
    Arc::clone(&SPELLING)
}

/// json_agg of arrays or rows, each of which begins a line.
pub fn json_lines() -> Arc<AggregateUDF> {
    let lines = AggregateFunction::Ordered(OrderedFunction::JsonLines);
    Arc::new(AggregateUDF::new_from_impl(Aggregate::new("json_agg", lines, vec![])))
}

/// Which function of ours an aggregate is, and how its last arguments order. `None`: one of DataFusion's that we have no
/// accumulator for.
pub fn known(udf: &AggregateUDF) -> Option<(AggregateFunction, Vec<SortOptions>)> {
    match udf.inner().downcast_ref::<Aggregate>() {
        Some(ours) => Some((ours.function, ours.order.clone())),
        None => PLAIN.iter().find(|(name, _)| *name == udf.name()).map(|(_, function)| (*function, vec![])),
    }
}

/// The aggregate over our accumulators that does what one of [`known`] does, with an ORDER BY.
pub fn accumulated(udf: &AggregateUDF, order: Vec<SortOptions>) -> Option<Arc<AggregateUDF>> {
    let ours = match udf.inner().downcast_ref::<Aggregate>() {
        Some(ours) => ours.ordered(order),
        None => {
            let (name, function) = PLAIN.iter().find(|(name, _)| *name == udf.name())?;
            Aggregate::new(name, *function, order)
        }
    };
    Some(Arc::new(AggregateUDF::new_from_impl(ours)))
}
