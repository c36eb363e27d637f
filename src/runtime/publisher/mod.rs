//! stub
use super::command::Report;
use super::message::Publish;
use super::shared::Shared;
use super::RuntimeConfig;
use crate::error::Result;
use std::sync::Arc;
pub(super) fn start(
    _shared: Arc<Shared>, _config: &RuntimeConfig, _m: crossbeam_channel::Receiver<Publish>, _r: crossbeam_channel::Receiver<Report>,
) -> Result<std::thread::JoinHandle<()>> {
    Ok(std::thread::spawn(|| {}))
}
