//! Where checkpoints are kept: named objects, put as a whole.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

use crate::error::{Error, Result, SqlState};

use super::url::{self, Kind};

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
    /// What messages call it.
    place: String,
    kind: Where,
}

enum Where {
    /// The folder, whose files are to be synced.
    Folder(PathBuf),
    /// Where its requests run; there until it is dropped.
    Bucket(Option<Runtime>),
}

impl Bucket {
    /// A folder of the file system, created if it is not there.
    pub fn folder(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path)?;
        Self::at(path)
    }

    /// A folder that is there.
    pub fn at(path: &Path) -> Result<Self> {
        let store = LocalFileSystem::new_with_prefix(path).map_err(|error| failed("", &error))?;
        let place = path.display().to_string();
        Ok(Self { store: Arc::new(store), place, kind: Where::Folder(path.to_owned()) })
    }

    /// What a URL names: `s3://bucket/prefix`, as the environment's AWS_* variables say, or `file:///folder`. Nothing is
    /// asked of a bucket yet.
    ///
    /// Errors: `22023` it is no such URL, or what it needs is not in the environment.
    pub fn open(url: &str) -> Result<Self> {
        match url::open(url)? {
            Kind::Folder(path) => Self::folder(&path),
            Kind::Bucket(store) => {
                let mut threads = tokio::runtime::Builder::new_multi_thread();
                let runtime = threads.worker_threads(1).thread_name("bucket").enable_all().build()?;
                let place = url.trim_end_matches('/').to_owned();
                Ok(Self { store, place, kind: Where::Bucket(Some(runtime)) })
            }
        }
    }

    /// Asks, and waits for the answer: on the bucket's own threads, so that it does not matter who waits.
    fn ask<T: Send + 'static, F>(&self, ask: impl FnOnce(Arc<dyn ObjectStore>) -> F) -> Result<T>
    where
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let future = ask(Arc::clone(&self.store));
        match &self.kind {
            Where::Bucket(Some(runtime)) => {
                let (reply, answer) = crossbeam_channel::bounded(1);
                runtime.spawn(async move { reply.send(future.await) });
                let answer = answer.recv().map_err(|_| Error::internal("a request to a bucket panicked"))?;
                answer.map_err(|error| failed(&self.place, &error))
            }
            Where::Bucket(None) | Where::Folder(_) => {
                // Whoever waits may be a task that has had its turn: it must not wait for its next one.
                let future = tokio::task::unconstrained(future);
                futures::executor::block_on(future).map_err(|error| failed("", &error))
            }
        }
    }
}

impl Drop for Bucket {
    /// Waits for nothing.
    fn drop(&mut self) {
        if let Where::Bucket(runtime) = &mut self.kind
            && let Some(runtime) = runtime.take()
        {
            runtime.shutdown_background();
        }
    }
}

fn failed(place: &str, error: &object_store::Error) -> Error {
    let message = if place.is_empty() {
        format!("checkpoints: {error}")
    } else {
        format!("checkpoints in \"{place}\": {}", url::words(error))
    };
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)) {
            return Error::new(SqlState::DISK_FULL, message);
        }
        source = cause.source();
    }
    let error = Error::new(url::code(error), message);
    match error.code() {
        SqlState::INSUFFICIENT_PRIVILEGE if !place.is_empty() => {
            error.with_hint("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION say who asks, and where")
        }
        _ => error,
    }
}

impl Objects for Bucket {
    fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let path = name.into();
        self.ask(|store| async move { store.put(&path, bytes.into()).await })?;
        if let Where::Folder(folder) = &self.kind {
            // The file, and the folders that it is in.
            for path in folder.join(name).ancestors().take_while(|path| path.starts_with(folder)) {
                File::open(path)?.sync_all()?;
            }
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        let path = name.into();
        self.ask(|store| async move { store.get(&path).await?.bytes().await })
    }

    fn get_range(&self, name: &str, at: u64, bytes: u64) -> Result<Bytes> {
        let path = name.into();
        let got = self.ask(|store| async move { store.get_range(&path, at..at + bytes).await })?;
        if got.len() as u64 == bytes {
            return Ok(got);
        }
        let message = format!("\"{}\" is shorter than {} bytes", self.path(name), at + bytes);
        Err(Error::new(SqlState::DATA_CORRUPTED, message))
    }

    fn size(&self, name: &str) -> Result<u64> {
        let path = name.into();
        self.ask(|store| async move { Ok(store.head(&path).await?.size) })
    }

    fn list(&self) -> Result<Vec<String>> {
        self.ask(|store| async move { store.list(None).map_ok(|meta| meta.location.to_string()).try_collect().await })
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = name.into();
        self.ask(|store| async move {
            match store.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.place)
    }
}
