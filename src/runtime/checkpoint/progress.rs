//! How far the reading of a checkpoint is.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::checkpoint::Objects;
use crate::error::Result;
use crate::log::Progress;

/// Objects of which what is read is counted, and told.
pub(super) struct Watched {
    objects: Arc<dyn Objects>,
    progress: Mutex<Progress>,
}

impl Watched {
    pub(super) fn over(objects: &Arc<dyn Objects>, progress: Progress) -> Arc<dyn Objects> {
        Arc::new(Self { objects: Arc::clone(objects), progress: Mutex::new(progress) })
    }
}

impl Objects for Watched {
    fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        self.objects.put(name, bytes)
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        self.objects.get(name)
    }

    fn get_range(&self, name: &str, at: u64, bytes: u64) -> Result<Bytes> {
        let got = self.objects.get_range(name, at, bytes)?;
        if let Some(line) = self.progress.lock().add(bytes) {
            tracing::info!("{line}");
        }
        Ok(got)
    }

    fn size(&self, name: &str) -> Result<u64> {
        self.objects.size(name)
    }

    fn list(&self) -> Result<Vec<String>> {
        self.objects.list()
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.objects.remove(name)
    }

    fn path(&self, name: &str) -> String {
        self.objects.path(name)
    }
}
