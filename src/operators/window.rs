//! Window assignment, and the one place where changes are turned away for being too late.
//!
//! SQL: `TUMBLE(t, ts, size)`, `HOP(t, ts, slide, size)` in every spelling; `ALLOW LATENESS d`
//! State: whether the operator has joined (rows that were there before the view are on time for it)
//! Retractions: each change is judged by its own event time; a final window takes neither sort
//! Watermark: a change is turned away from a window when watermark >= window_end + d; window_start and window_end get
//! the watermark of the column, moved by the same arithmetic

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::compute::is_not_null;
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};

use super::evaluate::{batch, report};
use super::{Counters, Fuel, LateRows, Operator, Output, Step};
use crate::data::{Arrival, Changes, Epoch, EventTime, Judge, Watermarks};
use crate::error::{Error, Result, SqlState};
use crate::functions::window::{WindowKind, tumble_starts};
use crate::plan::Window;
use crate::state::fault::{self, Fault};
use crate::state::{Part, State};

pub(super) struct WindowOperator {
    name: Arc<str>,
    plan: Window,
    schema: SchemaRef,
    joined: Joined,
}

/// Remembers that the first epoch is over.
#[derive(Default)]
struct Joined(bool);

impl State for Joined {
    fn snapshot(&self, _since: Option<Epoch>) -> Result<Vec<Part>> {
        Ok(vec![Part { bucket: None, bytes: vec![1, u8::from(self.0)] }])
    }

    fn restore(&mut self, parts: &[Part]) -> Result<()> {
        self.0 |= parts.iter().any(|p| p.bytes == [1, 1]);
        Ok(())
    }

    fn bytes(&self) -> usize {
        0
    }

    fn rows(&self) -> usize {
        0
    }

    fn drop_window(&mut self, _window_end: EventTime) -> usize {
        0
    }
}

/// (row, window) pairs: the rows in order, once per window.
struct Pairs {
    /// `None`: every row, once.
    rows: Option<Vec<u32>>,
    starts: Int64Array,
}

impl WindowOperator {
    pub fn new(name: Arc<str>, plan: Window) -> Self {
        let schema = plan.properties.schema.clone();
        Self { name, plan, schema, joined: Joined::default() }
    }

