//! Aggregates what is on one worker before it is exchanged.
//!
//! SQL: what GROUP BY and DISTINCT read, where there are several workers
//! State: none between epochs
//! Retractions: taken off what the epoch brings; a part may be less than nothing
//! Watermark: not looked at

use super::{Fuel, Operator, Output, Step};
use crate::config::EAGER_ROWS;
use crate::data::{Changes, Epoch, Watermarks};
use crate::error::Result;
use crate::plan::Aggregate;
use crate::state::GroupState;

/// Rows of an epoch from which it tells how many are of one group.
const TELLING: usize = 4096;
/// Epochs for which rows go on one by one, after one in which they were hardly any fewer.
const PAUSE: usize = 31;

pub(super) struct PreaggregateOperator {
    state: GroupState,
    /// Rows of the open epoch.
    rows: usize,
    /// Epochs for which collecting would not pay.
    pause: usize,
}

impl PreaggregateOperator {
    pub fn new(plan: &Aggregate) -> Result<Self> {
        Ok(Self { state: GroupState::new(super::aggregate::layout(plan, false))?, rows: 0, pause: 0 })
    }
}

impl Operator for PreaggregateOperator {
    fn apply(&mut self, _port: usize, changes: Changes, _: &Watermarks, out: &mut Output) -> Result<()> {
        if self.pause > 0 {
            out.send(Changes::settled(self.state.singles(&changes.rows, changes.diffs.as_ref())?, None));
            return Ok(());
        }
        self.rows += changes.len();
        self.state.collect(&changes.rows, changes.diffs.as_ref())?;
        if self.state.collected() >= EAGER_ROWS
            && let Some(parts) = self.state.parts()?
        {
            out.send(Changes::settled(parts, None));
        }
        Ok(())
    }

    fn step(&mut self, _: Epoch, _: &Watermarks, _: &mut Fuel, out: &mut Output) -> Result<Step> {
        self.pause = self.pause.saturating_sub(1);
        let rows = std::mem::take(&mut self.rows);
        if let Some(parts) = self.state.parts()? {
            if rows >= TELLING && parts.num_rows() > rows / 3 * 2 {
                self.pause = PAUSE;
            }
            out.send(Changes::settled(parts, None));
        }
        Ok(Step::Done)
    }
}
