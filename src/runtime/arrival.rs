//! The watermark of one partition: a running maximum, and what it says of every row that arrives.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{cast, filter, not};
use arrow::datatypes::{DataType, Int64Type};

use crate::data::text::datetime::{TIMESTAMP_FIRST, TIMESTAMP_LAST};
use crate::data::{Arrival, Changes, EventTime, Late, Partition, RowRanges};
use crate::error::Result;
use crate::operators::RowError;

use super::WatermarkSpec;
use super::ahead::{MaxAhead, check_ranges};
use super::ingest::Piece;

/// Per row: its event time, and how far it moves the watermark. Both nullable, microseconds.
#[derive(Clone, Debug)]
pub(super) struct Times {
    event: Int64Array,
    bound: Bound,
}

/// How far rows move the watermark.
#[derive(Clone, Debug)]
enum Bound {
    /// To so much before their event time. The earliest and the latest of the rows are known where all have a time.
    Delay { delay: i64, extent: Option<(i64, i64)> },
    /// Per row.
    Each(Int64Array),
}

impl Bound {
    /// By a delay; `complete`: all rows have a time.
    fn delay(delay: i64, event: &Int64Array, complete: bool) -> Self {
        Self::Delay { delay, extent: if complete { extremes(event.values()) } else { None } }
    }
}

impl Times {
    /// Evaluates the WATERMARK expression over rows.
    pub(super) fn of(spec: &WatermarkSpec, rows: &RecordBatch) -> Result<Self> {
        let event = micros(rows.column(spec.column))?;
        if let Some(delay) = spec.delay()
            && let Some(bound) = behind(&event, delay)
        {
            return Ok(Self { event, bound });
        }
        let evaluate = |rows: &RecordBatch| -> Result<Int64Array> {
            let bound = micros(&spec.expr.evaluate(rows)?.into_array(rows.num_rows())?)?;
            // Infinity is no point that event time has come to.
            Ok(bound.unary_opt(|t| (t != EventTime::MAX.0).then_some(t)))
        };
        let bound = match evaluate(rows) {
            Ok(bound) => bound,
            // A row for which the expression fails moves nothing.
            Err(_) => {
                let one = |i| evaluate(&rows.slice(i, 1)).ok().filter(|a| a.is_valid(0)).map(|a| a.value(0));
                (0..rows.num_rows()).map(one).collect()
            }
        };
        Ok(Self { event, bound: Bound::Each(bound) })
    }

    /// Without some of the rows.
    pub(super) fn without(&self, rows: &BooleanArray) -> Result<Self> {
        let keep = not(rows)?;
        let kept = |times| -> Result<Int64Array> { Ok(filter(times, &keep)?.as_primitive::<Int64Type>().clone()) };
        let event = kept(&self.event)?;
        let bound = match &self.bound {
            Bound::Delay { delay, extent } => Bound::delay(*delay, &event, extent.is_some()),
            Bound::Each(bound) => Bound::Each(kept(bound)?),
        };
        Ok(Self { event, bound })
    }

    pub(super) fn slice(&self, offset: usize, length: usize) -> Self {
        let event = self.event.slice(offset, length);
        let bound = match &self.bound {
            Bound::Delay { delay, extent } => Bound::delay(*delay, &event, extent.is_some()),
            Bound::Each(bound) => Bound::Each(bound.slice(offset, length)),
        };
        Self { event, bound }
    }

    /// The watermark behind these rows, all insertions, if it is clear without looking at each that none of them is late.
    fn on_time(&self, watermark: i64) -> Option<i64> {
        let Bound::Delay { delay, extent: Some((first, last)) } = self.bound else { return None };
        let bound = last - delay;
        (first >= watermark.max(bound)).then_some(watermark.max(bound))
    }
}

/// Times moved back, unless one of them is so far from ours that the expression would fail for it.
fn behind(times: &Int64Array, delay: i64) -> Option<Bound> {
    let Some((first, last)) = extremes(times.values()) else { return Some(Bound::Delay { delay, extent: None }) };
    let far = delay.checked_abs()?;
    let known = TIMESTAMP_FIRST.checked_add(far)?..=TIMESTAMP_LAST.checked_sub(far)?;
    let extent = (times.null_count() == 0).then_some((first, last));
    (known.contains(&first) && known.contains(&last)).then_some(Bound::Delay { delay, extent })
}

/// The least and the greatest of some values.
fn extremes(values: &[i64]) -> Option<(i64, i64)> {
    const LANES: usize = 8;
    let first = *values.first()?;
    // Several at a time: one does not wait for the other.
    let (mut least, mut greatest) = ([first; LANES], [first; LANES]);
    let (lanes, rest) = values.as_chunks::<LANES>();
    for lane in lanes {
        for i in 0..LANES {
            least[i] = least[i].min(lane[i]);
            greatest[i] = greatest[i].max(lane[i]);
        }
    }
    let all = |lanes: [i64; LANES], f: fn(i64, i64) -> i64| lanes.iter().chain(rest).copied().fold(first, f);
    Some((all(least, i64::min), all(greatest, i64::max)))
}

