//! GROUP BY with aggregates; DISTINCT; aggregates over everything.
//!
//! SQL: `GROUP BY`, `SELECT DISTINCT`, `UNION`, aggregates without GROUP BY (one row, also over nothing)
//! State: one entry per group, in one table per window
//! Retractions: taken back from every aggregate; a group without rows is taken back and forgotten
//! Watermark: EMIT ON WINDOW CLOSE sends a window's rows when watermark >= window_end; with a lateness d a window is final,
//! and forgotten, when watermark >= window_end + d

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, make_comparator};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{SortOptions, filter_record_batch};
use arrow::datatypes::SchemaRef;

use super::evaluate::{batch, report};
use super::{Fuel, Operator, Output, Step, Worker};
use crate::catalog::object::Emit;
use crate::data::{Changes, Epoch, EventTime, WatermarkExpr, Watermarks};
use crate::error::{Error, Result};
use crate::plan::Aggregate;
use crate::state::fault::{self, Fault};
use crate::state::{CellError, Finished, GroupLayout, GroupState, GroupTable, NO_WINDOW, State};

/// Rows per batch sent.
const PIECE: usize = 8192;

pub(super) struct AggregateOperator {
    name: Arc<str>,
    schema: SchemaRef,
    /// Number of group columns.
    width: usize,
    append_only: bool,
    /// Whether it takes parts of groups.
    parts: bool,
    emission: Emission,
    state: GroupState,
    /// Whether this worker sends the row of an aggregate without GROUP BY.
    owns_global: bool,
    work: Option<VecDeque<Work>>,
}

/// When rows are sent, and windows forgotten.
enum Emission {
    /// Each epoch, for ever.
    Always,
    /// Each epoch; windows are forgotten once they are final.
    UntilFinal { closing: WatermarkExpr, lateness: i64 },
    /// When the window closes, then each epoch until it is final.
    OnClose { closing: WatermarkExpr, lateness: i64 },
}

/// What is left to do in an epoch, per window.
enum Work {
    /// Send what changed among the touched groups, from this one on.
    Changes(i64, usize),
    /// Send all of these groups, from this one on.
    All(i64, Vec<u32>, usize),
    /// Send those that are on disk only, behind a key.
    OnDisk(i64, Vec<u8>),
    /// Nothing to send yet.
    Quiet(i64),
    /// The window is final.
    Drop(i64),
}

/// The results of some groups: their rows, which of them are there, and why some have none.
struct Rows {
    columns: Vec<ArrayRef>,
    there: BooleanBuffer,
    errors: BTreeMap<usize, CellError>,
}

impl Rows {
    fn new(count: usize, there: impl Fn(usize) -> bool) -> Self {
        Self { columns: vec![], there: BooleanBuffer::collect_bool(count, there), errors: BTreeMap::new() }
    }

    fn push(&mut self, finished: Finished) {
        self.errors.extend(finished.errors);
        self.columns.push(finished.column);
    }

    /// Which rows are shown among those that changed.
    fn shown(&self, changed: &BooleanBuffer) -> BooleanBuffer {
        let shown = changed & &self.there;
        if self.errors.is_empty() {
            return shown;
        }
        BooleanBuffer::collect_bool(shown.len(), |i| shown.value(i) && !self.errors.contains_key(&i))
    }
}

/// What a plan's groups are.
pub(super) fn layout(plan: &Aggregate, keep_old: bool) -> GroupLayout {
    let append_only = plan.input.properties().append_only;
    GroupLayout {
        group: Arc::new(arrow::datatypes::Schema::new(plan.properties.schema.fields()[..plan.group.len()].to_vec())),
        window: plan.windowed.as_ref().map(|w| w.bounds.clone()).unwrap_or_default(),
        exchange: plan.exchange(),
        panes: plan.panes.map(|p| (p.windows, p.slide)),
        kinds: plan.calls.iter().map(|call| call.kind(append_only)).collect(),
        arguments: plan.calls.iter().map(|c| (c.arguments.clone(), c.filter)).collect(),
        keep_old,
    }
}

