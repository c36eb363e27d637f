//! The data directory: one process at a time, and what is in it is read back at the start.
//!
//! ```text
//!  DIR/lock          held by the process that serves it; says its pid
//!  DIR/log/          the input log: crate::log
//!  DIR/checkpoints/  the two newest checkpoints: crate::checkpoint; or they are elsewhere: checkpoint_place
//!  DIR/archive/      rows of sources, a folder for each: crate::archive
//!  DIR/aborts        views that ended the process, until a start gets past them: runtime::Aborts
//!  DIR/format        written when the log has begun: from then on a log that is gone is damage
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::Engine;
use super::checkpoint_place::CheckpointPlace;
use super::ddl::Ddl;
use crate::data::{Epoch, ObjectId};
use crate::error::{Error, Result, SqlState};
use crate::log::{Disk, Folder, LogFiles, LogPlace, size};
use crate::runtime::{Aborts, CatalogEntry, Checkpoint, Kept};
use crate::spill::Memory;

/// The folder of the input log.
const LOG: &str = "log";
const ARCHIVE: &str = "archive";
const LOCK: &str = "lock";
const ABORTS: &str = "aborts";
const FORMAT: &str = "format";
/// What it says.
const FORMAT_TEXT: &str = "highwater data directory, format 1\n";

/// A checkpoint that was read through: number, epoch, where the log goes on.
pub type Checked = (u64, Epoch, LogPlace);

/// A data directory that no other process serves, until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Closing it gives the lock back.
    _lock: File,
    /// Its log was read back.
    recovered: bool,
}

