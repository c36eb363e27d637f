//! Window assignment, and the one place where changes are turned away for being too late.
//!
//! SQL: `TUMBLE(t, ts, size)`, `HOP(t, ts, slide, size)` in every spelling, `GROUP BY date_bin(..)`; `ALLOW LATENESS d`
//! State: whether the operator has joined (rows that were there before the view are on time for it)
//! Retractions: each change is judged by its own event time; a final window takes neither sort
//! Watermark: a change is turned away from a window when watermark >= window_end + d; window_start and window_end get
//! the watermark of the column, moved by the same arithmetic. A row without event time, or at infinity, is an error; below
//! `GROUP BY date_bin(..)` it is in a window without bounds, which ends when event time does, or before it begins
//!
//! Rows that lie in many windows, and are sent once for each, become very many: what is more than [`EAGER_ROWS`] waits for
//! `step`, which yields.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, TimestampMicrosecondArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::is_not_null;
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};

use super::evaluate::{batch, report};
use super::{Counters, Fuel, LateRows, Operator, Output, Step};
use crate::config::{BATCH_ROWS, EAGER_ROWS};
use crate::data::{Arrival, Bucket, Changes, Epoch, EventTime, Judge, Watermarks};
use crate::error::{Error, Result, SqlState};
use crate::functions::window::{WindowKind, ends, last_starts};
use crate::plan::Window;
use crate::spill::Account;
use crate::state::fault::{self, Fault};
use crate::state::{Capture, Delta, State};

pub(super) struct WindowOperator {
    name: Arc<str>,
    plan: Window,
    schema: SchemaRef,
    joined: Joined,
    /// Input of the open epoch that is not sent yet.
    waiting: VecDeque<Changes>,
}

/// Remembers that the first epoch is over.
#[derive(Default)]
struct Joined(bool);

impl State for Joined {
    fn bound(&mut self, _account: Account) {}

    fn relieve(&mut self) -> Result<()> {
        Ok(())
    }

    fn track(&mut self, _covered: bool) {}

    /// Between epochs it has joined.
    fn capture(&mut self, _capture: &mut Capture) -> Result<Vec<Delta>> {
        Ok(vec![])
    }

