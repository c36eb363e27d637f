//! Where the checkpoints of a data directory are kept, and whose they are.
//!
//! ```text
//!  DIR/id             tells this directory from all others; every checkpoint has it
//!  DIR/checkpoint-url where its checkpoints are kept, when that is not DIR/checkpoints
//!  DIR/restored       it began with a checkpoint whose input log is lost: the checkpoint's number, the epoch that it is
//!                     now of, and where the log begins
//! ```
//!
//! * `--checkpoint-url` names the place; without it they stay where they were. Another place than before gets a copy
//!   first, is written down then, and only then is the old one cleared: a start that is cut short at any moment finds one
//!   of the two whole.
//! * A place with another directory's checkpoints is refused, and so is a new directory where there are any: what the lost
//!   log had behind them would be lost silently. `--restore` says that this is known.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::checkpoint::{Bucket, Objects, Owner, clear, copy, find, owner};
use crate::data::Epoch;
use crate::error::{Error, Result, SqlState};
use crate::log::{Disk, LogPlace};
use crate::runtime::{Checkpoint, Kept};
use crate::spill::Memory;

/// Checkpoints, unless they are elsewhere.
const FOLDER: &str = "checkpoints";
const ID: &str = "id";
const URL: &str = "checkpoint-url";
const RESTORED: &str = "restored";

/// What [`RESTORED`] says.
#[derive(Serialize, Deserialize)]
struct Restored {
    checkpoint: u64,
    epoch: Epoch,
    log: LogPlace,
}

/// A data directory's checkpoints.
pub(super) struct CheckpointPlace<'a> {
    /// The data directory.
    dir: &'a Path,
    /// `None`: in the data directory.
    url: Option<String>,
    objects: Arc<dyn Objects>,
}

impl<'a> CheckpointPlace<'a> {
    /// Where they are to be kept from now on; moves them there.
    ///
    /// Errors: `22023` that is no place, `42501` or `58030` it cannot be used, `55006` it is another directory's.
    pub(super) fn open(dir: &'a Path, url: Option<&str>) -> Result<Self> {
        let before = read(&dir.join(URL))?;
        let url = url.map(str::to_owned).or_else(|| before.clone());
        let objects = open(dir, url.as_deref())?;
        // Says now what is wrong with it.
        find(objects.as_ref())?;
        let place = Self { dir, url, objects };
        if place.url != before {
            place.take_over(before.as_deref())?;
        }
        Ok(place)
    }

    /// Of a directory that may be in use; `None`: it has none.
    pub(super) fn look(dir: &'a Path) -> Result<Option<Arc<dyn Objects>>> {
        match read(&dir.join(URL))? {
            Some(url) => open(dir, Some(&url)).map(Some),
            None if dir.join(FOLDER).exists() => Ok(Some(Arc::new(Bucket::at(&dir.join(FOLDER))?))),
            None => Ok(None),
        }
    }

    /// What checkpoints were elsewhere until now come here.
    fn take_over(&self, before: Option<&str>) -> Result<()> {
        let old = match before {
            None if !self.dir.join(FOLDER).exists() => None,
            before => Some(open(self.dir, before)?),
        };
        let newest = |objects: &Arc<dyn Objects>| Ok::<_, Error>(find(objects.as_ref())?.checkpoints.last().copied());
        if let Some(old) = old
            && let Some(last) = newest(&old)?
        {
            let here = newest(&self.objects)?;
            if let Some(here) = here {
                self.check_owner(&owner(self.objects.as_ref(), here)?)?;
            }
            // Or it is the same place by another name, or was copied already.
            if here.is_none_or(|here| here < last) {
                tracing::info!("copying checkpoints to \"{}\"", self.called());
                copy(old.as_ref(), self.objects.as_ref())?;
                self.note_url()?;
                return clear(old.as_ref());
            }
        }
        self.note_url()
    }

    fn note_url(&self) -> Result<()> {
        self.url.as_ref().map_or(Ok(()), |url| write(&self.dir.join(URL), url))
    }

    fn called(&self) -> String {
        self.objects.path("").trim_end_matches('/').to_owned()
    }