impl DataDir {
    /// Takes the directory; creates it when it is not there.
    ///
    /// Errors: `55006` another process has it, `58030` the file system, `42809` it holds something else.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| {
            let message = format!("data directory \"{}\" cannot be used: {error}", path.display());
            Error::new(SqlState::IO_ERROR, message).with_hint("name another one with --data-dir, or use --in-memory")
        };
        fs::create_dir_all(path).map_err(failed)?;
        let is_new = fs::read_dir(path).map_err(failed)?.next().is_none();
        if !is_new && ![LOCK, LOG, FORMAT].iter().any(|name| path.join(name).exists()) {
            let message = format!("\"{}\" is not empty, and no data directory of Highwater", path.display());
            return Err(
                Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint("name a new directory with --data-dir")
            );
        }
        let options = || File::options().read(true).write(true).create(true).truncate(false).open(path.join(LOCK));
        let mut lock = options().map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = lock.read_to_string(&mut pid);
                let message = format!("data directory \"{}\" is in use", path.display());
                return Err(Error::new(SqlState::OBJECT_IN_USE, message)
                    .with_hint(format!("the process with pid {} serves it", pid.trim())));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        lock.set_len(0).and_then(|()| lock.rewind()).map_err(failed)?;
        writeln!(lock, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { path: path.to_owned(), _lock: lock, recovered: false })
    }

    /// Its newest checkpoint, and its input log from there on, as the last process left them; checkpoints are at the URL,
    /// or where they were. `restore`: a new directory may begin with those of one that is gone. Rows for which there is no
    /// memory go to disk at once.
    pub fn state(&self, checkpoint_url: Option<&str>, restore: bool, memory: &Arc<Memory>) -> Result<(LogFiles, Kept)> {
        check_format(&self.path)?;
        let is_new = !self.path.join(FORMAT).exists() && !self.path.join(LOG).exists();
        let place = CheckpointPlace::open(&self.path, checkpoint_url)?;
        let log = self.path.join(LOG);
        // A directory that is refused stays new.
        let there: Arc<dyn Disk> = Arc::new(Folder::at(&log));
        let kept = place.begin(is_new, restore, &there, memory)?;
        let from = kept.newest.as_ref().map_or(LogPlace::START, Checkpoint::log);
        let files = LogFiles::find(Arc::new(Folder::create(&log)?), from)?;
        check_begun(&self.path, &files)?;
        Ok((files, kept))
    }

    /// The folder of a source's archive.
    pub(super) fn archive(path: &Path, source: ObjectId) -> PathBuf {
        path.join(ARCHIVE).join(source.to_string())
    }

    /// Removes the archives of sources that are gone.
    fn tidy_archives(&self, is_there: impl Fn(ObjectId) -> bool) -> Result<()> {
        let folder = self.path.join(ARCHIVE);
        if !folder.exists() {
            return Ok(());
        }
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok()).map(ObjectId);
            if id.is_some_and(|id| !is_there(id)) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// What ended the processes before.
    fn aborts(&self) -> Aborts {
        Aborts::open(&self.path.join(ABORTS))
    }

    /// A clean stop: what ended processes before is forgotten.
    pub(super) fn stopped(&self) {
        if self.recovered {
            Aborts::clear(&self.path.join(ABORTS));
        }
    }

    /// Notes that the log has begun.
    fn begin(&self) -> Result<()> {
        let format = self.path.join(FORMAT);
        if fs::read(&format).ok().as_deref() != Some(FORMAT_TEXT.as_bytes()) {
            let mut file = File::create(format)?;
            file.write_all(FORMAT_TEXT.as_bytes())?;
            file.sync_all()?;
            File::open(&self.path)?.sync_all()?;
        }
        Ok(())
    }

    /// The checkpoints of a directory that may be in use, all of which is read (number, epoch, where the log goes on), and
    /// the log from the oldest of them on; nothing is changed.
    ///
    /// Errors: `58P01` there is none, `XX001` a checkpoint is damaged.
    pub fn inspect(path: &Path) -> Result<(LogFiles, Vec<Checked>)> {
        let log = path.join(LOG);
        match fs::metadata(&log) {
            Ok(_) => {
                let objects = CheckpointPlace::look(path)?;
                let mut checked = objects.map_or_else(|| Ok(vec![]), |objects| Checkpoint::check(&objects))?;
                CheckpointPlace::log_of(path, &mut checked)?;
                let from = checked.iter().map(|(_, _, log)| *log).min().unwrap_or(LogPlace::START);
                let files = LogFiles::find(Arc::new(Folder::at(&log)), from)?;
                check_begun(path, &files)?;
                Ok((files, checked))
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                let message = format!("\"{}\" is no data directory of Highwater", path.display());
                Err(Error::new(SqlState::UNDEFINED_FILE, message)
                    .with_hint("name the directory that serve was given with --data-dir"))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Leaves out what made objects that are gone.
pub(super) fn compact(catalog: &mut Vec<CatalogEntry>) -> Result<()> {
    let mut changes = vec![];
    let mut gone: BTreeSet<ObjectId> = BTreeSet::new();
    for entry in catalog.iter() {
        gone.extend(&entry.dropped);
        let change = if entry.payload.is_empty() { None } else { Some(Ddl::read(&entry.payload)?) };
        if let Some(Ddl::Drop(dropped)) = &change {
            gone.extend(dropped);
        }
        changes.push(change);
    }
    let mut changes = changes.into_iter();
    let mut failed = None;
    let mut replace = |entry: &mut CatalogEntry, change: &Ddl| match change.bytes() {
        Ok(payload) => entry.payload = payload.into(),
        Err(error) => failed = Some(error),
    };
    catalog.retain_mut(|entry| match changes.next().flatten() {
        Some(Ddl::Alter(mut altered)) => {
            let is_there = altered.forget(&gone);
            replace(entry, &Ddl::Alter(altered));
            is_there
        }
        Some(Ddl::Names(mut names, mut readers)) => {
            names.retain(|(id, _)| !gone.contains(id));
            readers.retain(|reader| !gone.contains(&reader.id));
            let is_there = !names.is_empty();
            replace(entry, &Ddl::Names(names, readers));
            is_there
        }
        Some(Ddl::Replaced(object, mut readers)) => {
            let is_there = !gone.contains(&object.id);
            readers.retain(|reader| !gone.contains(&reader.id));
            replace(entry, &Ddl::Replaced(object, readers));
            is_there
        }
        Some(Ddl::Create(object) | Ddl::Replace(object) | Ddl::Replacement(object)) => !gone.contains(&object.id),
        Some(Ddl::Rename(object, _)) => !gone.contains(&object),
        // No start needs a subscription's own view.
        Some(Ddl::Subscription(_) | Ddl::Drop(_)) | None => false,
    });
    failed.map_or(Ok(()), Err)
}

/// A later version may keep its directory in another way. A file that is cut off was being written when the power failed.
fn check_format(path: &Path) -> Result<()> {
    let found = match fs::read(path.join(FORMAT)) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if FORMAT_TEXT.as_bytes().starts_with(&found) {
        return Ok(());
    }
    let message = format!("\"{}\" does not say \"{}\"", path.join(FORMAT).display(), FORMAT_TEXT.trim_end());
    Err(Error::new(SqlState::DATA_CORRUPTED, message)
        .with_hint("start the version of Highwater that wrote the directory, or put the file back from a copy"))
}

/// A log that has begun must be there.
fn check_begun(path: &Path, files: &LogFiles) -> Result<()> {
    if !files.is_empty() || !path.join(FORMAT).exists() {
        return Ok(());
    }
    let message = format!("the input log of data directory \"{}\" is gone", path.display());
    Err(Error::new(SqlState::DATA_CORRUPTED, message)
        .with_hint("put the data directory back from a copy, or name a new one with --data-dir"))
}

impl Engine {
    /// Makes again what the log says, and goes on with it.
    pub(super) fn recover(self: &Arc<Self>, log: LogFiles, kept: Kept) -> Result<()> {
        let began = Instant::now();
        let behind = if kept.newest.is_some() { " behind it" } else { "" };
        let (bytes, cut) = (log.bytes(), log.cut);
        if cut > 0 {
            tracing::info!("cut off {cut} bytes of the input log that were being written when the last process ended");
        }
        if bytes > 0 {
            tracing::info!("reading back {} of the input log{behind}", size(bytes));
        }
        let is_new = bytes == 0 && kept.newest.is_none();
        let session = self.inspection()?;
        // Only a subscription that is connected needs its view.
        let orphans: Arc<parking_lot::Mutex<Vec<ObjectId>>> = Arc::default();
        let (engine, found) = (self.clone(), orphans.clone());
        let aborts = self.data_dir.lock().as_ref().map(DataDir::aborts).unwrap_or_default();
        self.runtime.recover(log, Some(kept), aborts.poisoned(), move |change| {
            let mut orphans = found.lock();
            orphans.retain(|id| !change.dropped.contains(id));
            if !change.payload.is_empty() {
                match Ddl::read(&change.payload)? {
                    Ddl::Create(object) => engine.catalog.reserve(object.id),
                    // Or one that has not taken another's place.
                    Ddl::Subscription(object) | Ddl::Replacement(object) => {
                        engine.catalog.reserve(object.id);
                        orphans.push(object.id);
                    }
                    Ddl::Replaced(object, _) => orphans.retain(|id| *id != object.id),
                    Ddl::Drop(_) | Ddl::Rename(..) | Ddl::Names(..) | Ddl::Alter(_) | Ddl::Replace(_) => {}
                }
            }
            engine.rebuild(&engine.catalog, &session, change)
        })?;
        aborts.survived(self.runtime.published());
        if let Some(data_dir) = self.data_dir.lock().as_mut() {
            data_dir.begin()?;
            data_dir.recovered = true;
            let catalog = self.catalog.snapshot();
            data_dir.tidy_archives(|id| catalog.get(id).is_some())?;
        }
        let orphans = std::mem::take(&mut *orphans.lock());
        if !orphans.is_empty() {
            let ddl = Ddl::Drop(orphans.clone()).bytes()?;
            futures::executor::block_on(self.runtime.drop_objects(orphans, ddl))?;
        }
        if !is_new {
            let epoch = self.runtime.published();
            tracing::info!("recovered to epoch {epoch} in {:.1} s", began.elapsed().as_secs_f64());
        }
        Ok(())
    }
}
