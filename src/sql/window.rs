//! [`WindowAssign`]: TUMBLE and HOP as one node of DataFusion's logical plans.
//!
//! Output: the input's columns, then `window_start`, `window_end` and, in Flink's spelling, `window_time` (the last
//! microsecond of the window), of the time column's type. Rows without event time are dropped.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::common::{DFSchema, DFSchemaRef, TableReference};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

pub use crate::functions::window::WindowKind;

/// Assigns each row to its windows.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WindowAssign {
    /// The rows.
    pub input: LogicalPlan,
    /// Position of the event time column in the input.
    pub time_column: usize,
    /// Which windows.
    pub kind: WindowKind,
    /// Whether `window_time` is there (Flink's spelling).
    pub window_time: bool,
    schema: DFSchemaRef,
}

impl WindowAssign {
    /// Puts a window assignment on a plan; the time column must be a timestamp.
    pub fn new(input: LogicalPlan, time_column: usize, kind: WindowKind, window_time: bool) -> Result<Self> {
        let schema = Arc::new(output_schema(input.schema(), time_column, window_time)?);
        Ok(Self { input, time_column, kind, window_time, schema })
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

fn output_schema(input: &DFSchema, time_column: usize, window_time: bool) -> Result<DFSchema> {
    let time = input.field(time_column).data_type().clone();
    let mut fields: Vec<(Option<TableReference>, Arc<Field>)> =
        input.iter().map(|(q, f)| (q.cloned(), f.clone())).collect();
    if let Some((q, f)) = fields.get_mut(time_column) {
        *f = Arc::new(f.as_ref().clone().with_nullable(false));
        let qualifier = q.clone();
        let names = ["window_start", "window_end", "window_time"];
        for name in &names[..if window_time { 3 } else { 2 }] {
            fields.push((qualifier.clone(), Arc::new(Field::new(*name, time.clone(), false))));
        }
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
        match (self.time_column, self.kind, self.window_time).cmp(&(other.time_column, other.kind, other.window_time)) {
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
            WindowKind::Tumble { size, offset } => write!(f, "WindowAssign: TUMBLE {time}, size={size}us")
                .and_then(|()| if offset == 0 { Ok(()) } else { write!(f, ", offset={offset}us") }),
            WindowKind::Hop { slide, size, offset } => {
                write!(f, "WindowAssign: HOP {time}, slide={slide}us, size={size}us")
                    .and_then(|()| if offset == 0 { Ok(()) } else { write!(f, ", offset={offset}us") })
            }
        }
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let broken = || DataFusionError::Internal("WindowAssign takes one input and one column".into());
        let input = inputs.into_iter().next().ok_or_else(broken)?;
        let Some(Expr::Column(column)) = exprs.into_iter().next() else { return Err(broken()) };
        let time_column = input.schema().index_of_column(&column)?;
        Self::new(input, time_column, self.kind, self.window_time)
    }
}
