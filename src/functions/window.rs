//! Window assignment: the one arithmetic of TUMBLE and HOP, in microseconds, for batch and streaming alike.
//!
//! Windows align to the Unix epoch plus `offset`, those of the calendar to UTC. A row without event time is in no window.
//! DataFusion's `date_bin` is not used: it is NULL beyond the range of nanoseconds.

use arrow::array::{Array, Int64Array, Int64Builder, TimestampMicrosecondArray, UInt32Array};

use crate::data::{BEFORE_TIME, BEHIND_TIME, CalendarUnit, Span, floor};

/// How rows are assigned to windows. Lengths in microseconds; `size` and `slide` are positive, `size` a multiple of
/// `slide`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum WindowKind {
    /// Each row is in one window `[start, start + size)`.
    Tumble {
        /// Length of a window.
        size: i64,
        /// Moves all windows.
        offset: i64,
    },
    /// Each row is in `size / slide` windows.
    Hop {
        /// Distance of window starts.
        slide: i64,
        /// Length of a window.
        size: i64,
        /// Moves all windows.
        offset: i64,
    },
    /// Each row is in one calendar month, quarter or year.
    Calendar {
        /// Which.
        unit: CalendarUnit,
    },
}

impl WindowKind {
    /// Length of the longest window.
    pub fn size(&self) -> i64 {
        match *self {
            Self::Tumble { size, .. } | Self::Hop { size, .. } => size,
            Self::Calendar { unit } => unit.longest(),
        }
    }

    /// From a window's start to its end.
    pub fn span(&self) -> Span {
        match *self {
            Self::Tumble { size, .. } | Self::Hop { size, .. } => Span::Fixed(size),
            Self::Calendar { unit } => Span::Calendar(unit),
        }
    }

    /// Distance of window starts, at most.
    pub fn slide(&self) -> i64 {
        match *self {
            Self::Tumble { size, .. } => size,
            Self::Hop { slide, .. } => slide,
            Self::Calendar { unit } => unit.longest(),
        }
    }

    /// Offset from the Unix epoch.
    pub fn offset(&self) -> i64 {
        match *self {
            Self::Tumble { offset, .. } | Self::Hop { offset, .. } => offset,
            Self::Calendar { .. } => 0,
        }
    }

    /// Windows per row.
    pub fn windows_per_row(&self) -> i64 {
        self.size() / self.slide()
    }

    /// The start of the last window that holds `t`; an infinity is its own.
    pub fn last_start(&self, t: i64) -> i64 {
        match *self {
            _ if matches!(t, i64::MIN | i64::MAX) => t,
            Self::Tumble { .. } | Self::Hop { .. } => floor_fast(t, self.slide(), self.offset()),
            Self::Calendar { unit } => unit.start(t),
        }
    }

    /// Whether all windows of `t` begin and end within time.
    pub fn holds(&self, t: i64) -> bool {
        let last = self.last_start(t);
        let back = (self.windows_per_row() - 1).saturating_mul(self.slide());
        let finite = !matches!(t, i64::MIN | i64::MAX);
        finite && last.saturating_sub(back) > BEFORE_TIME && self.end(last) < BEHIND_TIME
    }

    /// Whether that is so for all of these times.
    pub fn holds_all(&self, times: &TimestampMicrosecondArray) -> bool {
        // What holds the first and the last holds what is between.
        let ends = [arrow::compute::min(times), arrow::compute::max(times)];
        ends.into_iter().flatten().all(|t| self.holds(t))
    }

    /// The end of the window that starts at `start`; saturates at the end of time.
    pub fn end(&self, start: i64) -> i64 {
        self.span().end(start)
    }
}