    /// The newest one, and who writes more; `is_new`: the directory holds nothing yet.
    ///
    /// Errors: `55006` they are another directory's, `55000` the directory is new and `restore` was not said, what
    /// [`Checkpoint::to_begin_with`] says.
    pub(super) fn begin(self, is_new: bool, restore: bool, log: &Arc<dyn Disk>, memory: &Arc<Memory>) -> Result<Kept> {
        let mut newest = Checkpoint::to_begin_with(&self.objects, log, memory)?;
        if let Some(checkpoint) = &newest {
            match is_new && read(&self.dir.join(RESTORED))?.is_none() {
                true if restore => self.restore(checkpoint)?,
                true => return Err(self.is_new()),
                false => self.check_owner(checkpoint.owner())?,
            }
        }
        if let Some(restored) = restored(self.dir)? {
            let is_it = |checkpoint: &Checkpoint| checkpoint.number() == restored.checkpoint;
            newest = match newest {
                Some(checkpoint) if is_it(&checkpoint) => Some(checkpoint.without_log(restored.epoch, restored.log)),
                newest => newest,
            };
        }
        let owner = Owner { directory: self.id()?, server: uuid::Uuid::new_v4().to_string() };
        Ok(Kept { objects: self.objects, owner, newest })
    }

    /// Where the input log of a directory begins for a checkpoint: one that it was restored from has none of its own.
    pub(super) fn log_of(dir: &Path, checked: &mut [super::data_dir::Checked]) -> Result<()> {
        if let Some(restored) = restored(dir)? {
            let before = checked.iter_mut().filter(|(number, ..)| *number <= restored.checkpoint);
            before.for_each(|(_, _, log)| *log = restored.log);
        }
        Ok(())
    }

    fn id(&self) -> Result<String> {
        if let Some(id) = read(&self.dir.join(ID))? {
            return Ok(id);
        }
        let id = uuid::Uuid::new_v4().to_string();
        write(&self.dir.join(ID), &id)?;
        Ok(id)
    }

    fn check_owner(&self, owner: &Owner) -> Result<()> {
        // Older ones do not say whose they are.
        if owner.directory.is_empty() || owner.directory == self.id()? {
            return Ok(());
        }
        let message = format!("\"{}\" has the checkpoints of another data directory", self.called());
        Err(Error::new(SqlState::OBJECT_IN_USE, message).with_hint("name another place with --checkpoint-url"))
    }

    fn is_new(&self) -> Error {
        let message = format!("\"{}\" has checkpoints, but \"{}\" is new", self.called(), self.dir.display());
        Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).with_hint(
            "add --restore to begin with the newest one, without what was written after it; or name the data directory \
             whose they are, or another place for checkpoints",
        )
    }

    /// The directory is new, and goes on with a checkpoint of one that is gone.
    fn restore(&self, checkpoint: &Checkpoint) -> Result<()> {
        let (epoch, log) = (checkpoint.beyond(), checkpoint.log().beyond());
        tracing::warn!(
            "the input log is lost: beginning with what \"{}\" has of epoch {}; epochs after it are numbered from {} on",
            self.called(),
            checkpoint.epoch(),
            epoch.next()
        );
        write(&self.dir.join(ID), &checkpoint.owner().directory)?;
        let restored = Restored { checkpoint: checkpoint.number(), epoch, log };
        let text = serde_json::to_string(&restored).map_err(|error| Error::internal(error.to_string()))?;
        write(&self.dir.join(RESTORED), &text)
    }
}

/// What a directory says of the checkpoint that it was restored from.
fn restored(dir: &Path) -> Result<Option<Restored>> {
    let path = dir.join(RESTORED);
    let text = read(&path)?;
    text.map(|text| serde_json::from_str(&text).map_err(|error| damaged(&path, &error))).transpose()
}

fn open(dir: &Path, url: Option<&str>) -> Result<Arc<dyn Objects>> {
    Ok(match url {
        Some(url) => Arc::new(Bucket::open(url)?),
        None => Arc::new(Bucket::folder(&dir.join(FOLDER))?),
    })
}

/// A file's one line; `None`: it is not there.
fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(damaged(path, &error)),
        Err(error) => Err(error.into()),
    }
}

/// Writes a file's one line: all of it or nothing, and for good.
fn write(path: &Path, line: &str) -> Result<()> {
    let beside: PathBuf = path.with_extension("new");
    let mut file = File::create(&beside)?;
    writeln!(file, "{line}")?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())?;
    Ok(())
}

fn damaged(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::new(SqlState::DATA_CORRUPTED, format!("\"{}\" is damaged: {error}", path.display()))
        .with_hint("put the data directory back from a copy")
}
