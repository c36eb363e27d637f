//! `max_ahead`: rows whose event time lies too far ahead of the clock enter `highwater.errors` instead of the stream, so
//! that one row of the year 9999 does not close every window.
//!
//! The clock is read where a row is read for the first time, by the source's reader. Whoever reads the row again (a later
//! view, a replay) is told which rows were turned away then: [`RowRanges`], kept with the partition and in the log.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, not};

use crate::connectors::Connector;
use crate::data::RowRanges;
use crate::data::text::interval::duration_text;
use crate::error::{Error, Result, SqlState};
use crate::operators::{RowError, row_json};

use super::arrival::micros;

/// How many ranges a partition may have: what is turned away here and there a hundred thousand times is no accident.
const MOST_RANGES: usize = 100_000;

/// How far event time may be ahead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxAhead {
    /// Position of the event time column.
    column: usize,
    /// Microseconds.
    micros: i64,
}

impl MaxAhead {
    /// The connector's option, for a source or table with an event time column.
    pub(crate) fn of(connector: &dyn Connector, column: Option<usize>) -> Option<Self> {
        Some(Self { column: column?, micros: connector.max_ahead()? })
    }

    /// The rows of a batch that are too far ahead now.
    pub(crate) fn find(&self, rows: &RecordBatch) -> Result<RowRanges> {
        let times = micros(rows.column(self.column))?;
        let limit = chrono::Utc::now().timestamp_micros().saturating_add(self.micros);
        let mut found = RowRanges::default();
        if times.values().iter().any(|time| *time > limit) {
            for i in (0..times.len()).filter(|&i| times.is_valid(i) && times.value(i) > limit) {
                found.push(i as u64..i as u64 + 1);
            }
        }
        Ok(found)
    }

    /// A batch without the rows that are too far ahead now.
    pub(crate) fn keep(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let ahead = self.find(rows)?;
        Ok(if ahead.is_empty() {
            rows.clone()
        } else {
            filter_record_batch(rows, &not(&ahead.mask(rows.num_rows()))?)?
        })
    }

    /// Takes rows out of a batch: what is left, and what is said of them.
    pub(super) fn turn_away(self, rows: &RecordBatch, ahead: &BooleanArray) -> Result<(RecordBatch, Vec<RowError>)> {
        Ok((filter_record_batch(rows, &not(ahead)?)?, self.errors(&filter_record_batch(rows, ahead)?)))
    }

    /// What is wrong with a row that is turned away.
    pub(crate) fn message(self) -> String {
        format!("event time is more than {} ahead of the clock", duration_text(self.micros))
    }

    /// What is said of each row that is turned away, in order.
    fn errors(self, rows: &RecordBatch) -> Vec<RowError> {
        let message: Arc<str> = self.message().into();
        let one = |i| RowError {
            operator: "source".into(),
            code: SqlState::DATETIME_FIELD_OVERFLOW,
            message: Arc::clone(&message),
            row: row_json(rows, i),
            diff: 1,
        };
        (0..rows.num_rows()).map(one).collect()
    }
}

/// Errors: `54000` when rows are turned away at too many places to be remembered.
pub(super) fn check_ranges(turned_away: &RowRanges) -> Result<()> {
    if turned_away.len() <= MOST_RANGES {
        return Ok(());
    }
    let message = "rows too far ahead of the clock are spread over too many places of the source";
    Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
        .with_hint("Create the source anew with a larger max_ahead, or mend what writes it."))
}
