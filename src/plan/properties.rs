//! What is known about a stream before it runs.

use arrow::datatypes::SchemaRef;

use crate::data::{Monotone, Span, WatermarkExpr};

/// Derived properties of one plan node's output.
#[derive(Clone, Debug)]
pub struct Properties {
    /// The columns.
    pub schema: SchemaRef,
    /// Columns that identify a row: at the end of an epoch no two rows agree on them.
    pub key: Option<Vec<usize>>,
    /// Never carries a retraction.
    pub append_only: bool,
    /// Per column.
    pub columns: Vec<ColumnProperties>,
    /// What bounds the node's own state.
    pub state: StateBound,
}

/// What is known about a column.
#[derive(Clone, Debug, Default)]
pub struct ColumnProperties {
    /// Its watermark: a value below it is late.
    pub watermark: Option<WatermarkExpr>,
    /// Which bound of a window it is, if it is one.
    pub window: Option<WindowColumn>,
}

/// A column that a window node made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowColumn {
    /// Which window node made it: bounds from one node belong to one window, row by row.
    pub node: u64,
    /// Which bound.
    pub role: WindowRole,
    /// From a window's start to its end.
    pub span: Span,
    /// The start of the earliest window that a row at or after some time falls into, as a function of that time.
    pub start: Monotone,
    /// How long after closing a window still takes changes; `None`: for ever.
    pub lateness: Option<i64>,
    /// The watermark that closes the windows, if the time column has one.
    pub closing: Option<WatermarkExpr>,
}

/// A window's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowRole {
    /// `window_start`, inclusive.
    Start,
    /// `window_end`, exclusive.
    End,
    /// Flink's `window_time`: `window_end` less one microsecond.
    Time,
}

/// Microseconds between `window_time` and `window_end`.
pub const WINDOW_TIME_GAP: i64 = 1;

impl WindowColumn {
    /// What lies between a value of this column and the window's end.
    pub fn to_end(&self) -> Span {
        match self.role {
            WindowRole::Start => self.span,
            WindowRole::End => Span::Fixed(0),
            WindowRole::Time => Span::Fixed(WINDOW_TIME_GAP),
        }
    }

    /// The watermark of this column, given that of the time column.
    pub fn bound(&self, time: WatermarkExpr) -> WatermarkExpr {
        let start = time.then(&self.start);
        match self.role {
            WindowRole::Start => start,
            WindowRole::End => start.then(&Monotone::End(self.span)),
            WindowRole::Time => start.then(&Monotone::End(self.span)).then(&Monotone::Shift(-WINDOW_TIME_GAP)),
        }
    }
}

/// What bounds a node's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateBound {
    /// Keeps nothing.
    Stateless,
    /// One row.
    Constant,
    /// Windows are dropped once they are final.
    Windows,
    /// One entry per distinct key, for ever.
    Keys,
    /// One entry per input row, for ever.
    Rows,
}

impl Properties {
    /// A stream of a schema of which nothing is known.
    pub fn plain(schema: SchemaRef) -> Self {
        let columns = vec![ColumnProperties::default(); schema.fields().len()];
        Self { schema, key: None, append_only: false, columns, state: StateBound::Stateless }
    }

    /// The position of the first column that is a window's bound and whose windows close.
    pub fn window_column(&self, among: &[usize]) -> Option<usize> {
        let ended = |c: &usize| self.columns[*c].window.as_ref().is_some_and(|w| w.role == WindowRole::End);
        let windowed = |c: &usize| self.columns[*c].window.is_some();
        among.iter().copied().find(ended).or_else(|| among.iter().copied().find(windowed))
    }
}