impl AggregateOperator {
    /// `parts`: its input was aggregated before.
    pub fn new(name: Arc<str>, plan: &Aggregate, worker: &Worker, parts: bool) -> Result<Self> {
        let schema = plan.properties.schema.clone();
        let width = plan.group.len();
        let emission = match (&plan.windowed, plan.emit) {
            (Some(window), emit) => match (window.column.closing.clone(), window.column.lateness, emit) {
                (Some(closing), Some(lateness), Emit::OnWindowClose) => Emission::OnClose { closing, lateness },
                (Some(closing), Some(lateness), Emit::OnUpdate) => Emission::UntilFinal { closing, lateness },
                _ => Emission::Always,
            },
            (None, _) => Emission::Always,
        };
        let mut layout = layout(plan, !matches!(emission, Emission::OnClose { .. }));
        if parts {
            // Parts have the number of their windows right behind the group.
            layout.panes = layout.panes.map(|(_, slide)| (width, slide));
        }
        let state = GroupState::new(layout)?;
        let owns_global = width == 0 && GroupState::global_bucket().worker(worker.peers) == worker.index;
        let append_only = plan.properties.append_only;
        Ok(Self { name, schema, width, append_only, parts, emission, state, owns_global, work: None })
    }

    /// By what this operator's windows close.
    pub fn closing(plan: &Aggregate) -> Option<WatermarkExpr> {
        plan.windowed.as_ref().filter(|w| w.column.lateness.is_some()).and_then(|w| w.column.closing.clone())
    }

    /// Decides what an epoch has to do.
    fn plan_work(&mut self, watermarks: &Watermarks) -> Result<VecDeque<Work>> {
        self.state.merge_panes()?;
        let is_first = self.state.filled();
        let emitted = self.state.get(NO_WINDOW).is_some_and(|t| t.emitted);
        if self.owns_global && !emitted {
            self.state.touch_global()?;
        }
        let vector = if fault::on(Fault::StaleWatermark) { &watermarks.before } else { &watermarks.now };
        let late = EventTime(i64::from(fault::on(Fault::ClosesLate)));
        let now = |closing: &WatermarkExpr| closing.at(vector).shift(-late.0).0;
        let dirty: Vec<i64> = self.state.dirty_windows().collect();
        let mut work = VecDeque::new();
        let all = |(end, table): (i64, &GroupTable)| Work::All(end, table.live(), 0);
        let (now, lateness) = match &self.emission {
            Emission::Always => {
                work.extend(self.state.windows().filter(|_| is_first).map(all));
                work.extend(dirty.into_iter().map(|end| Work::Changes(end, 0)));
                return Ok(work);
            }
            Emission::UntilFinal { closing, lateness } => {
                work.extend(self.state.windows().filter(|_| is_first).map(all));
                work.extend(dirty.into_iter().map(|end| Work::Changes(end, 0)));
                (now(closing), *lateness)
            }
            Emission::OnClose { closing, lateness } => {
                let now = now(closing);
                for (end, table) in self.state.windows().take_while(|(end, _)| *end <= now) {
                    if !table.emitted {
                        work.push_back(Work::All(end, table.live(), 0));
                    } else if !table.dirty().is_empty() {
                        work.push_back(match fault::on(Fault::EmittedTwice) {
                            true => Work::All(end, table.live(), 0),
                            false => Work::Changes(end, 0),
                        });
                    }
                }
                work.extend(dirty.into_iter().filter(|end| *end > now).map(Work::Quiet));
                (now, *lateness)
            }
        };
        let last = self.state.windows().map(|(end, _)| end).take_while(|end| end.saturating_add(lateness) <= now);
        if !fault::on(Fault::WindowKept) {
            work.extend(last.map(Work::Drop).collect::<Vec<_>>());
        }
        Ok(work)
    }

