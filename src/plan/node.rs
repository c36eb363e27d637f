//! [`Plan`]: the closed enum of incremental operators.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;

use super::expr::{Scalar, Scalars};
use super::properties::{Properties, WindowColumn};
use crate::catalog::object::Emit;
use crate::data::{ObjectId, Span, WatermarkExpr};
use crate::functions::window::WindowKind;
use crate::state::{AccumulatorKind, AggregateFunction};

/// An incremental query plan.
#[derive(Clone, Debug)]
pub enum Plan {
    /// A table, source or materialized view.
    Source(Source),
    /// Constant rows.
    Values(Values),
    /// WHERE, HAVING, the residual condition of a join.
    Filter(Filter),
    /// Expressions over each row.
    Project(Project),
    /// One row per element of a list.
    Unnest(Unnest),
    /// UNION ALL.
    Union(Union),
    /// TUMBLE, HOP, GROUP BY date_bin: assigns windows, and decides once which changes are too late.
    Window(Window),
    /// GROUP BY, DISTINCT, and aggregates over everything.
    Aggregate(Aggregate),
    /// Inner equi-join.
    Join(Join),
}

/// A relation outside the view.
#[derive(Clone, Debug)]
pub struct Source {
    /// Which.
    pub object: ObjectId,
    /// Its name, for EXPLAIN.
    pub name: Arc<str>,
    /// Its WATERMARK expression, for EXPLAIN.
    pub watermark: Option<Arc<str>>,
    /// All its columns, in its order.
    pub properties: Properties,
}

/// Constant rows, there from the first epoch on.
#[derive(Clone, Debug)]
pub struct Values {
    /// The rows.
    pub rows: RecordBatch,
    /// Derived.
    pub properties: Properties,
}

/// Keeps the rows for which a predicate is true.
#[derive(Clone, Debug)]
pub struct Filter {
    /// From.
    pub input: Box<Plan>,
    /// Boolean.
    pub predicate: Scalar,
    /// Derived.
    pub properties: Properties,
}

/// Computes columns.
#[derive(Clone, Debug)]
pub struct Project {
    /// From.
    pub input: Box<Plan>,
    /// One per output column.
    pub scalars: Scalars,
    /// Derived.
    pub properties: Properties,
}

/// Expands lists, side by side: the shorter ones are filled up with NULL.
#[derive(Clone, Debug)]
pub struct Unnest {
    /// From.
    pub input: Box<Plan>,
    /// Per output column: the input column, and whether it is a list that is expanded.
    pub columns: Vec<(usize, bool)>,
    /// Whether a row whose lists are all empty or NULL is kept, with NULLs.
    pub preserve_nulls: bool,
    /// Derived.
    pub properties: Properties,
}

/// UNION ALL.
#[derive(Clone, Debug)]
pub struct Union {
    /// Two or more, of one type list.
    pub inputs: Vec<Plan>,
    /// Derived.
    pub properties: Properties,
}

/// Adds window_start, window_end (and window_time) behind the input's columns.
#[derive(Clone, Debug)]
pub struct Window {
    /// From.
    pub input: Box<Plan>,
    /// The event time column.
    pub time: usize,
    /// Its shape.
    pub kind: WindowKind,
    /// Whether there is a third column, window_time.
    pub window_time: bool,
    /// Whether rows without event time stay, in a window without bounds (GROUP BY date_bin); else they are errors.
    pub keeps_nulls: bool,
    /// The time column's watermark, by which changes are judged.
    pub watermark: Option<WatermarkExpr>,
    /// A change is turned away from a window when watermark >= window_end + lateness; `None`: never.
    pub lateness: Option<i64>,
    /// The input's columns that are sent on; `None`: all.
    pub columns: Option<Vec<usize>>,
    /// Whether a row is sent once, for all its windows: with the bounds of the last one, and, as one more column, in how
    /// many it is, counted back from there.
    pub panes: bool,
    /// Derived.
    pub properties: Properties,
}

/// Groups by columns and computes aggregates; the input was projected to what it needs.
///
/// Output: the group columns, then one column per call.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// From.
    pub input: Box<Plan>,
    /// The input's columns that are grouped by; none: one row, also over nothing.
    pub group: Vec<usize>,
    /// The aggregates. None: DISTINCT.
    pub calls: Vec<AggregateCall>,
    /// The window among the group columns, if its windows matter to emission or state.
    pub windowed: Option<WindowedGroup>,
    /// Rows come once for all their windows.
    pub panes: Option<Panes>,
    /// When rows appear.
    pub emit: Emit,
    /// Derived.
    pub properties: Properties,
}

/// The window of a windowed GROUP BY.
#[derive(Clone, Debug)]
pub struct WindowedGroup {
    /// The group columns that are bounds of the window, with what lies between one and the window's end. The first tells
    /// the window, the others follow from it. NULL is the bound of the window that ends with event time.
    pub bounds: Vec<(usize, Span)>,
    /// What the window is.
    pub column: WindowColumn,
}