    /// Takes out the rows without event time, and reports them.
    fn timed(&self, changes: Changes, out: &mut Output) -> Result<Changes> {
        let time = changes.rows.column(self.plan.time);
        if time.null_count() == 0 {
            return Ok(changes);
        }
        let column = changes.rows.schema_ref().field(self.plan.time).name().clone();
        let error =
            Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, format!("null value in event time column \"{column}\""));
        for i in (0..time.len()).filter(|&i| time.is_null(i)) {
            report(&self.name, &error, &changes.rows, i, changes.diff(i), out);
        }
        changes.filter(&is_not_null(time)?)
    }

    fn judge(&self, changes: &Changes, watermarks: &Watermarks) -> Judge {
        match (&self.plan.watermark, &changes.arrival, self.joined.0) {
            // Rows of the joining epoch were there before the view.
            (None, ..) | (_, Arrival::Settled, false) => Judge::OnTime,
            (Some(watermark), arrival, _) => watermark.judge(arrival, watermarks),
        }
    }

    fn starts(&self, times: &[i64], column: &ArrayRef) -> Pairs {
        let kind = self.plan.kind;
        let count = times.len() as u32;
        if fault::on(Fault::FloorTowardsZero) {
            let slide = kind.slide();
            return Pairs { rows: None, starts: times.iter().map(|t| t / slide * slide).collect() };
        }
        match kind {
            WindowKind::Tumble { size, offset } => {
                let time = column.as_primitive::<TimestampMicrosecondType>();
                Pairs { rows: None, starts: tumble_starts(time, size, offset) }
            }
            WindowKind::Hop { slide, .. } => {
                let last: Vec<i64> = times.iter().map(|&t| kind.last_start(t)).collect();
                let until = i64::from(fault::on(Fault::HopMissesLast));
                let back = (until..kind.windows_per_row()).rev();
                let (mut rows, mut starts) = (vec![], vec![]);
                for back in back {
                    rows.extend(0..count);
                    starts.extend(last.iter().map(|l| l.saturating_sub(back.saturating_mul(slide))));
                }
                Pairs { rows: Some(rows), starts: starts.into() }
            }
        }
    }

    /// Takes out the pairs that are too late, counts, and sends the rows that are left without any.
    fn turn_away(
        &self,
        changes: &Changes,
        times: &[i64],
        pairs: &mut Pairs,
        judge: &Judge,
        out: &mut Output,
    ) -> Result<()> {
        let watermark = |row: usize| match judge {
            Judge::OnTime => i64::MIN,
            Judge::Constant(w) => w.0,
            Judge::PerRow(w) => w[row],
        };
        let kind = self.plan.kind;
        let lateness = self.plan.lateness.filter(|_| !fault::on(Fault::FinalAccepted));
        let mut missed = vec![0_u32; changes.len()];
        let mut closed = vec![false; changes.len()];
        let mut taken = vec![false; changes.len()];
        let mut keep = Vec::with_capacity(pairs.starts.len());
        for (i, &start) in pairs.starts.values().iter().enumerate() {
            let row = pairs.rows.as_ref().map_or(i, |rows| rows[i] as usize);
            let (end, w) = (kind.end(start), watermark(row));
            let too_late = lateness.is_some_and(|d| w >= end.saturating_add(d));
            if too_late {
                missed[row] += 1;
            } else {
                closed[row] |= w >= end;
                taken[row] = true;
            }
            keep.push(!too_late);
        }
        let mut counters = Counters::default();
        let mut rejected = vec![];
        for row in 0..changes.len() {
            let n = changes.diff(row).unsigned_abs();
            counters.windows_missed += n * u64::from(missed[row]);
            counters.late_accepted += if closed[row] { n } else { 0 };
            if !taken[row] && missed[row] > 0 {
                counters.late_rejected += n;
                rejected.push(row as u32);
            }
        }
        out.counters.add(&counters);
        if !rejected.is_empty() {
            let time = |f: &dyn Fn(usize) -> i64| rejected.iter().map(|&r| EventTime(f(r as usize))).collect();
            out.late.push(LateRows {
                event_time: time(&|r| times[r]),
                watermark: time(&watermark),
                windows_missed: rejected.iter().map(|&r| missed[r as usize]).collect(),
                changes: changes.take(&UInt32Array::from(rejected))?,
            });
        }
        if counters.windows_missed > 0 {
            let kept = || keep.iter().enumerate().filter(|(_, k)| **k).map(|(i, _)| i);
            let rows = kept().map(|i| pairs.rows.as_ref().map_or(i as u32, |rows| rows[i])).collect();
            pairs.starts = kept().map(|i| pairs.starts.value(i)).collect();
            pairs.rows = Some(rows);
        }
        Ok(())
    }
}

impl Operator for WindowOperator {
    fn apply(&mut self, _port: usize, changes: Changes, watermarks: &Watermarks, out: &mut Output) -> Result<()> {
        let changes = self.timed(changes, out)?;
        if changes.is_empty() {
            return Ok(());
        }
        let column = changes.rows.column(self.plan.time).clone();
        let time = column.as_primitive::<TimestampMicrosecondType>();
        let mut pairs = self.starts(time.values(), &column);
        let judge = self.judge(&changes, watermarks);
        if judge != Judge::OnTime {
            self.turn_away(&changes, time.values(), &mut pairs, &judge, out)?;
        }
        let Pairs { rows, starts } = pairs;
        let changes = match rows {
            None => changes,
            Some(rows) => changes.take(&UInt32Array::from(rows))?,
        };
        if changes.is_empty() {
            return Ok(());
        }
        let ends: Int64Array = starts.unary::<_, Int64Type>(|s| self.plan.kind.end(s));
        let zone = time.timezone().map(Arc::from);
        let bound = |values: Int64Array| -> ArrayRef {
            Arc::new(values.reinterpret_cast::<TimestampMicrosecondType>().with_timezone_opt::<Arc<str>>(zone.clone()))
        };
        let mut columns = changes.rows.columns().to_vec();
        columns.push(bound(starts));
        columns.push(bound(ends.clone()));
        if self.plan.window_time {
            columns.push(bound(ends.unary::<_, Int64Type>(|e| e.saturating_sub(1))));
        }
        let rows = batch(&self.schema, columns, changes.len())?;
        out.send(changes.with_rows(rows));
        Ok(())
    }

    fn step(&mut self, _: Epoch, _: &Watermarks, _: &mut Fuel, _: &mut Output) -> Result<Step> {
        self.joined.0 = true;
        Ok(Step::Done)
    }

    fn state(&mut self) -> Option<&mut dyn State> {
        Some(&mut self.joined)
    }
}
