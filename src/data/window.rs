//! [`Span`]: how a window's bounds follow from each other, for windows of fixed length and for calendar ones.

use serde::{Deserialize, Serialize};

use super::text::calendar::{DAY, civil, days};
use super::{EventTime, WatermarkExpr, WatermarkVector};

/// Calendar units whose length varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CalendarUnit {
    Month,
    Quarter,
    Year,
}

impl CalendarUnit {
    /// As `date_trunc` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// Months in one.
    fn months(self) -> i64 {
        match self {
            Self::Month => 1,
            Self::Quarter => 3,
            Self::Year => 12,
        }
    }

    /// Microseconds in the longest one.
    pub fn longest(self) -> i64 {
        match self {
            Self::Month => 31 * DAY,
            Self::Quarter => 92 * DAY,
            Self::Year => 366 * DAY,
        }
    }

    /// The start of the unit that holds `t`, in UTC; saturates at the ends of time.
    pub fn start(self, t: i64) -> i64 {
        self.moved(t, 0)
    }

    /// The start of the unit `count` after the one that holds `t`.
    fn moved(self, t: i64, count: i64) -> i64 {
        let (year, month, _) = civil(t.div_euclid(DAY));
        let months = (year * 12 + i64::from(month) - 1).div_euclid(self.months()) + count;
        let months = months * self.months();
        let start = i128::from(days(months.div_euclid(12), months.rem_euclid(12) as u32 + 1, 1)) * i128::from(DAY);
        i64::try_from(start).unwrap_or(if start < 0 { i64::MIN + 1 } else { i64::MAX })
    }
}

/// What lies between a bound of a window and the window's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Span {
    /// So many microseconds.
    Fixed(i64),
    /// One calendar unit, from its start on.
    Calendar(CalendarUnit),
}

/// The end of the bin that `-infinity` is in: over as soon as event time has begun.
pub const BEFORE_TIME: i64 = i64::MIN + 1;
/// The end of the bin that `infinity` is in: over when event time has ended.
pub const BEHIND_TIME: i64 = i64::MAX - 1;

impl Span {
    /// The window's end, given the bound; saturates at the end of time.
    pub fn end(self, bound: i64) -> i64 {
        match (self, bound) {
            (Self::Fixed(0), _) => bound,
            (_, i64::MIN) => BEFORE_TIME,
            (_, i64::MAX) => BEHIND_TIME,
            (Self::Fixed(micros), _) => bound.saturating_add(micros),
            (Self::Calendar(unit), _) => unit.moved(bound, 1),
        }
    }

    /// The bound, given the window's end.
    pub fn bound(self, end: i64) -> i64 {
        match (self, end) {
            (Self::Fixed(0), _) => end,
            (_, BEFORE_TIME) => i64::MIN,
            (_, BEHIND_TIME) => i64::MAX,
            (Self::Fixed(micros), _) => end.saturating_sub(micros),
            (Self::Calendar(unit), _) => unit.start(end.saturating_sub(1)),
        }
    }
}

/// `WITH (retention = ..)`: when rows leave a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The view's column that is a bound of a window.
    pub column: usize,
    /// What lies between that bound and the window's end.
    pub to_end: Span,
    /// By what windows close.
    pub closing: WatermarkExpr,
    /// How long after its end a window is kept, its lateness included, microseconds.
    pub after: i64,
}

impl Retention {
    /// At these watermarks: windows that end here, or before, are gone. Nothing is before event time has begun.
    pub fn horizon(&self, vector: &WatermarkVector) -> i64 {
        match self.closing.at(vector) {
            EventTime(infinite @ (i64::MIN | i64::MAX)) => infinite,
            EventTime(now) => now.saturating_sub(self.after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(year: i64, month: u32, day: u32) -> i64 {
        days(year, month, day) * DAY
    }

    #[test]
    fn calendar_units_begin_and_end_where_the_calendar_says() {
        let t = day(2024, 2, 29) + 5;
        assert_eq!(CalendarUnit::Month.start(t), day(2024, 2, 1));
        assert_eq!(CalendarUnit::Quarter.start(t), day(2024, 1, 1));
        assert_eq!(CalendarUnit::Year.start(day(1969, 12, 31)), day(1969, 1, 1));
        let month = Span::Calendar(CalendarUnit::Month);
        assert_eq!(month.end(day(2024, 12, 1)), day(2025, 1, 1));
        assert_eq!(month.bound(day(2025, 1, 1)), day(2024, 12, 1));
        assert_eq!(Span::Calendar(CalendarUnit::Quarter).end(day(2025, 10, 1)), day(2026, 1, 1));
        assert_eq!(Span::Fixed(10).bound(Span::Fixed(10).end(20)), 20);
    }

    #[test]
    fn the_ends_of_time_saturate() {
        assert_eq!(CalendarUnit::Year.start(i64::MIN + 2), i64::MIN + 1);
        assert_eq!(Span::Calendar(CalendarUnit::Year).end(i64::MAX - 1), i64::MAX);
        for span in [Span::Fixed(10), Span::Calendar(CalendarUnit::Year)] {
            assert_eq!(span.bound(span.end(i64::MIN)), i64::MIN);
            assert_eq!(span.bound(span.end(i64::MAX)), i64::MAX);
        }
    }
}
