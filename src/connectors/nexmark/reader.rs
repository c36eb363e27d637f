//! Hands events out, at the pace of the auction house.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use super::columns::{Column, Maker, Stream};
use super::{House, Nexmark};
use crate::connectors::{Connector, Read, Reader};
use crate::error::Result;

/// Events of one read, when they are there already. A power of two.
const READ_EVENTS: u64 = 8192;

/// With a rate, a read takes about so many events: those of 10 ms.
const READS_PER_SECOND: u64 = 100;

/// One stream, being read.
pub(super) struct Events {
    house: Arc<House>,
    stream: Stream,
    schema: SchemaRef,
    columns: Vec<Column>,
    maker: Maker,
    pace: Option<Arc<Pace>>,
    /// The event that comes next.
    offset: u64,
}

impl Events {
    /// With a rate, its events come at a pace.
    pub(super) fn new(nexmark: &Nexmark, offset: u64, rate: Option<u64>) -> Self {
        let house = Arc::clone(&nexmark.house);
        let maker = Maker::new(Arc::clone(&house), &nexmark.columns);
        let pace = rate.map(|rate| Pace::shared(nexmark.group().unwrap_or_default(), rate, offset));
        let (schema, columns) = (nexmark.schema(), nexmark.columns.clone());
        Self { house, stream: nexmark.stream, schema, columns, maker, pace, offset }
    }

    /// Where the next read ends: at a multiple of a power of two, so that readers of the other streams pass there too.
    fn next_cut(&self, due: u64) -> u64 {
        let last = self.house.events.unwrap_or(u64::MAX);
        let after = |step: u64| (self.offset / step + 1).saturating_mul(step).min(last);
        match self.house.rate {
            // A reader that is far behind takes large steps, between the same multiples.
            Some(rate) if !self.offset.is_multiple_of(READ_EVENTS) || after(READ_EVENTS) > due => {
                after(small_step(rate))
            }
            _ => after(READ_EVENTS),
        }
    }

    fn rows(&self, to: u64) -> Result<RecordBatch> {
        let events = self.stream.events(self.offset, to);
        let columns = self.columns.iter().map(|column| self.maker.column(*column, &events)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(events.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// The largest power of two that is not more than the events of 10 ms.
fn small_step(rate: u64) -> u64 {
    let step = (rate / READS_PER_SECOND).clamp(1, READ_EVENTS);
    1 << step.ilog2()
}

impl Reader for Events {
    fn read(&mut self, wait: Duration) -> Result<Read> {
        if self.house.events.is_some_and(|last| self.offset >= last) {
            return Ok(Read::End);
        }
        let mut due = self.pace.as_ref().map_or(u64::MAX, |pace| pace.due());
        if let Some(pace) = &self.pace {
            let cut = self.next_cut(due);
            if cut > due {
                std::thread::sleep(pace.until(cut).min(wait));
                due = pace.due();
            }
        }
        let cut = self.next_cut(due);
        if cut > due {
            return Ok(Read::Waiting);
        }
        let rows = self.rows(cut)?;
        self.offset = cut;
        Ok(Read::Rows { rows, bad: Vec::new(), next_offset: cut })
    }
}

/// Which event is due when. All readers of one auction house share it: one that starts later, or reads again from the
/// start, finds what is overdue at once and catches up.
#[derive(Debug)]
struct Pace {
    rate: u64,
    start: Instant,
    /// The event due at `start`.
    first: u64,
}

/// The paces in use, by auction house.
static PACES: Mutex<Option<HashMap<String, Weak<Pace>>>> = Mutex::new(None);

impl Pace {
    fn shared(house: String, rate: u64, offset: u64) -> Arc<Self> {
        let mut paces = PACES.lock();
        let paces = paces.get_or_insert_default();
        paces.retain(|_, pace| pace.strong_count() > 0);
        if let Some(pace) = paces.get(&house).and_then(Weak::upgrade) {
            return pace;
        }
        let pace = Arc::new(Self { rate, start: Instant::now(), first: offset });
        paces.insert(house, Arc::downgrade(&pace));
        pace
    }

    /// Events before this one are due.
    fn due(&self) -> u64 {
        let passed = self.start.elapsed().as_micros() * u128::from(self.rate) / 1_000_000;
        self.first.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// How long until all events before `event` are due.
    fn until(&self, event: u64) -> Duration {
        let micros = u128::from(event.saturating_sub(self.first)) * 1_000_000 / u128::from(self.rate) + 1;
        let at = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        at.saturating_sub(self.start.elapsed())
    }
}
