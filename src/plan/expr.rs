//! Scalar expressions of a plan: DataFusion's physical expressions over a batch, with the text that EXPLAIN prints.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{ColumnarValue, Expr, Operator, Volatility, binary_expr};
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr, create_physical_expr};

use crate::error::{Error, Result};
use crate::functions::arithmetic::numeric_overflow;
use crate::functions::datetime::{no_origin, stride_micros};
use crate::functions::keys::SPELLED;
use crate::functions::large::LARGE_NUMERIC;
use crate::functions::quick::is_quick;

/// One expression.
#[derive(Clone, Debug)]
pub struct Scalar {
    expr: Arc<dyn PhysicalExpr>,
    text: String,
}

/// The expressions of a projection, one per output column.
#[derive(Clone, Debug, Default)]
pub struct Scalars(pub Vec<Scalar>);

impl Scalar {
    /// Compiles an expression over an input schema.
    ///
    /// Errors: `0A000` for what cannot be kept incrementally (volatile functions, `now()`, subqueries).
    pub fn new(expr: &Expr, input: &DFSchema, props: &ExecutionProps) -> Result<Self> {
        check(expr)?;
        let plain = expanded(expr)?;
        let compiled = create_physical_expr(&plain, input, props, &PhysicalPlanningContext::default())?;
        Ok(Self { expr: folded(compiled)?, text: display(expr) })
    }

    /// Whether it may take much longer than its rows are large.
    pub fn is_slow(&self) -> bool {
        let slow = |e: &Arc<dyn PhysicalExpr>| match e.downcast_ref::<ScalarFunctionExpr>() {
            Some(call) => !is_quick(call.fun().name()),
            None => false,
        };
        self.expr.exists(|e| Ok(slow(e))).unwrap_or(true)
    }

    /// A column by its position.
    pub fn column(index: usize, name: &str) -> Self {
        Self { expr: Arc::new(Column::new(name, index)), text: name.to_owned() }
    }

    /// The same expression over the input of a projection to `columns`.
    pub(super) fn through(&self, columns: &[usize], input: &Schema) -> Result<Self> {
        let moved = |e: Arc<dyn PhysicalExpr>| {
            let place = e.downcast_ref::<Column>().and_then(|c| columns.get(c.index()).copied());
            Ok(match place {
                Some(c) => Transformed::yes(Arc::new(Column::new(input.field(c).name(), c)) as Arc<dyn PhysicalExpr>),
                None => Transformed::no(e),
            })
        };
        Ok(Self { expr: Arc::clone(&self.expr).transform_up(moved)?.data, text: self.text.clone() })
    }

    /// Names the columns in the text as the input does.
    pub(super) fn named(mut self, expr: &Expr, from: &DFSchema, input: &Schema) -> Self {
        let rename = |e: Expr| {
            Ok(match &e {
                Expr::Column(column) => match from.index_of_column(column) {
                    Ok(i) if i < input.fields().len() => Transformed::yes(Expr::Column(
                        datafusion::common::Column::new_unqualified(input.field(i).name()),
                    )),
                    _ => Transformed::no(e),
                },
                _ => Transformed::no(e),
            })
        };
        if let Ok(renamed) = expr.clone().transform_up(rename) {
            self.text = display(&renamed.data);
        }
        self
    }

    /// The position of the column that this is, if it is just a column.
    pub fn as_column(&self) -> Option<usize> {
        self.expr.downcast_ref::<Column>().map(Column::index)
    }

    /// The positions of a group's key and of its spelling, if this is the value that shows them.
    pub fn as_spelled(&self) -> Option<(usize, usize)> {
        let call = self.expr.downcast_ref::<ScalarFunctionExpr>().filter(|call| call.name() == SPELLED)?;
        let place = |e: &Arc<dyn PhysicalExpr>| e.downcast_ref::<Column>().map(Column::index);
        match call.args() {
            [key, spelling] => place(key).zip(place(spelling)),
            _ => None,
        }
    }

    /// Whether a column of the input is read.
    pub(super) fn reads(&self, index: usize) -> bool {
        let mut found = false;
        let walked = self.expr.apply(|e| {
            found |= e.downcast_ref::<Column>().is_some_and(|c| c.index() == index);
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        });
        found || walked.is_err()
    }

    /// As EXPLAIN prints it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// One value per row. An `Err` speaks of some row of the batch.
    pub fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef> {
        Ok(self.expr.evaluate(rows)?.into_array(rows.num_rows())?)
    }
}

impl Scalars {
    /// Whether every expression is just a column, so that evaluating cannot fail.
    pub fn columns(&self) -> Option<Vec<usize>> {
        self.0.iter().map(Scalar::as_column).collect()
    }

    /// As EXPLAIN prints them.
    pub fn text(&self) -> String {
        self.0.iter().map(Scalar::text).collect::<Vec<_>>().join(", ")
    }
}

/// Functions that DataFusion runs only as the CASE that they stand for.
const SHORTHANDS: &[&str] = &["coalesce", "nvl", "ifnull", "nvl2"];

/// Writes [`SHORTHANDS`] out.
fn expanded(expr: &Expr) -> Result<Expr> {
    let expand = |e: Expr| match e {
        Expr::ScalarFunction(call) if SHORTHANDS.contains(&call.name()) => {
            Ok(match call.func.simplify(call.args, &SimplifyContext::default())? {
                ExprSimplifyResult::Simplified(plain) => Transformed::yes(plain),
                ExprSimplifyResult::Original(args) => {
                    Transformed::no(Expr::ScalarFunction(ScalarFunction::new_udf(call.func, args)))
                }
            })
        }
        other => Ok(Transformed::no(other)),
    };
    Ok(expr.clone().transform_up(expand)?.data)
}

