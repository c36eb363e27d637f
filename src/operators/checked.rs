//! Asserts the contract of [`super::contract`] round an operator, in debug builds.

use arrow::datatypes::SchemaRef;

use super::{Fuel, Operator, Output, Step};
use crate::data::{Changes, Epoch, EventTime, WatermarkVector, Watermarks};
use crate::error::{Error, Result};
use crate::state::{State, fault};

/// What the planner promised about an operator's output and inputs.
#[derive(Clone, Debug)]
pub(super) struct Promise {
    pub name: String,
    pub schema: SchemaRef,
    pub append_only: bool,
    /// Per port.
    pub inputs: Vec<(SchemaRef, bool)>,
}

/// Wraps an operator in debug builds.
pub(super) fn checked(inner: Box<dyn Operator>, promise: &Promise) -> Box<dyn Operator> {
    if cfg!(debug_assertions) {
        Box::new(Checked {
            inner,
            promise: promise.clone(),
            epoch: None,
            stepping: false,
            now: WatermarkVector::default(),
        })
    } else {
        inner
    }
}

struct Checked {
    inner: Box<dyn Operator>,
    promise: Promise,
    epoch: Option<Epoch>,
    stepping: bool,
    now: WatermarkVector,
}

impl Checked {
    fn broken(&self, what: &str) -> Error {
        Error::internal(format!("operator {}: {what}", self.promise.name))
    }

    fn batch(&self, what: &str, changes: &Changes, schema: &SchemaRef, append_only: bool) -> Result<()> {
        let types = |s: &SchemaRef| s.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
        if types(changes.rows.schema_ref()) != types(schema) {
            return Err(self.broken(&format!("{what} is {:?}, declared {schema:?}", changes.rows.schema())));
        }
        if let Some(diffs) = &changes.diffs {
            if diffs.len() != changes.len() || diffs.values().contains(&0) {
                return Err(self.broken(&format!("{what} has diffs of 0, or not one per row")));
            }
            if append_only && diffs.values().iter().any(|d| *d < 0) && !faulty() {
                return Err(self.broken(&format!("{what} retracts, but was declared append-only")));
            }
        }
        Ok(())
    }

    fn output(&self, out: &Output, from: usize) -> Result<()> {
        out.rows[from..]
            .iter()
            .try_for_each(|c| self.batch("output", c, &self.promise.schema, self.promise.append_only))
    }
}

/// Under a seeded fault promises may break; the tests see it in the answers.
fn faulty() -> bool {
    fault::ALL.iter().any(|(_, f)| fault::on(*f))
}

impl Operator for Checked {
    fn apply(&mut self, port: usize, changes: Changes, watermarks: &Watermarks, out: &mut Output) -> Result<()> {
        if self.stepping {
            return Err(self.broken("apply came before step was done"));
        }
        match self.promise.inputs.get(port) {
            Some((schema, append_only)) => self.batch("input", &changes, schema, *append_only)?,
            None if self.promise.inputs.is_empty() => {}
            None => return Err(self.broken("input on a port that is not there")),
        }
        let from = out.rows.len();
        self.inner.apply(port, changes, watermarks, out)?;
        self.output(out, from)
    }

    fn step(&mut self, epoch: Epoch, watermarks: &Watermarks, fuel: &mut Fuel, out: &mut Output) -> Result<Step> {
        let again = self.stepping && self.epoch == Some(epoch);
        if !again && (self.stepping || self.epoch.is_some_and(|e| e >= epoch)) {
            return Err(self.broken(&format!("epoch {epoch} was stepped after {:?}", self.epoch)));
        }
        for (partition, before) in &self.now.0 {
            // A dropped table's partition leaves the vector.
            let now = watermarks.now.0.get(partition);
            if now.is_some_and(|now| now.watermark < before.watermark) {
                return Err(self.broken(&format!("the watermark of {partition:?} went back")));
            }
        }
        if !again {
            self.now.clone_from(&watermarks.now);
        }
        self.epoch = Some(epoch);
        let from = out.rows.len();
        let step = self.inner.step(epoch, watermarks, fuel, out)?;
        self.stepping = step == Step::More;
        self.output(out, from)?;
        Ok(step)
    }

    fn alarm(&self) -> Option<EventTime> {
        self.inner.alarm()
    }

    fn state(&mut self) -> Option<&mut dyn State> {
        self.inner.state()
    }
}
