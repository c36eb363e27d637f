//! All rows of several inputs; also the constant rows of VALUES.
//!
//! SQL: `UNION ALL`, `VALUES`, SELECT without FROM
//! State: none
//! Retractions: pass
//! Watermark: the minimum over the inputs

use arrow::datatypes::SchemaRef;

use super::evaluate::batch;
use super::{Fuel, Operator, Output, Step};
use crate::data::{Changes, Epoch, Watermarks};
use crate::error::Result;
use crate::state::fault::{self, Fault};

pub(super) struct UnionOperator {
    schema: SchemaRef,
}

impl UnionOperator {
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }
}

impl Operator for UnionOperator {
    fn apply(&mut self, port: usize, changes: Changes, _watermarks: &Watermarks, out: &mut Output) -> Result<()> {
        if port == 1 && fault::on(Fault::UnionDrops) {
            return Ok(());
        }
        let rows = batch(&self.schema, changes.rows.columns().to_vec(), changes.len())?;
        out.send(changes.with_rows(rows));
        Ok(())
    }

    fn step(&mut self, _: Epoch, _: &Watermarks, _: &mut Fuel, _: &mut Output) -> Result<Step> {
        Ok(Step::Done)
    }
}
