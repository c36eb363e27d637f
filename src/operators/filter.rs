//! WHERE, HAVING and the residual conditions of joins.
//!
//! SQL: `WHERE p`, `HAVING p`, `JOIN .. ON a = b AND p`
//! State: none
//! Retractions: pass like insertions; a row passes exactly when its insertion did
//! Watermark: kept

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray};

use super::evaluate::Evaluation;
use super::{Fuel, Operator, Output, Step, Stop};
use crate::data::{Changes, Epoch, Watermarks};
use crate::error::Result;
use crate::plan::Scalar;
use crate::state::fault::{self, Fault};

pub(super) struct FilterOperator {
    evaluation: Evaluation,
    predicate: Scalar,
}

impl FilterOperator {
    pub fn new(name: Arc<str>, stop: Stop, predicate: Scalar) -> Self {
        Self { evaluation: Evaluation::new(name, stop, [&predicate]), predicate }
    }
}

impl Operator for FilterOperator {
    fn apply(&mut self, _port: usize, changes: Changes, _watermarks: &Watermarks, out: &mut Output) -> Result<()> {
        let predicate = |rows: &_| Ok(vec![self.predicate.evaluate(rows)?]);
        let (changes, columns) = self.evaluation.evaluate(changes, out, &predicate)?;
        let Some(keep) = columns.first() else { return Ok(()) };
        let mut keep = keep.as_boolean().clone();
        if fault::on(Fault::LostRetraction) {
            keep = keep.iter().enumerate().map(|(i, k)| k.map(|k| k && changes.diff(i) > 0)).collect::<BooleanArray>();
        }
        if keep.null_count() == 0 && keep.true_count() == keep.len() {
            out.send(changes);
        } else {
            out.send(changes.filter(&keep)?);
        }
        Ok(())
    }

    fn step(&mut self, _: Epoch, _: &Watermarks, _: &mut Fuel, _: &mut Output) -> Result<Step> {
        Ok(Step::Done)
    }
}