    /// Does a piece of work; gives back what is left of it, and the rows it took.
    fn work(&mut self, work: Work, out: &mut Output) -> Result<(Option<Work>, usize)> {
        match work {
            Work::Changes(end, from) => {
                let Some(table) = self.state.get(end) else { return Ok((None, 1)) };
                let to = table.dirty().len().min(from + PIECE);
                let (range, places) = table.before(from, to);
                let (mut held, mut fresh) = (Vec::with_capacity(places.len()), vec![]);
                for (place, &entry) in (0..).zip(&table.dirty()[from..to]) {
                    let is_held = places.get(held.len()) == Some(&place);
                    if is_held { held.push(entry) } else { fresh.push(entry) }
                }
                if !held.is_empty() {
                    self.send(end, &held, self.old_rows(table, range)?, out)?;
                }
                self.send(end, &fresh, Rows::new(fresh.len(), |_| false), out)?;
                if to < self.state.get(end).map_or(0, |t| t.dirty().len()) {
                    return Ok((Some(Work::Changes(end, to)), to - from));
                }
                self.emitted(end);
                self.state.settle(end)?;
                Ok((None, to - from))
            }
            Work::All(end, entries, from) => {
                let to = entries.len().min(from + PIECE);
                let none = Rows::new(to - from, |_| false);
                self.send(end, &entries[from..to], none, out)?;
                if to < entries.len() {
                    return Ok((Some(Work::All(end, entries, to)), to - from));
                }
                if self.state.on_disk(end) > 0 {
                    return Ok((Some(Work::OnDisk(end, vec![])), to - from));
                }
                self.emitted(end);
                self.state.settle(end)?;
                Ok((None, to - from))
            }
            Work::OnDisk(end, mut after) => {
                let mut rows = 0;
                let (table, is_over) = self.state.on_disk_of(end, &mut after, PIECE)?;
                if let Some(table) = table {
                    let entries = table.live();
                    rows = entries.len();
                    self.send_of(&table, end, &entries, Rows::new(rows, |_| false), out)?;
                }
                if !is_over {
                    return Ok((Some(Work::OnDisk(end, after)), rows));
                }
                self.emitted(end);
                self.state.settle(end)?;
                Ok((None, rows))
            }
            Work::Quiet(end) => {
                self.state.settle(end)?;
                Ok((None, 1))
            }
            Work::Drop(end) => {
                self.state.drop_window(EventTime(end));
                Ok((None, 1))
            }
        }
    }

    fn emitted(&mut self, end: i64) {
        if let Some(table) = self.state.get_mut(end) {
            table.emitted = true;
        }
    }

    /// What touched groups were before the epoch, of those that were there.
    fn old_rows(&self, table: &GroupTable, range: Range<usize>) -> Result<Rows> {
        let global = self.width == 0;
        let there = |i| if global { table.emitted } else { table.old_weight(range.start + i) > 0 };
        let mut rows = Rows::new(range.len(), there);
        for results in table.old() {
            rows.push(results.get(range.start, range.end)?);
        }
        Ok(rows)
    }

    fn new_rows(&self, table: &GroupTable, entries: &[u32]) -> Result<Rows> {
        let always = self.width == 0 || fault::on(Fault::EmptyGroupKept);
        let mut rows = Rows::new(entries.len(), |i| always || table.weight(entries[i]) > 0);
        for results in table.results(entries)? {
            rows.push(results);
        }
        Ok(rows)
    }

    /// Sends the difference between what groups were and what they are: first the old rows, then the new ones. No row is
    /// sent twice in an epoch, neither by this operator on one worker nor on two.
    fn send(&self, end: i64, entries: &[u32], old: Rows, out: &mut Output) -> Result<()> {
        let Some(table) = self.state.get(end).filter(|_| !entries.is_empty()) else { return Ok(()) };
        self.send_of(table, end, entries, old, out)
    }

    fn send_of(&self, table: &GroupTable, end: i64, entries: &[u32], old: Rows, out: &mut Output) -> Result<()> {
        let new = self.new_rows(table, entries)?;
        let changed = changed(&old, &new);
        if changed.count_set_bits() == 0 {
            return Ok(());
        }
        let group = self.state.columns_of(table, end, entries)?;
        self.errors(&group, &old, &new, entries.len(), out)?;
        for (rows, sign) in [(old, -1), (new, 1)] {
            let shown = rows.shown(&changed);
            let count = shown.count_set_bits();
            if count == 0 {
                continue;
            }
            let columns = group.iter().cloned().chain(rows.columns).collect();
            let mut all = batch(&self.schema, columns, entries.len())?;
            if count < all.num_rows() {
                all = filter_record_batch(&all, &BooleanArray::new(shown, None))?;
            }
            debug_assert!(sign > 0 || !self.append_only);
            out.send(Changes::settled(all, (sign < 0).then(|| Int64Array::from(vec![sign; count]))));
        }
        Ok(())
    }

