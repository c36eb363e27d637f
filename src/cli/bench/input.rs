//! The rows that are measured: bids and auctions of Nexmark, generated once into memory.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::BatchCoalescer;

use crate::cli::demo;
use crate::config::{BATCH_ROWS, EPOCH_ROWS, EngineConfig};
use crate::connectors::Read;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::runtime::{SourceSpec, ViewSpec};

/// Events of a Nexmark stream, and bids among them.
const ROUND: u64 = 50;
const BIDS: u64 = 46;

/// A source whose rows are in memory.
#[derive(Clone)]
pub(super) struct Input {
    pub(super) spec: SourceSpec,
    /// In arrival order, full batches.
    pub(super) batches: Vec<RecordBatch>,
}

impl Input {
    /// The batches of epoch `at` of `of`.
    pub(super) fn epoch(&self, at: usize, of: usize) -> Vec<RecordBatch> {
        self.batches[self.batches.len() * at / of..self.batches.len() * (at + 1) / of].to_vec()
    }

    pub(super) fn rows(&self) -> u64 {
        self.batches.iter().map(|batch| batch.num_rows() as u64).sum()
    }
}

/// Epochs of full size that these rows fill.
pub(super) fn epochs(rows: u64) -> usize {
    (rows as usize).div_ceil(EPOCH_ROWS).max(1)
}

/// The four sources: bids in order, with one in a hundred and one in ten late, and auctions.
pub(super) fn sources(bids: u64) -> String {
    let events = bids.div_ceil(BIDS) * ROUND;
    let bid = |name: &str, late: &str| {
        format!(
            "CREATE SOURCE {name} (auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, date_time TIMESTAMP,
               WATERMARK FOR date_time AS date_time - INTERVAL '4' SECOND)
             WITH (connector = 'nexmark', stream = 'bid', events = '{events}'{late});"
        )
    };
    [
        bid("bid", ""),
        bid("bid_late1", ", late_share = '0.01', late_by = '30 seconds'"),
        bid("bid_late10", ", late_share = '0.1', late_by = '30 seconds'"),
        format!(
            "CREATE SOURCE auction (id BIGINT, seller BIGINT, category BIGINT, date_time TIMESTAMP,
               WATERMARK FOR date_time AS date_time - INTERVAL '4' SECOND)
             WITH (connector = 'nexmark', stream = 'auction', events = '{events}');"
        ),
    ]
    .concat()
}

/// Plans views over sources, in an engine that runs nothing.
pub(super) async fn plan(script: String, sources: Vec<&'static str>, views: Vec<String>) -> Result<Planned> {
    let engine = Engine::start(EngineConfig { workers: 1, ..EngineConfig::default() })?;
    demo::run(&engine, &script).await?;
    let sources = sources.into_iter().map(|name| engine.inspect_source(name)).collect::<Result<_>>()?;
    let views = views.iter().map(|view| engine.inspect_plan(view)).collect::<Result<_>>()?;
    tokio::task::spawn_blocking(move || engine.shutdown()).await.map_err(|e| Error::internal(e.to_string()))?;
    Ok(Planned { sources, views })
}

/// What the engine would run.
pub(super) struct Planned {
    pub(super) sources: Vec<SourceSpec>,
    pub(super) views: Vec<ViewSpec>,
}

/// Reads a source to its end.
pub(super) fn read(spec: &SourceSpec) -> Result<Input> {
    let mut reader = spec.connector.open(0, 0)?;
    let mut coalescer = BatchCoalescer::new(spec.schema.clone(), BATCH_ROWS);
    let mut batches = Vec::new();
    loop {
        match reader.read(Duration::from_secs(1))? {
            Read::Rows { rows, .. } => coalescer.push_batch(rows)?,
            Read::Waiting => {}
            Read::End => break,
        }
        batches.extend(std::iter::from_fn(|| coalescer.next_completed_batch()));
    }
    coalescer.finish_buffered_batch()?;
    batches.extend(std::iter::from_fn(|| coalescer.next_completed_batch()));
    Ok(Input { spec: spec.clone(), batches })
}
