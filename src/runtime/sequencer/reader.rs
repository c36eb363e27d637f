//! The threads that read sources, as the sequencer starts them.

use std::sync::Arc;

use crate::connectors::Connector;
use crate::error::Result;

use super::super::RuntimeConfig;
use super::super::ingest::{From, Ingest, Queue};
use super::super::shared::Shared;
use super::sources::Feed;

/// Starts the thread that reads one partition.
pub(in crate::runtime) fn start_reader(
    config: &RuntimeConfig,
    shared: &Shared,
    feed: &Feed,
    partition: u32,
    from: From,
) -> Result<Arc<Queue>> {
    start_reader_of(config, shared, feed, Arc::clone(&feed.connector), partition, from)
}

/// The same, of what has a source's rows again.
pub(super) fn start_reader_of(
    config: &RuntimeConfig,
    shared: &Shared,
    feed: &Feed,
    connector: Arc<dyn Connector>,
    partition: u32,
    from: From,
) -> Result<Arc<Queue>> {
    Ingest {
        connector,
        partition,
        from,
        watermark: feed.watermark.clone(),
        ahead: feed.ahead,
        limits: config.limits.clone(),
        inbox: shared.inbox.clone(),
        name: feed.name.clone(),
    }
    .start()
}
