//! Watermarks inside a plan, as pure functions of the sources' watermarks.
//!
//! Filters and projections keep a watermark, monotone functions map it, UNION ALL and joins take minima: so every
//! watermark in a view is a minimum of terms, each a chain of monotone functions over one source's watermark. The planner
//! derives the expression; nothing has to be propagated at run time but the vector of source watermarks.

use serde::{Deserialize, Serialize};

use super::{Arrival, CalendarUnit, EventTime, ObjectId, Partition, Span, WatermarkVector, Watermarks};

/// A non-decreasing function of event time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Monotone {
    /// `t + micros` (`ts - INTERVAL '1' HOUR`, window_end = window_start + size, the `W - d` of a lateness clause).
    Shift(i64),
    /// The largest `offset + k * size <= t` (tumbling window start, `date_bin`).
    Floor {
        /// Microseconds, positive.
        size: i64,
        /// Microseconds.
        offset: i64,
    },
    /// The start of the earliest hopping window that holds `t`: rows at or after `t` open no earlier window.
    FirstHop {
        /// Microseconds between window starts, positive.
        slide: i64,
        /// Microseconds, a multiple of `slide`.
        size: i64,
        /// Microseconds.
        offset: i64,
    },
    /// `date_trunc(unit, t)` for calendar units, in UTC.
    Truncate(CalendarUnit),
    /// The end of the window of which `t` is a bound.
    End(Span),
}

impl Monotone {
    /// Applies the function; the infinities stay.
    pub fn apply(&self, t: EventTime) -> EventTime {
        if t == EventTime::MIN || t == EventTime::MAX {
            return t;
        }
        match self {
            Self::Shift(micros) => t.shift(*micros),
            Self::Floor { size, offset } => EventTime(floor(t.0, *size, *offset)),
            Self::FirstHop { slide, size, offset } => {
                EventTime(floor(t.0, *slide, *offset).saturating_sub(size - slide))
            }
            Self::Truncate(unit) => EventTime(unit.start(t.0)),
            Self::End(span) => EventTime(span.end(t.0)),
        }
    }
}

/// The largest `offset + k * size` that is not above `t`; saturates at the ends of time.
pub fn floor(t: i64, size: i64, offset: i64) -> i64 {
    let (t, size, offset) = (i128::from(t), i128::from(size), i128::from(offset));
    let start = t - (t - offset).rem_euclid(size);
    i64::try_from(start).unwrap_or(i64::MIN + 1)
}

/// One path from a source to an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkTerm {
    /// The table or source.
    pub source: ObjectId,
    /// Applied first to last to the source's watermark.
    pub functions: Vec<Monotone>,
    /// Whether only filters, projections, unnests and unions lie on the path, so that rows are judged by the watermark
    /// just before each of them. Otherwise rows are judged by the watermark at the end of the epoch before.
    pub direct: bool,
}

impl WatermarkTerm {
    fn map(&self, source: EventTime) -> EventTime {
        self.functions.iter().fold(source, |t, f| f.apply(t))
    }
}

/// The watermark of one column at one place in a plan: the minimum over its terms. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkExpr {
    /// The paths; at least one.
    pub terms: Vec<WatermarkTerm>,
}

impl WatermarkExpr {
    /// The watermark column of a source itself.
    pub fn source(source: ObjectId) -> Self {
        Self { terms: vec![WatermarkTerm { source, functions: vec![], direct: true }] }
    }

    /// Behind a monotone function.
    #[must_use]
    pub fn then(mut self, function: &Monotone) -> Self {
        for term in &mut self.terms {
            term.functions.push(function.clone());
        }
        self
    }

    /// Behind a stateful operator: rows are no longer judged one by one.
    #[must_use]
    pub fn behind_state(mut self) -> Self {
        for term in &mut self.terms {
            term.direct = false;
        }
        self
    }

    /// The minimum of two (UNION ALL, joins).
    #[must_use]
    pub fn min(mut self, other: Self) -> Self {
        for term in other.terms {
            if !self.terms.contains(&term) {
                self.terms.push(term);
            }
        }
        self
    }

    /// The watermark at the end of an epoch.
    pub fn at(&self, vector: &WatermarkVector) -> EventTime {
        self.terms.iter().map(|t| t.map(vector.source(t.source))).min().unwrap_or(EventTime::MIN)
    }

    /// By what a window operator behind this expression judges the rows of a batch.
    ///
    /// A row of partition p is judged by p's watermark just before it wherever p enters directly, and by the watermark at
    /// the end of the epoch before for every other partition, source, or path behind state.
    pub fn judge(&self, arrival: &Arrival, watermarks: &Watermarks) -> Judge {
        match arrival {
            Arrival::OnTime => Judge::OnTime,
            Arrival::Settled => Judge::Constant(self.at(&watermarks.before)),
            Arrival::Late { partition, rows } => {
                let others = others(*partition, &watermarks.before);
                let own = |w: i64| -> i64 {
                    let source = |term: &WatermarkTerm| {
                        if term.direct && term.source == partition.source {
                            EventTime(w).min(others)
                        } else {
                            watermarks.before.source(term.source)
                        }
                    };
                    self.terms.iter().map(|t| t.map(source(t)).0).min().unwrap_or(i64::MIN)
                };
                Judge::Late(rows.iter().map(|(row, w)| (row, own(w))).collect())
            }
        }
    }
}

/// The minimum watermark of the other, not idle, partitions of a partition's source.
fn others(own: Partition, before: &WatermarkVector) -> EventTime {
    let others = before.0.iter().filter(|(p, w)| p.source == own.source && **p != own && !w.idle);
    others.map(|(_, w)| w.watermark).min().unwrap_or(EventTime::MAX)
}

/// By what the rows of a batch are judged; see [`WatermarkExpr::judge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judge {
    /// Every row is on time.
    OnTime,
    /// All rows by one watermark.
    Constant(EventTime),
    /// These rows by their own, microseconds, ascending by row; the others are on time.
    Late(Vec<(usize, i64)>),
}