    /// Reports groups without a result: those that were so before, taken back, and those that are so now.
    fn errors(&self, group: &[ArrayRef], old: &Rows, new: &Rows, count: usize, out: &mut Output) -> Result<()> {
        if old.errors.is_empty() && new.errors.is_empty() {
            return Ok(());
        }
        let schema = Arc::new(arrow::datatypes::Schema::new(self.schema.fields()[..self.width].to_vec()));
        let rows = batch(&schema, group.to_vec(), count)?;
        for i in (0..count).filter(|i| old.errors.get(i) != new.errors.get(i) || differ(old, new, *i)) {
            for (side, diff) in [(old, -1), (new, 1)] {
                if let Some(error) = side.errors.get(&i).filter(|_| side.there.value(i)) {
                    report(&self.name, &Error::new(error.code, error.message), &rows, i, diff, out);
                }
            }
        }
        Ok(())
    }
}

/// Whether a group is there in one of two but not in the other.
fn differ(old: &Rows, new: &Rows, i: usize) -> bool {
    old.there.value(i) != new.there.value(i)
}

/// The groups that are not what they were.
fn changed(old: &Rows, new: &Rows) -> BooleanBuffer {
    let mut changed = &old.there ^ &new.there;
    for (a, b) in old.columns.iter().zip(&new.columns) {
        changed = match distinct(a, b) {
            Ok(differ) => &changed | differ.values(),
            // Lists.
            Err(_) => match make_comparator(a, b, SortOptions::default()) {
                Ok(order) => BooleanBuffer::collect_bool(changed.len(), |i| changed.value(i) || order(i, i).is_ne()),
                Err(_) => BooleanBuffer::new_set(changed.len()),
            },
        };
    }
    if old.errors == new.errors {
        return changed;
    }
    BooleanBuffer::collect_bool(changed.len(), |i| changed.value(i) || old.errors.get(&i) != new.errors.get(&i))
}

impl Operator for AggregateOperator {
    fn apply(&mut self, _port: usize, changes: Changes, _watermarks: &Watermarks, out: &mut Output) -> Result<()> {
        if fault::on(Fault::DistinctRepeats)
            && !self.parts
            && self.schema.fields().len() == self.width
            && self.width > 0
        {
            let copies = changes.rows.clone();
            out.send(Changes::settled(copies, changes.diffs.clone()));
        }
        if self.parts {
            return self.state.add_parts(&changes.rows);
        }
        self.state.add(&changes.rows, changes.diffs.as_ref())
    }

    fn step(&mut self, _epoch: Epoch, watermarks: &Watermarks, fuel: &mut Fuel, out: &mut Output) -> Result<Step> {
        let mut work = match self.work.take() {
            Some(work) => work,
            None => self.plan_work(watermarks)?,
        };
        while let Some(next) = work.pop_front() {
            let (left, rows) = self.work(next, out)?;
            if let Some(left) = left {
                work.push_front(left);
            }
            if !fuel.burn(rows.max(1)) && !work.is_empty() {
                self.work = Some(work);
                return Ok(Step::More);
            }
        }
        Ok(Step::Done)
    }

    fn alarm(&self) -> Option<EventTime> {
        let (lateness, on_close) = match &self.emission {
            Emission::Always => return None,
            Emission::UntilFinal { lateness, .. } => (*lateness, false),
            Emission::OnClose { lateness, .. } => (*lateness, true),
        };
        let (first, table) = self.state.windows().next()?;
        let alarm = match (on_close, table.emitted) {
            (true, false) => first,
            (true, true) => {
                let open = self.state.windows().find(|(_, t)| !t.emitted).map_or(i64::MAX, |(end, _)| end);
                open.min(first.saturating_add(lateness))
            }
            (false, _) => first.saturating_add(lateness),
        };
        Some(EventTime(alarm))
    }

    fn state(&mut self) -> Option<&mut dyn State> {
        Some(&mut self.state)
    }
}