    fn restore(&mut self, _deltas: &[Delta], _owns: &dyn Fn(Bucket) -> bool) -> Result<()> {
        self.0 = true;
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

/// The windows of rows.
struct Assigned {
    /// Per row: the start of its last window.
    last: Vec<i64>,
    /// Per row: how many windows take it, counted back from the last; `None`: all of them do.
    taken: Option<Vec<u32>>,
}

impl WindowOperator {
    pub fn new(name: Arc<str>, plan: Window) -> Self {
        let schema = plan.properties.schema.clone();
        Self { name, plan, schema, joined: Joined::default(), waiting: VecDeque::new() }
    }

    /// Takes out the rows without event time, and reports them.
    fn timed(&self, changes: Changes, out: &mut Output) -> Result<Changes> {
        if self.plan.keeps_nulls {
            return self.finite(changes, out);
        }
        let time = changes.rows.column(self.plan.time);
        if time.null_count() == 0 {
            return self.finite(changes, out);
        }
        let column = changes.rows.schema_ref().field(self.plan.time).name().clone();
        let error =
            Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, format!("null value in event time column \"{column}\""));
        for i in (0..time.len()).filter(|&i| time.is_null(i)) {
            report(&self.name, &error, &changes.rows, i, changes.diff(i), out);
        }
        self.finite(changes.filter(&is_not_null(time)?)?, out)
    }

    /// Takes out the rows one of whose windows would not lie within time, and reports them. The infinities have bins of
    /// their own.
    fn finite(&self, changes: Changes, out: &mut Output) -> Result<Changes> {
        let time = changes.rows.column(self.plan.time).as_primitive::<TimestampMicrosecondType>();
        let kind = self.plan.kind;
        if kind.holds_all(time) {
            return Ok(changes);
        }
        let bins = self.plan.keeps_nulls;
        let fits = |t: i64| kind.holds(t) || bins && matches!(t, i64::MIN | i64::MAX);
        let fits: BooleanArray = time.iter().map(|t| Some(t.is_none_or(fits))).collect();
        let error = Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range");
        for i in (0..fits.len()).filter(|&i| !fits.value(i)) {
            report(&self.name, &error, &changes.rows, i, changes.diff(i), out);
        }
        changes.filter(&fits)
    }

    fn judge(&self, changes: &Changes, watermarks: &Watermarks) -> Judge {
        match (&self.plan.watermark, &changes.arrival, self.joined.0) {
            // Rows of the joining epoch were there before the view.
            (None, ..) | (_, Arrival::Settled, false) => Judge::OnTime,
            (Some(watermark), arrival, _) => watermark.judge(arrival, watermarks),
        }
    }

    fn assign(&self, times: &[i64]) -> Assigned {
        let kind = self.plan.kind;
        let last = match kind {
            WindowKind::Calendar { .. } => times.iter().map(|&t| kind.last_start(t)).collect(),
            WindowKind::Tumble { .. } | WindowKind::Hop { .. } if fault::on(Fault::FloorTowardsZero) => {
                times.iter().map(|t| t / kind.slide() * kind.slide()).collect()
            }
            WindowKind::Tumble { .. } | WindowKind::Hop { .. } => last_starts(times, kind.slide(), kind.offset()),
        };
        Assigned { last, taken: None }
    }

    /// In how many windows a row is when none is too late for it.
    fn windows(&self) -> u32 {
        u32::try_from(self.plan.kind.windows_per_row()).unwrap_or(u32::MAX)
    }

    /// The end of the window that is `back` before a row's last one.
    fn end(&self, last: i64, back: u32) -> i64 {
        let kind = self.plan.kind;
        kind.end(last.saturating_sub(i64::from(back).saturating_mul(kind.slide())))
    }

    /// Takes out the windows that are final, counts, and sends the rows that are left without any.
    fn turn_away(
        &self,
        changes: &Changes,
        times: &TimestampMicrosecondArray,
        assigned: &mut Assigned,
        judge: &Judge,
        out: &mut Output,
    ) -> Result<()> {
        let lateness = self.plan.lateness.filter(|_| !fault::on(Fault::FinalAccepted));
        let windows = self.windows();
        // The window of a row without event time ends with event time.
        let end = |row: usize, back: u32| match times.nulls() {
            Some(nulls) if nulls.is_null(row) => EventTime::MAX.0,
            _ => self.end(assigned.last[row], back),
        };
        let mut counters = Counters::default();
        let (mut rejected, mut judged_by): (Vec<u32>, Vec<EventTime>) = (vec![], vec![]);
        let mut taken_by = vec![];
        let mut visit = |row: usize, w: i64| {
            if w < end(row, windows - 1) {
                return;
            }
            let too_late = |back: u32| lateness.is_some_and(|d| w >= end(row, back).saturating_add(d));
            let mut taken = windows;
            while taken > 0 && too_late(taken - 1) {
                taken -= 1;
            }
            let n = changes.diff(row).unsigned_abs();
            counters.windows_missed += n * u64::from(windows - taken);
            if taken == 0 {
                counters.late_rejected += n;
                rejected.push(row as u32);
                judged_by.push(EventTime(w));
            } else if w >= end(row, taken - 1) {
                counters.late_accepted += n;
            }
            if taken < windows {
                taken_by.push((row, taken));
            }
        };
        match judge {
            Judge::OnTime => {}
            Judge::Constant(w) => (0..changes.len()).for_each(|row| visit(row, w.0)),
            Judge::Late(rows) => rows.iter().for_each(|&(row, w)| visit(row, w)),
        }
        for (row, taken) in taken_by {
            assigned.taken.get_or_insert_with(|| vec![windows; times.len()])[row] = taken;
        }
        out.counters.add(&counters);
        if !rejected.is_empty() {
            let time = |&row: &u32| match times.is_null(row as usize) {
                true => EventTime::MIN,
                false => EventTime(times.value(row as usize)),
            };
            out.late.push(LateRows {
                event_time: rejected.iter().map(time).collect(),
                watermark: judged_by,
                windows_missed: vec![windows; rejected.len()],
                changes: changes.take(&UInt32Array::from(rejected))?,
            });
        }
        Ok(())
    }

    /// The rows to send, in order, once per window (or once, in panes), and the start of the window of each; no rows: all
    /// as they are.
    fn pairs(&self, assigned: Assigned) -> (Option<Vec<u32>>, Vec<i64>) {
        let Assigned { last, taken } = assigned;
        if self.plan.panes || self.windows() == 1 {
            let Some(taken) = taken.filter(|taken| taken.contains(&0)) else { return (None, last) };
            let kept = || (0..last.len()).filter(|&row| taken[row] > 0);
            return (Some(kept().map(|row| row as u32).collect()), kept().map(|row| last[row]).collect());
        }
        let slide = self.plan.kind.slide();
        let until = u32::from(fault::on(Fault::HopMissesLast));
        let (mut rows, mut starts) = (vec![], vec![]);
        for back in (until..self.windows()).rev() {
            let in_it = |row: &usize| taken.as_ref().is_none_or(|taken| taken[*row] > back);
            for row in (0..last.len()).filter(in_it) {
                rows.push(row as u32);
                starts.push(last[row].saturating_sub(i64::from(back).saturating_mul(slide)));
            }
        }
        (Some(rows), starts)
    }

    /// In panes: in how many windows each row is that is sent.
    fn windows_sent(&self, taken: Option<&Vec<u32>>, rows: usize) -> Vec<u32> {
        let missed = u32::from(fault::on(Fault::HopMissesLast));
        match taken {
            None => vec![self.windows() - missed; rows],
            Some(taken) => taken.iter().copied().filter(|n| *n > 0).collect(),
        }
    }

    /// How often a row is sent that is in all of its windows.
    fn copies(&self) -> usize {
        if self.plan.panes { 1 } else { self.windows() as usize }
    }

    /// Sends what waits, as far as about so many rows; the number of rows.
    fn send_waiting(&mut self, most: usize, watermarks: &Watermarks, out: &mut Output) -> Result<usize> {
        let copies = self.copies();
        let mut sent = 0;
        while sent < most
            && let Some(changes) = self.waiting.pop_front()
        {
            let rows = changes.len().min((most / copies).max(1));
            if rows < changes.len() {
                self.waiting.push_front(changes.slice(rows, changes.len() - rows));
            }
            self.send(changes.slice(0, rows), watermarks, out)?;
            sent += rows * copies;
        }
        Ok(sent)
    }

    /// The columns that are sent on, of rows that are sent on.
    fn chosen(&self, changes: Changes) -> Result<Changes> {
        match &self.plan.columns {
            None => Ok(changes),
            Some(columns) if columns.len() == changes.rows.num_columns() => Ok(changes),
            Some(columns) => Ok(changes.with_rows(changes.rows.project(columns)?)),
        }
    }
}

/// Which of the rows sent have no event time; `rows`: those that are sent, when not all are.
fn unbounded(nulls: Option<&NullBuffer>, rows: Option<&[u32]>) -> Option<NullBuffer> {
    let nulls = nulls.filter(|n| n.null_count() > 0)?;
    Some(match rows {
        None => nulls.clone(),
        Some(rows) => rows.iter().map(|&row| nulls.is_valid(row as usize)).collect(),
    })
}

impl WindowOperator {
    /// Judges rows that have an event time, and sends each into its windows.
    fn send(&self, changes: Changes, watermarks: &Watermarks, out: &mut Output) -> Result<()> {
        let column = changes.rows.column(self.plan.time).clone();
        let time = column.as_primitive::<TimestampMicrosecondType>();
        let mut assigned = self.assign(time.values());
        let judge = self.judge(&changes, watermarks);
        if judge != Judge::OnTime {
            self.turn_away(&changes, time, &mut assigned, &judge, out)?;
        }
        let windows = self.plan.panes.then(|| self.windows_sent(assigned.taken.as_ref(), changes.len()));
        let (rows, starts) = self.pairs(assigned);
        let starts = Int64Array::new(starts.into(), unbounded(time.nulls(), rows.as_deref()));
        let changes = self.chosen(changes)?;
        let changes = match rows {
            None => changes,
            Some(rows) => changes.take(&UInt32Array::from(rows))?,
        };
        if changes.is_empty() {
            return Ok(());
        }
        let ends = Int64Array::new(ends(starts.values(), self.plan.kind).into(), starts.nulls().cloned());
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
        columns.extend(windows.map(|windows| Arc::new(UInt32Array::from(windows)) as ArrayRef));
        let rows = batch(&self.schema, columns, changes.len())?;
        out.send(changes.with_rows(rows));
        Ok(())
    }
}

impl Operator for WindowOperator {
    fn apply(&mut self, _port: usize, changes: Changes, watermarks: &Watermarks, out: &mut Output) -> Result<()> {
        let changes = self.timed(changes, out)?;
        if changes.is_empty() {
            return Ok(());
        }
        if self.copies() == 1 {
            return self.send(changes, watermarks, out);
        }
        self.waiting.push_back(changes);
        self.send_waiting(EAGER_ROWS, watermarks, out)?;
        Ok(())
    }

    fn step(&mut self, _: Epoch, watermarks: &Watermarks, fuel: &mut Fuel, out: &mut Output) -> Result<Step> {
        while !self.waiting.is_empty() {
            let sent = self.send_waiting(BATCH_ROWS, watermarks, out)?;
            if !fuel.burn(sent) && !self.waiting.is_empty() {
                return Ok(Step::More);
            }
        }
        self.joined.0 = true;
        Ok(Step::Done)
    }

    fn state(&mut self) -> Option<&mut dyn State> {
        Some(&mut self.joined)
    }
}