pub(super) fn micros(column: &ArrayRef) -> Result<Int64Array> {
    let micros = match column.data_type() {
        DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _) => cast(column, &DataType::Int64)?,
        DataType::Int64 => ArrayRef::clone(column),
        _ => cast(&cast(column, &crate::data::types::timestamp())?, &DataType::Int64)?,
    };
    Ok(micros.as_primitive::<Int64Type>().clone())
}

/// One partition's watermark.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    pub(super) partition: Partition,
    spec: Option<WatermarkSpec>,
    pub(super) watermark: EventTime,
    /// Rows seen, ever.
    pub(super) rows: u64,
    /// Rows that were below the watermark, ever.
    pub(super) late: u64,
    /// Watermarks moved by a decision: from this row on, at least so much. What a second reader of the partition needs.
    pub(super) floors: Vec<(u64, EventTime)>,
    /// Rows that were too far ahead of the clock when they came. A second reader of the partition needs these too.
    pub(super) turned_away: RowRanges,
}

impl Clock {
    pub(super) fn new(partition: Partition, spec: Option<WatermarkSpec>) -> Self {
        Self {
            partition,
            spec,
            watermark: EventTime::MIN,
            rows: 0,
            late: 0,
            floors: vec![],
            turned_away: RowRanges::default(),
        }
    }

    pub(super) fn spec(&self) -> Option<&WatermarkSpec> {
        self.spec.as_ref()
    }

    /// The same watermark, over rows of other columns.
    pub(super) fn redefine(&mut self, spec: Option<WatermarkSpec>) {
        self.spec = spec;
    }

    /// Moves the watermark forward by a decision.
    pub(super) fn raise(&mut self, floor: EventTime) {
        if floor > self.watermark {
            self.watermark = floor;
            self.floors.push((self.rows, floor));
        }
    }

    /// The same for a piece of a source, without the rows that are too far ahead, of which it says why.
    pub(super) fn admit_piece(&mut self, piece: &Piece, limit: Option<MaxAhead>) -> Result<(Changes, Vec<RowError>)> {
        let Some(limit) = limit.filter(|_| !piece.ahead.is_empty()) else {
            return Ok((self.admit_timed(piece.rows.clone(), None, piece.times.as_ref())?, vec![]));
        };
        let ahead = piece.ahead.mask(piece.rows.num_rows());
        let times = piece.times.as_ref().map(|times| times.without(&ahead)).transpose()?;
        let (rows, errors) = limit.turn_away(&piece.rows, &ahead)?;
        self.turned_away.extend(&piece.ahead, self.rows);
        check_ranges(&self.turned_away)?;
        self.rows += errors.len() as u64;
        Ok((self.admit_timed(rows, None, times.as_ref())?, errors))
    }

    /// Takes rows in arrival order: judges each by the watermark just before it, and moves the watermark by insertions.
    pub(super) fn admit(&mut self, rows: RecordBatch, diffs: Option<Int64Array>) -> Result<Changes> {
        let times = self.spec.as_ref().map(|spec| Times::of(spec, &rows)).transpose()?;
        self.admit_timed(rows, diffs, times.as_ref())
    }

    /// The same with times that were computed before.
    pub(super) fn admit_timed(
        &mut self,
        rows: RecordBatch,
        diffs: Option<Int64Array>,
        times: Option<&Times>,
    ) -> Result<Changes> {
        self.rows += rows.num_rows() as u64;
        let arrival = times.map_or(Arrival::OnTime, |times| self.judge(times, diffs.as_ref()));
        Ok(Changes { rows, diffs, arrival })
    }

    fn judge(&mut self, times: &Times, diffs: Option<&Int64Array>) -> Arrival {
        if diffs.is_none()
            && let Some(watermark) = times.on_time(self.watermark.0)
        {
            self.watermark = EventTime(watermark);
            return Arrival::OnTime;
        }
        let mut late = Late::default();
        self.watermark = walk(times, diffs, self.watermark, &mut late);
        self.late += late.len() as u64;
        Arrival::of(self.partition, late)
    }
}

/// Notes the rows that are below the watermark just before them (a row without event time never is); returns the
/// watermark behind the last.
fn walk(times: &Times, diffs: Option<&Int64Array>, start: EventTime, late: &mut Late) -> EventTime {
    let event = times.event.values();
    let mut w = start.0;
    if let Bound::Delay { delay, extent: Some(_) } = times.bound
        && diffs.is_none()
    {
        for (i, &event) in event.iter().enumerate() {
            if event < w {
                late.push(i, w);
            }
            w = w.max(event - delay);
        }
        return EventTime(w);
    }
    let bound = |i: usize| match &times.bound {
        Bound::Delay { delay, .. } => times.event.is_valid(i).then(|| event[i] - delay),
        Bound::Each(bound) => bound.is_valid(i).then(|| bound.value(i)),
    };
    for i in 0..event.len() {
        if times.event.is_valid(i) && event[i] < w {
            late.push(i, w);
        }
        if diffs.is_none_or(|d| d.value(i) > 0) {
            w = w.max(bound(i).unwrap_or(w));
        }
    }
    EventTime(w)
}
