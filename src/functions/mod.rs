//! SQL functions: DataFusion's, and in their place or besides them ours where PostgreSQL's behave otherwise.
//!
//! * [`registry`]: all that do not depend on a session, built once; [`zoned`]: those that depend on its TimeZone;
//! * [`accumulator`]: what aggregates hold per group, in views and in SELECT alike; [`aggregate`]: their names and types;
//! * [`arithmetic`], [`cast`], [`interval`], [`window`]: what the binder builds operators and windows from.
//!
//! Functions that know the session or the catalog (`current_setting`, `to_regclass`, ..) are
//! [`crate::catalog`]'s and come to the binder with the session.
//!
//! Uses: error, fault, data

pub mod accumulator;
pub mod aggregate;
pub mod arithmetic;
pub mod cast;
pub mod datetime;
pub mod extract;
pub mod interval;
pub mod keys;
pub mod large;
pub mod native;
pub mod quick;
pub mod subquery;
pub mod window;

mod array;
mod bucket;
mod divisors;
mod format;
mod intervals;
mod json;
mod math;
mod narrow;
mod record;
mod series;
mod template;
pub(crate) mod text;
mod uuid;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};

use crate::data::text::TimeZone;
use arithmetic::{Arithmetic, Op};
use native::Native;

/// The aggregate that collects the rows of a subquery in their order.
pub const ARRAY_OF_ROWS: &str = "array_of_rows";

/// All functions that do not depend on a session, by lower-case name and alias.
#[derive(Debug)]
pub struct Functions {
    /// Row by row.
    pub scalar: HashMap<String, Arc<ScalarUDF>>,
    /// Over groups.
    pub aggregate: HashMap<String, Arc<AggregateUDF>>,
    /// Over windows (OVER).
    pub window: HashMap<String, Arc<WindowUDF>>,
    /// With lambdas.
    pub higher_order: HashMap<String, Arc<HigherOrderUDF>>,
    /// DataFusion's planners of expressions.
    pub planners: Vec<Arc<dyn ExprPlanner>>,
}

/// The registry, built at first use.
pub fn registry() -> &'static Functions {
    static REGISTRY: OnceLock<Functions> = OnceLock::new();
    REGISTRY.get_or_init(build)
}

/// Functions of ours that do not depend on a session.
fn ours() -> Vec<ScalarUDF> {
    let mut all: Vec<ScalarUDF> = Op::ALL.into_iter().map(|op| ScalarUDF::new_from_impl(Arithmetic::new(op))).collect();
    let natives = [
        keys::ALL.to_vec(),
        intervals::ALL.to_vec(),
        math::ALL.to_vec(),
        large::ALL.to_vec(),
        divisors::ALL.to_vec(),
        bucket::ALL.to_vec(),
        text::ALL.to_vec(),
        json::all(),
        array::all(),
        record::ALL.to_vec(),
    ]
    .concat();
    all.extend(record::all());
    all.push(subquery::or_empty_array());
    all.push(uuid::gen_random_uuid());
    all.extend(natives.into_iter().map(|f| ScalarUDF::new_from_impl(Native::new(f, &TimeZone::utc()))));
    all
}

/// The function of this name that depends on the TimeZone, if there is one.
pub fn zoned(name: &str, zone: &TimeZone) -> Option<Arc<ScalarUDF>> {
    let times = datetime::ALL.iter().chain(extract::ALL).chain(intervals::ZONED).chain(format::ALL);
    let mut all = times.chain(template::ALL).chain(json::ZONED).chain(array::ZONED);
    let function = all.find(|f| f.name == name)?;
    Some(Arc::new(ScalarUDF::new_from_impl(Native::new(function, zone))))
}

fn build() -> Functions {
    let mut scalar = HashMap::new();
    let ours = ours().into_iter().map(Arc::new);
    let theirs = SessionStateDefaults::default_scalar_functions().into_iter().map(|f| match f.name() {
        "generate_series" => Arc::new(ScalarUDF::new_from_impl(series::Series(f))),
        _ => f,
    });
    for f in theirs.chain(ours) {
        for alias in f.aliases() {
            scalar.insert(alias.clone(), f.clone());
        }
        scalar.insert(f.name().to_owned(), f);
    }
    let mut aggregate = HashMap::new();
    for f in SessionStateDefaults::default_aggregate_functions().into_iter().chain(aggregate::all()) {
        for alias in f.aliases() {
            aggregate.insert(alias.clone(), f.clone());
        }
        aggregate.insert(f.name().to_owned(), f);
    }
    // ARRAY(SELECT ..): the rows as they come.
    if let Some(f) = SessionStateDefaults::default_aggregate_functions().into_iter().find(|f| f.name() == "array_agg") {
        aggregate.insert(ARRAY_OF_ROWS.to_owned(), f);
    }
    let mut window = HashMap::new();
    for f in SessionStateDefaults::default_window_functions() {
        for alias in f.aliases() {
            window.insert(alias.clone(), f.clone());
        }
        window.insert(f.name().to_owned(), f);
    }
    let higher_order = SessionStateDefaults::default_higher_order_functions();
    let higher_order = higher_order.into_iter().map(|f| (f.name().to_owned(), f)).collect();
    Functions { scalar, aggregate, window, higher_order, planners: SessionStateDefaults::default_expr_planners() }
}
