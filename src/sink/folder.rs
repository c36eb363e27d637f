//! The folder of a file sink: parts that appear whole, once, whatever happens between two steps.
//!
//! A part is written under a hidden name and synced. Then the manifest is replaced by one that names the part and its last
//! epoch: from then on it is written, come what may. Then it gets its name. A process that opens the folder does for the
//! part that the manifest names what was left to do, and removes all others that are not done.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::part::{self, Part};
use crate::data::Epoch;
use crate::error::{Error, Result, SqlState};

/// What the manifest's `version` is.
const VERSION: u32 = 1;

/// Where a sink writes, and as whom.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// What its files' names begin with.
    pub(super) prefix: String,
    /// Of the files' names.
    pub(super) ending: &'static str,
    /// Tells it from all other sinks that were ever called so.
    pub(super) token: String,
}

/// What is known of a folder's parts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u32,
    token: String,
    /// Everything up to this epoch is in parts that are written.
    pub(super) written: Option<u64>,
    /// The newest part.
    part: Option<String>,
    pub(super) parts: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl Manifest {
    fn new(token: &str) -> Self {
        Self { version: VERSION, token: token.to_owned(), written: None, part: None, parts: 0, rows: 0, bytes: 0 }
    }

    /// A line with the crc32 of what follows it, and that: JSON.
    fn bytes(&self) -> io::Result<Vec<u8>> {
        let json = serde_json::to_vec(self)?;
        let mut bytes = format!("{:08x}\n", crc32fast::hash(&json)).into_bytes();
        bytes.extend(json);
        Ok(bytes)
    }

    /// `None` where it is not what was written.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (crc, json) = bytes.split_at_checked(9)?;
        let is_whole = crc == format!("{:08x}\n", crc32fast::hash(json)).as_bytes();
        is_whole.then(|| serde_json::from_slice(json).ok()).flatten()
    }
}

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    place: Place,
    pub(super) manifest: Manifest,
}

impl Place {
    /// CREATE: makes the folder, and takes the name in it.
    ///
    /// Errors: `55006` it has parts of that name already; `42809` it is a file; `58030`, `53100`, `42501` the disk.
    pub(super) fn claim(&self) -> Result<()> {
        if self.path.exists() && !self.path.is_dir() {
            let message = format!("\"{}\" is not a directory", self.path.display());
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message)
                .with_hint("Name the folder that the files are to be written into."));
        }
        let made = || -> io::Result<()> {
            fs::create_dir_all(&self.path)?;
            self.path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
        };
        made().map_err(|e| self.refused(&self.path, &e))?;
        let names = self.names()?;
        if let Some(name) = names.iter().find(|name| Part::parse(name, &self.prefix).is_some()) {
            let message = format!("\"{}\" has files of a sink \"{}\" already", self.path.display(), self.prefix);
            return Err(Error::new(SqlState::OBJECT_IN_USE, message)
                .with_detail(format!("One of them is \"{name}\"."))
                .with_hint("Take them away, or give the sink another name or folder."));
        }
        self.remove_undone(&names, None)?;
        self.write(&Manifest::new(&self.token))
    }

    /// Opens the folder, and does what another process left to do.
    ///
    /// Errors: `55000` it is not this sink's any more; `58030`, `53100`, `42501` the disk.
    pub(super) fn open(&self) -> Result<Folder> {
        let manifest = self.read()?;
        let folder = Folder { place: self.clone(), manifest };
        folder.finish()?;
        self.remove_undone(&self.names()?, folder.manifest.part.as_deref())?;
        Ok(folder)
    }

    fn read(&self) -> Result<Manifest> {
        let path = self.manifest();
        let strange = |why: String| {
            Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, why)
                .with_hint("It cannot go on without a gap: DROP the sink, and create it anew in another folder."))
        };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound && self.path.is_dir() => {
                return strange(format!("\"{}\" is gone, which says what was written", path.display()));
            }
            Err(e) => return Err(self.refused(&path, &e)),
        };
        match Manifest::parse(&bytes) {
            Some(manifest) if manifest.version == VERSION && manifest.token == self.token => Ok(manifest),
            Some(manifest) if manifest.version == VERSION => {
                strange(format!("\"{}\" belongs to another sink now", path.display()))
            }
            _ => strange(format!("\"{}\" cannot be read: it was changed", path.display())),
        }
    }

    fn write(&self, manifest: &Manifest) -> Result<()> {
        let (path, temporary) = (self.manifest(), self.path.join(format!("{}.tmp", part::manifest(&self.prefix))));
        let written = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(&manifest.bytes()?)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            self.sync()
        };
        written().map_err(|e| self.refused(&path, &e))
    }

    fn manifest(&self) -> PathBuf {
        self.path.join(part::manifest(&self.prefix))
    }

    fn names(&self) -> Result<Vec<String>> {
        let names = || -> io::Result<Vec<String>> {
            fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        };
        names().map_err(|e| self.refused(&self.path, &e))
    }

    fn remove_undone(&self, names: &[String], but: Option<&str>) -> Result<()> {
        let but = but.map(part::undone);
        for name in names.iter().filter(|name| part::is_undone(name, &self.prefix) && Some(*name) != but.as_ref()) {
            let path = self.path.join(name);
            fs::remove_file(&path).map_err(|e| self.refused(&path, &e))?;
        }
        Ok(())
    }

    /// Makes the names in the folder survive a power loss.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    pub(super) fn refused(&self, path: &Path, error: &io::Error) -> Error {
        let (code, why) = match error.kind() {
            ErrorKind::NotFound => (SqlState::UNDEFINED_FILE, "No such file or directory".to_owned()),
            ErrorKind::PermissionDenied => (SqlState::INSUFFICIENT_PRIVILEGE, "Permission denied".to_owned()),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (SqlState::DISK_FULL, error.to_string()),
            _ => (SqlState::IO_ERROR, error.to_string()),
        };
        Error::new(code, format!("could not write \"{}\": {why}", path.display()))
    }
}

