//! `connector = 'nexmark'`: the auction house of the Nexmark benchmark, generated: people, their auctions, bids.
//!
//! Delivery: replayable: event `n` is a pure function of the seed and `n`, on every machine.
//! Offsets: number of the event over the three streams (of 50, 1 is a person, 3 are auctions, 46 bids), so that equal
//! offsets of the streams lie at the same moment. Reads end at multiples of a power of two, the same for all three.
//! Options: `stream` ('bid', 'auction', 'person'); `events`: how many over all streams, for ever without; `rate`: events
//! a second, as fast as they are taken without; `seed`; `base_time`: event time of event 0; `late_share` and `late_by`:
//! which part of the events is late in event time, and by how much at most.
//!
//! Event time moves with the event's number: by 1/`rate` s each, 100 us without `rate`.

mod columns;
mod draw;
mod reader;

use std::sync::Arc;

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::{Schema, SchemaRef};

use super::options::{Options, bad_value, duration_micros, invalid, nearest};
use super::{Connector, ConnectorSpec, Reader};
use crate::data::types;
use crate::error::{Error, Result, SqlState};
use columns::{Column, Stream};

/// A million events a millisecond is more than any machine takes.
const RATE_MAX: u64 = 1_000_000_000;

/// 2026-01-01 00:00:00.
const BASE_TIME_DEFAULT_MICROS: i64 = 1_767_225_600_000_000;

/// How far late events lie back at most, when only their share was given.
const LATE_BY_DEFAULT_MICROS: i64 = 10_000_000;

/// What the three streams of one auction house have in common.
#[derive(Clone, Debug, PartialEq)]
struct House {
    seed: u64,
    /// Number of events, or for ever.
    events: Option<u64>,
    /// Events a second; `None` is as fast as they are taken.
    rate: Option<u64>,
    base_time_micros: i64,
    /// Part of the events that are late.
    late_share: f64,
    late_by_micros: i64,
}

/// One stream of an auction house.
#[derive(Debug)]
pub(super) struct Nexmark {
    house: Arc<House>,
    stream: Stream,
    schema: SchemaRef,
    columns: Vec<Column>,
}

impl Nexmark {
    /// Reads the options.
    pub(super) fn build(spec: &ConnectorSpec) -> Result<Self> {
        let known = ["stream", "events", "rate", "seed", "base_time", "late_share", "late_by"];
        let later = [
            ("max_ahead", "Its rows are never ahead of what base_time says."),
            ("idle_timeout", "The setting idle_timeout holds for all sources."),
        ];
        let options = Options::new("connector \"nexmark\"", &spec.options, &known, &later)?;
        if spec.encode.is_some() {
            let error = invalid("connector \"nexmark\" makes rows, not bytes");
            return Err(error.with_hint("Leave FORMAT .. ENCODE .. out."));
        }
        let name = options.required("stream", "'bid'")?;
        let Some(stream) = Stream::by_name(name) else {
            return Err(bad_value("stream", name, "'bid', 'auction' or 'person'"));
        };
        let house = Arc::new(House::build(&options)?);
        let (schema, columns) = chosen(stream, spec.declared.as_ref())?;
        Ok(Self { house, stream, schema, columns })
    }
}

impl House {
    fn build(options: &Options<'_>) -> Result<Self> {
        let late_share = options.read("late_share", "a number from 0 to 1", |text| {
            text.parse().ok().filter(|share| (0.0..=1.0).contains(share))
        })?;
        let late_by = options.read("late_by", "a duration, like '15 seconds'", duration_micros)?;
        let rate = options.read("rate", "a whole number of events a second, 1 or more", |text| {
            text.parse().ok().filter(|rate| (1..=RATE_MAX).contains(rate))
        })?;
        let base_time = options.read("base_time", "a timestamp, like '2026-01-01 00:00:00'", |text| {
            string_to_timestamp_nanos(text).ok().map(|nanos| nanos.div_euclid(1000))
        })?;
        Ok(Self {
            seed: options.parse("seed", "a whole number, 0 or more")?.unwrap_or(0),
            events: options.parse("events", "a whole number, 0 or more")?,
            rate,
            base_time_micros: base_time.unwrap_or(BASE_TIME_DEFAULT_MICROS),
            late_share: late_share.unwrap_or(if late_by.is_some() { 0.05 } else { 0.0 }),
            late_by_micros: late_by.unwrap_or(LATE_BY_DEFAULT_MICROS),
        })
    }
}

/// The declared columns, in their order, or all.
fn chosen(stream: Stream, declared: Option<&SchemaRef>) -> Result<(SchemaRef, Vec<Column>)> {
    let all = stream.columns();
    let Some(declared) = declared else {
        let fields: Vec<_> = all.iter().map(|column| column.field(false)).collect();
        return Ok((Arc::new(Schema::new(fields)), all.to_vec()));
    };
    let mut columns = Vec::new();
    for field in declared.fields() {
        let Some(column) = all.iter().find(|column| column.name() == field.name()) else {
            let names: Vec<&str> = all.iter().map(|column| column.name()).collect();
            let message = format!("stream \"{}\" has no column \"{}\"", stream.name(), field.name());
            let error = Error::new(SqlState::UNDEFINED_COLUMN, message);
            return Err(match nearest(field.name(), names.iter().copied()) {
                Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
                None => error.with_hint(format!("Its columns are: {}.", names.join(", "))),
            });
        };
        let made = column.field(false);
        if made.data_type() != field.data_type() {
            let (is, declared) = (types::sql_name(&made), types::sql_name(field));
            let message =
                format!("column \"{}\" of stream \"{}\" is {is}, not {declared}", field.name(), stream.name());
            let error = Error::new(SqlState::DATATYPE_MISMATCH, message);
            return Err(error.with_hint(format!("Declare it as {is}.")));
        }
        columns.push(*column);
    }
    Ok((Arc::clone(declared), columns))
}

impl Connector for Nexmark {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn replayable(&self) -> bool {
        true
    }

    fn bounded(&self) -> bool {
        self.house.events.is_some()
    }

    fn group(&self) -> Option<String> {
        Some(format!("nexmark {:?}", self.house))
    }

    fn open(&self, _partition: u32, offset: u64) -> Result<Box<dyn Reader>> {
        Ok(Box::new(reader::Events::new(self, offset, self.house.rate)))
    }

    fn is_paced(&self) -> bool {
        self.house.rate.is_some()
    }

    fn open_at_once(&self, _partition: u32, offset: u64) -> Result<Box<dyn Reader>> {
        Ok(Box::new(reader::Events::new(self, offset, None)))
    }

    fn fingerprint(&self) -> Result<String> {
        Ok(format!("{} {:?}", self.stream.name(), self.house))
    }
}

#[cfg(test)]
mod tests;