/// Per time the start of the last window that holds it.
///
/// Neighbours mostly lie in the same window: only one outside of the window before it costs a division.
pub fn last_starts(times: &[i64], slide: i64, offset: i64) -> Vec<i64> {
    let (mut start, mut width) = (0, 0);
    let mut starts = Vec::with_capacity(times.len());
    for &t in times {
        if t < start || t.wrapping_sub(start) as u64 >= width {
            // An infinity, or a start that saturated, is no start: the next time is looked at again.
            (start, width) = match t {
                i64::MIN | i64::MAX => (t, 0),
                t => (floor_fast(t, slide, offset), slide as u64),
            };
            if start == BEFORE_TIME {
                width = 0;
            }
        }
        starts.push(start);
    }
    starts
}

/// The ends of windows, by their starts. Neighbours are mostly the same window.
pub fn ends(starts: &[i64], kind: WindowKind) -> Vec<i64> {
    let Some(&first) = starts.first() else { return vec![] };
    let (mut start, mut end) = (first, kind.end(first));
    let one = |&next: &i64| {
        if next != start {
            (start, end) = (next, kind.end(next));
        }
        end
    };
    starts.iter().map(one).collect()
}

/// Windows of which each row is in one: per row the start of its window, NULL where the time is NULL.
pub fn window_starts(time: &TimestampMicrosecondArray, kind: WindowKind) -> Int64Array {
    match kind {
        WindowKind::Tumble { size, offset } => {
            Int64Array::new(last_starts(time.values(), size, offset).into(), time.nulls().cloned())
        }
        WindowKind::Hop { .. } | WindowKind::Calendar { .. } => {
            time.iter().map(|t| t.map(|t| kind.last_start(t))).collect()
        }
    }
}

/// HOP (and the others, as the case of one): (row, window start) pairs, by ascending row, then ascending start. Rows
/// without time give none.
pub fn window_pairs(time: &TimestampMicrosecondArray, kind: WindowKind) -> (UInt32Array, Int64Array) {
    let (slide, per_row) = (kind.slide(), kind.windows_per_row());
    let capacity = time.len() * usize::try_from(per_row).unwrap_or(1);
    let mut rows = Vec::with_capacity(capacity);
    let mut starts = Int64Builder::with_capacity(capacity);
    for (row, &t) in time.values().iter().enumerate() {
        if time.is_null(row) {
            continue;
        }
        let last = kind.last_start(t);
        for back in (0..per_row).rev() {
            rows.push(row as u32);
            starts.append_value(last.saturating_sub(back.saturating_mul(slide)));
        }
    }
    (UInt32Array::from(rows), starts.finish())
}

/// [`floor`] in 64 bits where that cannot overflow.
#[inline]
fn floor_fast(t: i64, size: i64, offset: i64) -> i64 {
    match t.checked_sub(offset) {
        Some(from) => t.checked_sub(from.rem_euclid(size)).unwrap_or_else(|| floor(t, size, offset)),
        None => floor(t, size, offset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tumbles_align_to_the_epoch_and_reach_far() {
        let far = 250_000_000_000_000_000; // the year 9891: beyond nanoseconds
        let times = [-1, 0, 9, 10, far + 3, -10];
        let starts = last_starts(&times, 10, 0);
        assert_eq!(starts, vec![-10, 0, 0, 10, far, -10]);
        assert_eq!(last_starts(&times, 10, 3)[1], -7);
    }

    #[test]
    fn hops_give_size_over_slide_windows() {
        let time = TimestampMicrosecondArray::from(vec![Some(12), None]);
        let (rows, starts) = window_pairs(&time, WindowKind::Hop { slide: 5, size: 15, offset: 0 });
        assert_eq!(rows, UInt32Array::from(vec![0, 0, 0]));
        assert_eq!(starts, Int64Array::from(vec![0, 5, 10]));
    }

    #[test]
    fn the_ends_of_time_saturate() {
        let starts = last_starts(&[i64::MIN + 2, i64::MIN + 3, i64::MAX, i64::MIN], 1_000_000, 0);
        assert_eq!(starts[..2], [i64::MIN + 1, i64::MIN + 1]);
        assert_eq!(starts[2..], [i64::MAX, i64::MIN]);
    }
}