impl Folder {
    /// Everything up to here is in parts.
    pub(super) fn written(&self) -> Option<Epoch> {
        self.manifest.written.map(Epoch)
    }

    /// Writes a part: `fill` writes the rows, and tells how many they are. Nothing is there after an error; unless the part
    /// is [written](Self::written) already, and [`Self::finish`] has to be tried again. No rows: no part.
    pub(super) fn add(&mut self, part: Part, fill: impl FnOnce(File) -> Result<(File, u64)>) -> Result<()> {
        let place = &self.place;
        let name = part.name(&place.prefix, place.ending);
        let undone = place.path.join(part::undone(&name));
        let refused = |e: io::Error| place.refused(&undone, &e);
        let filled = File::create(&undone).map_err(refused).and_then(fill).and_then(|(file, rows)| {
            file.sync_all().map_err(refused)?;
            Ok((rows, file.metadata().map_err(refused)?.len()))
        });
        let (rows, bytes) = match filled {
            Ok((0, _)) => return fs::remove_file(&undone).map_err(refused),
            Ok(filled) => filled,
            Err(error) => {
                let _ = fs::remove_file(&undone);
                return Err(error);
            }
        };
        // The part's hidden name has to be there before the manifest says so, and the folder still has to be ours.
        place.sync().map_err(refused)?;
        let now = place.read()?;
        let manifest = Manifest {
            written: Some(part.last.0),
            part: Some(name),
            parts: now.parts + 1,
            rows: now.rows + rows,
            bytes: now.bytes + bytes,
            ..now
        };
        place.write(&manifest)?;
        self.manifest = manifest;
        self.finish()
    }

