//! [`WindowAssign`]: windows, in every spelling, as one node of DataFusion's logical plans.
//!
//! Output: the input's columns, then `window_start`, `window_end` and, where it is asked for, `window_time` (the last
//! microsecond of the window), of the time column's type. Rows without event time are dropped, except below `GROUP BY
//! date_bin(..)`, where their window is NULL.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::common::{DFSchema, DFSchemaRef, TableReference};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, UserDefinedLogicalNodeCore};

pub use crate::functions::window::WindowKind;

/// How a query says which windows it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spelling {
    /// `FROM TUMBLE(t, ..)`: the query names the window's columns.
    From,
    /// `GROUP BY TUMBLE(ts, ..)`: the window's columns are seen by the GROUP BY alone.
    GroupBy,
    /// `GROUP BY date_bin(.., ts)`: likewise, and rows without event time are in a window without bounds.
    Bin,
}

/// Names that no column of a query has, and what they are shown as.
const HIDDEN: [&str; 3] = ["window_start\u{7f}", "window_end\u{7f}", "window_time\u{7f}"];
const SHOWN: [&str; 3] = ["window_start", "window_end", "window_time"];

/// A plan and the position of the column in it that an expression over it is; one that is no column becomes one.
pub fn time_column(input: LogicalPlan, time: Expr) -> Result<(LogicalPlan, usize)> {
    if let Expr::Column(column) = &time {
        let index = input.schema().index_of_column(column)?;
        return Ok((input, index));
    }
    let columns = input.schema().iter().map(|field| Expr::Column(field.into()));
    let exprs: Vec<Expr> = columns.chain([time.alias(EVENT_TIME)]).collect();
    let index = exprs.len() - 1;
    Ok((LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?), index))
}

/// The name of a computed event time.
const EVENT_TIME: &str = "event_time\u{7f}";

/// Assigns each row to its windows.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WindowAssign {
    /// The rows.
    pub input: LogicalPlan,
    /// Position of the event time column in the input.
    pub time_column: usize,
    /// Which windows.
    pub kind: WindowKind,
    /// Whether `window_time` is there.
    pub window_time: bool,
    /// How it was said.
    pub spelling: Spelling,
    schema: DFSchemaRef,
}

impl WindowAssign {
    /// Puts a window assignment on a plan; the time column must be a timestamp.
    pub fn new(input: LogicalPlan, time_column: usize, kind: WindowKind, window_time: bool) -> Result<Self> {
        Self::spelled(input, time_column, kind, window_time, Spelling::From)
    }

    /// The same, in any spelling.
    pub fn spelled(
        input: LogicalPlan,
        time_column: usize,
        kind: WindowKind,
        window_time: bool,
        spelling: Spelling,
    ) -> Result<Self> {
        let schema = Arc::new(output_schema(input.schema(), time_column, window_time, spelling)?);
        Ok(Self { input, time_column, kind, window_time, spelling, schema })
    }

    /// Whether rows without event time stay.
    pub fn keeps_nulls(&self) -> bool {
        self.spelling == Spelling::Bin
    }

    /// The n-th of the window's columns: start, end, time.
    pub fn bound(&self, n: usize) -> Expr {
        Expr::Column(self.schema.qualified_field(self.input_width() + n).into())
    }

    /// The output schema: the input's columns, then the window's.
    pub fn output(&self) -> &DFSchemaRef {
        &self.schema
    }

    /// Number of input columns; `window_start` has this position.
    pub fn input_width(&self) -> usize {
        self.input.schema().fields().len()
    }
}

fn output_schema(input: &DFSchema, time_column: usize, window_time: bool, spelling: Spelling) -> Result<DFSchema> {
    let (qualifier, time) = input.qualified_field(time_column);
    let (qualifier, data_type) = (qualifier.cloned(), time.data_type().clone());
    let mut fields: Vec<(Option<TableReference>, Arc<Field>)> =
        input.iter().map(|(q, f)| (q.cloned(), f.clone())).collect();
    let nulls = spelling == Spelling::Bin;
    if let Some((_, time)) = fields.get_mut(time_column).filter(|_| !nulls) {
        *time = Arc::new(time.as_ref().clone().with_nullable(false));
    }
    let names = if spelling == Spelling::From { SHOWN } else { HIDDEN };
    for name in &names[..if window_time { 3 } else { 2 }] {
        let qualifier = qualifier.clone().filter(|_| spelling == Spelling::From);
        fields.push((qualifier, Arc::new(Field::new(*name, data_type.clone(), nulls))));
    }
    DFSchema::new_with_metadata(fields, input.metadata().clone())
}

impl fmt::Debug for WindowAssign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        UserDefinedLogicalNodeCore::fmt_for_explain(self, f)
    }
}

impl PartialOrd for WindowAssign {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let own = |w: &Self| (w.time_column, w.kind, w.window_time, w.spelling);
        match own(self).cmp(&own(other)) {
            Ordering::Equal => self.input.partial_cmp(&other.input),
            unequal => Some(unequal),
        }
    }
}

impl UserDefinedLogicalNodeCore for WindowAssign {
    fn name(&self) -> &'static str {
        "WindowAssign"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![Expr::Column(self.input.schema().qualified_field(self.time_column).into())]
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema.fields().iter().map(|f| f.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.input.schema().field(self.time_column).name();
        match self.kind {
            WindowKind::Tumble { size, .. } => write!(f, "WindowAssign: TUMBLE {time}, size={size}us")?,
            WindowKind::Hop { slide, size, .. } => {
                write!(f, "WindowAssign: HOP {time}, slide={slide}us, size={size}us")?;
            }
            WindowKind::Calendar { unit } => write!(f, "WindowAssign: CALENDAR {time}, unit={}", unit.name())?,
        }
        if self.kind.offset() == 0 { Ok(()) } else { write!(f, ", offset={}us", self.kind.offset()) }
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let broken = || DataFusionError::Internal("WindowAssign takes one input and one column".into());
        let input = inputs.into_iter().next().ok_or_else(broken)?;
        let Some(Expr::Column(column)) = exprs.into_iter().next() else { return Err(broken()) };
        let time_column = input.schema().index_of_column(&column)?;
        Self::spelled(input, time_column, self.kind, self.window_time, self.spelling)
    }
}