/// Rows that stand for several windows: the bounds tell the last one.
#[derive(Clone, Copy, Debug)]
pub struct Panes {
    /// The input's column that tells in how many windows a row is.
    pub windows: usize,
    /// Between them, microseconds.
    pub slide: i64,
}

impl Aggregate {
    /// The group columns by which rows are divided among workers: those that the window does not tell, or else the
    /// window's; where a row stands for several windows, none.
    pub fn exchange(&self) -> Vec<usize> {
        let Some(windowed) = &self.windowed else { return self.group.clone() };
        let bound = |g: &usize| windowed.bounds.iter().any(|(b, _)| b == g);
        let keys: Vec<usize> = self.group.iter().copied().filter(|g| !bound(g)).collect();
        if !keys.is_empty() || self.panes.is_some() {
            return keys;
        }
        windowed.bounds.iter().map(|(g, _)| *g).take(1).collect()
    }
}

/// One aggregate call.
#[derive(Clone, Debug)]
pub struct AggregateCall {
    /// Which.
    pub function: AggregateFunction,
    /// The columns of the arguments, then of ORDER BY's expressions; none for `count(*)`.
    pub arguments: Vec<usize>,
    /// ORDER BY inside the call: how each of the last arguments orders.
    pub order: Vec<SortOptions>,
    /// Only distinct values.
    pub distinct: bool,
    /// A boolean column: only rows where it is true.
    pub filter: Option<usize>,
    /// The types of all of them.
    pub input_types: Vec<DataType>,
    /// The result's type.
    pub output_type: DataType,
    /// As EXPLAIN prints it.
    pub text: String,
}

impl AggregateCall {
    /// What it accumulates over an input that is append-only or not.
    pub fn kind(&self, append_only: bool) -> AccumulatorKind {
        AccumulatorKind {
            function: self.function,
            inputs: self.input_types.clone(),
            order: self.order.clone(),
            output: self.output_type.clone(),
            retracting: !append_only,
            distinct: self.distinct,
        }
    }
}

/// Inner equi-join. NULL keys never match. Output: the left columns, then the right ones.
#[derive(Clone, Debug)]
pub struct Join {
    /// Port 0.
    pub left: Box<Plan>,
    /// Port 1.
    pub right: Box<Plan>,
    /// Columns that must be equal: (left, right). At least one pair, of one type each.
    pub on: Vec<(usize, usize)>,
    /// Derived.
    pub properties: Properties,
}

impl Plan {
    /// What is known of its output.
    pub fn properties(&self) -> &Properties {
        match self {
            Self::Source(n) => &n.properties,
            Self::Values(n) => &n.properties,
            Self::Filter(n) => &n.properties,
            Self::Project(n) => &n.properties,
            Self::Unnest(n) => &n.properties,
            Self::Union(n) => &n.properties,
            Self::Window(n) => &n.properties,
            Self::Aggregate(n) => &n.properties,
            Self::Join(n) => &n.properties,
        }
    }

    /// Its inputs, by port.
    pub fn inputs(&self) -> Vec<&Self> {
        match self {
            Self::Source(_) | Self::Values(_) => vec![],
            Self::Filter(n) => vec![&n.input],
            Self::Project(n) => vec![&n.input],
            Self::Unnest(n) => vec![&n.input],
            Self::Union(n) => n.inputs.iter().collect(),
            Self::Window(n) => vec![&n.input],
            Self::Aggregate(n) => vec![&n.input],
            Self::Join(n) => vec![&n.left, &n.right],
        }
    }

    /// By which columns the rows of each input, by port, go to the worker that owns their key; `None`: they stay.
    pub fn exchanges(&self) -> Vec<Option<Vec<usize>>> {
        match self {
            Self::Aggregate(n) => vec![Some(n.exchange())],
            Self::Join(n) => {
                let side = |f: fn(&(usize, usize)) -> usize| Some(n.on.iter().map(f).collect());
                vec![side(|pair| pair.0), side(|pair| pair.1)]
            }
            Self::Source(_)
            | Self::Values(_)
            | Self::Filter(_)
            | Self::Project(_)
            | Self::Unnest(_)
            | Self::Union(_)
            | Self::Window(_) => vec![None; self.inputs().len()],
        }
    }

    /// The operator's word in EXPLAIN, `highwater.operators` and `highwater.errors`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Source(_) => "Source",
            Self::Values(_) => "Values",
            Self::Filter(_) => "Filter",
            Self::Project(_) => "Project",
            Self::Unnest(_) => "Unnest",
            Self::Union(_) => "Union",
            Self::Window(n) => match n.kind {
                WindowKind::Tumble { .. } => "Tumble",
                WindowKind::Hop { .. } => "Hop",
                WindowKind::Calendar { .. } => "Calendar",
            },
            Self::Aggregate(n) if n.calls.is_empty() => "Distinct",
            Self::Aggregate(_) => "Aggregate",
            Self::Join(_) => "Join",
        }
    }
}
