//! Where checkpoints are kept: named objects, put as a whole.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::error::{Error, Result, SqlState};

/// Named objects. Their users wait for it: threads of their own.
pub trait Objects: Send + Sync {
    /// Puts an object, all at once: when this returns it survives a power loss.
    ///
    /// Errors: `53100` there is no room, `58030`.
    fn put(&self, name: &str, bytes: Bytes) -> Result<()>;

    /// All of an object.
    ///
    /// Errors: `58P01` there is none of that name, `58030`.
    fn get(&self, name: &str) -> Result<Bytes>;

    /// Some of an object.
    ///
    /// Errors: `58P01` there is none of that name, `XX001` it is shorter, `58030`.
    fn get_range(&self, name: &str, at: u64, bytes: u64) -> Result<Bytes>;

    /// How long an object is.
    ///
    /// Errors: `58P01` there is none of that name, `58030`.
    fn size(&self, name: &str) -> Result<u64>;

    /// The names of all, in no order.
    fn list(&self) -> Result<Vec<String>>;

    /// Removes an object; one that is not there is fine.
    fn remove(&self, name: &str) -> Result<()>;

    /// What messages call an object.
    fn path(&self, name: &str) -> String;
}

/// A folder, or a bucket, by way of `object_store`.
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// The folder, whose files are to be synced.
    folder: Option<PathBuf>,
}

impl Bucket {
    /// A folder of the file system, created if it is not there.
    pub fn folder(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path)?;
        Self::at(path)
    }

    /// A folder that is there.
    pub fn at(path: &Path) -> Result<Self> {
        let store = LocalFileSystem::new_with_prefix(path).map_err(|error| failed(&error))?;
        Ok(Self { store: Arc::new(store), folder: Some(path.to_owned()) })
    }
}

fn failed(error: &object_store::Error) -> Error {
    let message = format!("checkpoints: {error}");
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)) {
            return Error::new(SqlState::DISK_FULL, message);
        }
        source = cause.source();
    }
    let code = match error {
        object_store::Error::NotFound { .. } => SqlState::UNDEFINED_FILE,
        _ => SqlState::IO_ERROR,
    };
    Error::new(code, message)
}

impl Objects for Bucket {
    fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        block_on(self.store.put(&name.into(), bytes.into())).map_err(|error| failed(&error))?;
        if let Some(folder) = &self.folder {
            File::open(folder.join(name))?.sync_all()?;
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        let get = async { self.store.get(&name.into()).await?.bytes().await };
        block_on(get).map_err(|error| failed(&error))
    }

    fn get_range(&self, name: &str, at: u64, bytes: u64) -> Result<Bytes> {
        let got = block_on(self.store.get_range(&name.into(), at..at + bytes)).map_err(|error| failed(&error))?;
        if got.len() as u64 == bytes {
            return Ok(got);
        }
        let message = format!("\"{}\" is shorter than {} bytes", self.path(name), at + bytes);
        Err(Error::new(SqlState::DATA_CORRUPTED, message))
    }

    fn size(&self, name: &str) -> Result<u64> {
        Ok(block_on(self.store.head(&name.into())).map_err(|error| failed(&error))?.size)
    }

    fn list(&self) -> Result<Vec<String>> {
        let names = self.store.list(None).map(|meta| meta.map(|meta| meta.location.to_string()));
        block_on(names.try_collect()).map_err(|error| failed(&error))
    }

    fn remove(&self, name: &str) -> Result<()> {
        match block_on(self.store.delete(&name.into())) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }

    fn path(&self, name: &str) -> String {
        match &self.folder {
            Some(folder) => folder.join(name).display().to_string(),
            None => format!("{}/{name}", self.store),
        }
    }
}