    /// Gives the newest part its name, if it has not got it.
    pub(super) fn finish(&self) -> Result<()> {
        let Some(name) = &self.manifest.part else { return Ok(()) };
        let (undone, done) = (self.place.path.join(part::undone(name)), self.place.path.join(name));
        match fs::rename(&undone, &done) {
            Ok(()) => self.place.sync().map_err(|e| self.place.refused(&done, &e)),
            // It has its name; or had it, and somebody took it away.
            Err(e) if e.kind() == ErrorKind::NotFound && self.place.path.is_dir() => Ok(()),
            Err(e) => Err(self.place.refused(&done, &e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tempfile::TempDir;

    use super::*;

    fn place(folder: &TempDir) -> Place {
        Place { path: folder.path().join("out"), prefix: "k".into(), ending: "csv", token: "mine".into() }
    }

    fn add(folder: &mut Folder, first: u64, last: u64, text: &str) -> Result<()> {
        folder.add(Part { first: Epoch(first), last: Epoch(last) }, |mut file| {
            file.write_all(text.as_bytes())?;
            Ok((file, text.len() as u64))
        })
    }

    fn shown(place: &Place) -> String {
        let names = place.names().unwrap().into_iter().filter(|name| !name.starts_with('.'));
        let files: BTreeMap<String, String> =
            names.map(|name| (name.clone(), fs::read_to_string(place.path.join(name)).unwrap())).collect();
        files.into_values().collect::<Vec<_>>().join("|")
    }

    #[test]
    fn parts_appear_whole_and_are_counted() {
        let temporary = TempDir::new().unwrap();
        let place = place(&temporary);
        place.claim().unwrap();
        let mut folder = place.open().unwrap();
        assert_eq!(folder.written(), None);
        add(&mut folder, 3, 5, "abc").unwrap();
        add(&mut folder, 6, 6, "").unwrap();
        add(&mut folder, 7, 7, "d").unwrap();
        let failed = folder.add(Part { first: Epoch(8), last: Epoch(8) }, |_| Err(Error::internal("no")));
        assert_eq!(failed.unwrap_err().message(), "no");
        let again = place.open().unwrap();
        assert_eq!((again.written(), again.manifest.parts, again.manifest.rows), (Some(Epoch(7)), 2, 4));
        assert_eq!(shown(&place), "abc|d");
        assert_eq!(place.names().unwrap().len(), 3);
        // Another sink of that name does not mix with it.
        let other = Place { token: "other".into(), ..place.clone() };
        assert_eq!(other.claim().unwrap_err().code(), SqlState::OBJECT_IN_USE);
    }

    /// Every state in which a process can leave the folder between two steps of writing the part of epoch 2.
    #[test]
    fn a_part_is_there_once_whenever_the_process_ends() {
        let name = Part { first: Epoch(2), last: Epoch(2) }.name("k", "csv");
        for step in 0..6 {
            let temporary = TempDir::new().unwrap();
            let place = place(&temporary);
            place.claim().unwrap();
            let mut folder = place.open().unwrap();
            add(&mut folder, 1, 1, "a").unwrap();
            let before = fs::read(place.manifest()).unwrap();
            add(&mut folder, 2, 2, "bb").unwrap();
            let (undone, done) = (place.path.join(part::undone(&name)), place.path.join(&name));
            match step {
                // Half of it, and all of it, under the hidden name.
                0 | 1 => {
                    fs::remove_file(&done).unwrap();
                    fs::write(&undone, if step == 0 { "b" } else { "bb" }).unwrap();
                    fs::write(place.manifest(), &before).unwrap();
                }
                // A manifest that has not its name yet.
                2 => {
                    fs::rename(&done, &undone).unwrap();
                    fs::rename(place.manifest(), place.path.join(".k.sink.tmp")).unwrap();
                    fs::write(place.manifest(), &before).unwrap();
                }
                // The manifest says that it is written.
                3 => fs::rename(&done, &undone).unwrap(),
                4 => {}
                // Somebody took it away when it had its name.
                _ => fs::remove_file(&done).unwrap(),
            }
            let mut folder = place.open().unwrap();
            match (step, folder.written()) {
                (0..=2, Some(Epoch(1))) => add(&mut folder, 2, 2, "bb").unwrap(),
                (3.., Some(Epoch(2))) => {}
                (_, written) => panic!("step {step}: {written:?}"),
            }
            add(&mut folder, 3, 3, "c").unwrap();
            assert_eq!(shown(&place), if step == 5 { "a|c" } else { "a|bb|c" }, "step {step}");
            assert!(!place.names().unwrap().iter().any(|name| part::is_undone(name, "k")), "step {step}");
        }
    }

    #[test]
    fn a_folder_that_is_another_ones_is_left_alone() {
        let temporary = TempDir::new().unwrap();
        let place = place(&temporary);
        place.claim().unwrap();
        let mut folder = place.open().unwrap();
        let other = Place { token: "other".into(), ..place.clone() };
        other.claim().unwrap();
        for error in [add(&mut folder, 1, 1, "a").unwrap_err(), place.open().unwrap_err()] {
            assert_eq!(error.code(), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
        }
        assert_eq!(shown(&place), "");
        fs::remove_file(place.manifest()).unwrap();
        assert!(place.open().unwrap_err().message().contains("is gone"));
        fs::write(place.manifest(), "{").unwrap();
        assert!(place.open().unwrap_err().message().contains("was changed"));
        // A folder that is not there may come back.
        fs::remove_dir_all(&place.path).unwrap();
        assert_eq!(place.open().unwrap_err().code(), SqlState::UNDEFINED_FILE);
    }
}