/// Computes calls over constants now, once and where it can be cancelled, and not row by row on a worker. What fails
/// stays, and is an error of each row.
fn folded(expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    let fold = |e: Arc<dyn PhysicalExpr>| {
        let plain = e.downcast_ref::<ScalarFunctionExpr>().is_some_and(|call| {
            let field = call.return_field(&Schema::empty());
            field.is_ok_and(|field| field.metadata().is_empty())
        });
        Ok(match if plain && is_constant(&e)? { constant(&e) } else { None } {
            Some(value) => {
                Transformed::new(Arc::new(Literal::new(value)) as Arc<dyn PhysicalExpr>, true, TreeNodeRecursion::Jump)
            }
            None => Transformed::no(e),
        })
    };
    Ok(expr.transform_down(fold)?.data)
}

/// Whether it reads no column and is the same at any time.
fn is_constant(expr: &Arc<dyn PhysicalExpr>) -> datafusion::error::Result<bool> {
    let varies = |e: &Arc<dyn PhysicalExpr>| {
        let call = e.downcast_ref::<ScalarFunctionExpr>();
        Ok(e.is::<Column>() || call.is_some_and(|c| c.fun().signature().volatility != Volatility::Immutable))
    };
    Ok(!expr.exists(varies)?)
}

fn constant(expr: &Arc<dyn PhysicalExpr>) -> Option<ScalarValue> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let one = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).ok()?;
    let value = match expr.evaluate(&one).ok()? {
        ColumnarValue::Scalar(value) => value,
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0).ok()?,
    };
    (!value.is_null()).then_some(value)
}

/// An expression's text with column names unqualified.
pub(super) fn display(expr: &Expr) -> String {
    datafusion::sql::unparser::expr_to_sql(&unqualified(expr))
        .map_or_else(|_| expr.to_string(), |sql| sql.to_string().replace('"', ""))
}

/// The operator that a function stands for.
fn sign(function: &str) -> Option<Operator> {
    match function {
        "timestamp_add" | "interval_add" => Some(Operator::Plus),
        "timestamp_subtract" | "interval_subtract" => Some(Operator::Minus),
        _ => None,
    }
}

fn unqualified(expr: &Expr) -> Expr {
    let bare = |e: Expr| {
        Ok(match e {
            Expr::Column(mut c) => {
                c.relation = None;
                c.name = crate::sql::visible(&c.name).to_owned();
                Transformed::yes(Expr::Column(c))
            }
            Expr::Alias(alias) => Transformed::yes(*alias.expr),
            Expr::ScalarFunction(mut f) if sign(f.name()).is_some() && f.args.len() == 2 => {
                let (right, left, op) = (f.args.pop(), f.args.pop(), sign(f.name()));
                match (left, op, right) {
                    (Some(left), Some(op), Some(right)) => Transformed::yes(binary_expr(left, op, right)),
                    _ => Transformed::no(Expr::ScalarFunction(f)),
                }
            }
            other => Transformed::no(other),
        })
    };
    expr.clone().transform_up(bare).map_or_else(|_| expr.clone(), |t| t.data)
}

/// Functions whose value is the time of evaluation.
const CLOCKS: &[&str] = &[
    "now",
    "current_timestamp",
    "current_date",
    "current_time",
    "localtimestamp",
    "localtime",
    "today",
    "transaction_timestamp",
    "statement_timestamp",
    "clock_timestamp",
];

/// Why constants make no bins, if they don't: all rows but the infinite ones would be errors.
fn no_bin(args: &[Expr]) -> Option<Error> {
    let stride = match args.first()? {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(stride)), _) => stride_micros(*stride).err(),
        _ => None,
    };
    stride.or_else(|| match args.get(2)? {
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(i64::MIN | i64::MAX), _), _) => Some(no_origin()),
        _ => None,
    })
}

/// Refuses what has no incremental meaning.
fn check(expr: &Expr) -> Result<()> {
    let mut refused = None;
    expr.apply(|e| {
        refused = match e {
            Expr::ScalarFunction(f) if CLOCKS.contains(&f.name()) => Some(Error::unsupported(
                format!("{}() in a materialized view", f.name()),
                "Filter by the time when you SELECT from the view.",
            )),
            Expr::ScalarFunction(f) if f.name() == LARGE_NUMERIC => Some(numeric_overflow()),
            Expr::ScalarFunction(f) if f.name() == "date_bin" => no_bin(&f.args),
            Expr::ScalarFunction(f) if f.func.signature().volatility == Volatility::Volatile => {
                Some(Error::unsupported(
                    format!("the volatile function {}() in a materialized view", f.name()),
                    "Compute the value when you SELECT from the view, or store it in a table.",
                ))
            }
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => {
                Some(Error::unsupported(
                    "a subquery in an expression of a materialized view",
                    "Write it as a join, or as a materialized view of its own.",
                ))
            }
            Expr::WindowFunction(f) => Some(Error::unsupported(
                format!("the window function {}() OVER in a materialized view", f.fun.name()),
                "Use TUMBLE or HOP with GROUP BY.",
            )),
            Expr::Placeholder(_) => {
                Some(Error::unsupported("a parameter in a materialized view", "Write the value into the statement."))
            }
            _ => None,
        };
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    refused.map_or(Ok(()), Err)
}
