//! Expressions over each row.
//!
//! SQL: the SELECT list; what GROUP BY, aggregates and join keys compute
//! State: none
//! Retractions: a retraction gives the retraction of what its insertion gave
//! Watermark: kept on columns, moved by monotone functions of them

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::evaluate::{Evaluation, batch};
use super::{Fuel, Operator, Output, Step, Stop};
use crate::data::{Changes, Epoch, Watermarks};
use crate::error::Result;
use crate::plan::Scalars;

pub(super) struct ProjectOperator {
    evaluation: Evaluation,
    scalars: Scalars,
    /// The columns, when nothing is computed.
    columns: Option<Vec<usize>>,
    schema: SchemaRef,
}

impl ProjectOperator {
    pub fn new(name: Arc<str>, stop: Stop, scalars: Scalars, schema: SchemaRef) -> Self {
        let evaluation = Evaluation::new(name, stop, &scalars.0);
        Self { evaluation, columns: scalars.columns(), scalars, schema }
    }
}

impl Operator for ProjectOperator {
    fn apply(&mut self, _port: usize, changes: Changes, _watermarks: &Watermarks, out: &mut Output) -> Result<()> {
        let (changes, columns) = match &self.columns {
            Some(columns) => {
                let columns = columns.iter().map(|&c| changes.rows.column(c).clone()).collect();
                (changes, columns)
            }
            None => {
                let scalars = |rows: &_| self.scalars.0.iter().map(|s| s.evaluate(rows)).collect();
                self.evaluation.evaluate(changes, out, &scalars)?
            }
        };
        if !changes.is_empty() {
            let rows = batch(&self.schema, columns, changes.len())?;
            out.send(changes.with_rows(rows));
        }
        Ok(())
    }

    fn step(&mut self, _: Epoch, _: &Watermarks, _: &mut Fuel, _: &mut Output) -> Result<Step> {
        Ok(Step::Done)
    }
}
