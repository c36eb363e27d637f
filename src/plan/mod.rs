//! DataFusion's logical plan -> an incremental plan, with what is known about every stream in it.
//!
//! [`lower`] turns an optimized `LogicalPlan` into [`Plan`], a closed enum of the operators that Highwater runs
//! incrementally, and refuses everything else by name. Each node carries derived [`Properties`]: unique key, whether it
//! is append-only, its columns' watermarks, and what bounds its state. [`explain`] prints all of it.
//!
//! ```text
//!  LogicalPlan --lower--> ViewPlan { Plan + Properties } --operators::render--> Graph
//!                              \--explain--> EXPLAIN's lines
//! ```
//!
//! Uses: error, data, functions, catalog, sql, state

mod aggregate;
mod bins;
mod bounds;
mod check;
mod explain;
mod expr;
mod join;
mod lower;
mod node;
mod properties;
mod rows;
mod shape;
mod watermark;

pub use bins::binned;
pub use explain::{Described, explain};
pub use expr::{Scalar, Scalars};
pub use lower::{LateTarget, ViewOptions, lower};
pub use node::{
    Aggregate, AggregateCall, Filter, Join, Panes, Plan, Project, Source, Union, Unnest, Values, Window, WindowedGroup,
};
pub use properties::{ColumnProperties, Properties, StateBound, WindowColumn, WindowRole};
pub use shape::{preaggregates, shaped};

use arrow::datatypes::SchemaRef;

use crate::catalog::object::Emit;
use crate::data::{ObjectId, Retention, WatermarkExpr};

/// A view's incremental plan: what a running view is made of, and what its readers may rely on.
#[derive(Clone, Debug)]
pub struct ViewPlan {
    /// The operators.
    pub root: Plan,
    /// The view's columns.
    pub schema: SchemaRef,
    /// Columns that identify a row, when some do.
    pub key: Option<Vec<usize>>,
    /// Whether the view never carries a retraction.
    pub append_only: bool,
    /// Watermarked columns: position and expression over source watermarks, as readers of this view see them.
    pub watermarks: Vec<(usize, WatermarkExpr)>,
    /// When rows appear.
    pub emit: Emit,
    /// ALLOW LATENESS, microseconds.
    pub lateness: Option<i64>,
    /// By what windows close: the watermark of the topmost windowed GROUP BY's time column.
    pub closing: Option<WatermarkExpr>,
    /// The output column that holds the window's end, when there is one.
    pub window_end: Option<usize>,
    /// When its windows are final, if they become so.
    pub finality: Option<Retention>,
    /// WITH (retention).
    pub retention: Option<Retention>,
    /// LATE ROWS INTO: the target and, per target column, the column of the window's input that fills it (`None`: its
    /// default).
    pub late_into: Option<(ObjectId, Vec<Option<usize>>)>,
    /// Tables, sources and views that it reads, each once.
    pub inputs: Vec<ObjectId>,
    /// NOTICEs for CREATE: what nothing bounds.
    pub notices: Vec<String>,
}
