//! What a worker that ends the process leaves behind: the view whose operator it was.
//!
//! An operator that panics leaves state that can't be trusted, so the process ends, and the next one reads the log back. If
//! the same rows make it panic again, no start gets through. So each abort is noted in a file beside the log, by view; at the
//! second one that nothing good has come between (a clean stop, or a start that gets past the epoch) the view is paused by
//! the start that follows, and the file is emptied: from then on the log says it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::data::{Epoch, ObjectId};

/// Aborts after which a view is paused.
const TOO_MANY: u32 = 2;

/// Where this process would note it: there is one, as there is one abort.
static FILE: Mutex<Option<PathBuf>> = Mutex::new(None);
/// Two workers may come upon the same row.
static NOTED: AtomicBool = AtomicBool::new(false);

/// Aborts by one view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Abort {
    view: ObjectId,
    /// What ran last, and how it ended.
    operator: String,
    message: String,
    /// Which epoch it worked on; none: it was being filled.
    epoch: Option<Epoch>,
    times: u32,
}

/// The aborts of the processes before.
#[derive(Debug, Default)]
pub struct Aborts {
    path: PathBuf,
    aborts: Vec<Abort>,
}

impl Aborts {
    /// Reads the file, and notes in it from now on. One that cannot be read says nothing.
    pub fn open(path: &Path) -> Self {
        *FILE.lock() = Some(path.to_owned());
        Self { path: path.to_owned(), aborts: read(path) }
    }

    /// The views to be paused, and why.
    pub fn poisoned(&self) -> Vec<(ObjectId, String)> {
        let too_many = self.aborts.iter().filter(|abort| abort.times >= TOO_MANY);
        let reason = |a: &Abort| {
            let Abort { operator, message, times, .. } = a;
            format!("It ended the server {times} times in a row, the last time in {operator}: {message}")
        };
        too_many.map(|abort| (abort.view, reason(abort))).collect()
    }

    /// A start has got as far as this epoch, and has paused the views that had to be.
    pub fn survived(&self, epoch: Epoch) {
        let is_open = |a: &&Abort| a.times < TOO_MANY && a.epoch.is_none_or(|at| at > epoch);
        let left: Vec<Abort> = self.aborts.iter().filter(is_open).cloned().collect();
        if left != self.aborts {
            let _ = write(&self.path, &left);
        }
    }

    /// A clean stop.
    pub fn clear(path: &Path) {
        let _ = fs::remove_file(path);
    }
}

/// An operator panicked, and the process is about to end.
pub(super) fn note(view: ObjectId, operator: &str, message: &str, epoch: Option<Epoch>) {
    let Some(path) = FILE.lock().clone() else { return };
    if NOTED.swap(true, Ordering::Relaxed) {
        return;
    }
    let mut aborts = read(&path);
    let before = aborts.iter().position(|abort| abort.view == view).map(|at| aborts.swap_remove(at));
    let times = before.map_or(0, |abort| abort.times) + 1;
    aborts.push(Abort { view, operator: operator.to_owned(), message: message.to_owned(), epoch, times });
    // Nobody could be told of an error.
    let _ = write(&path, &aborts);
}

fn read(path: &Path) -> Vec<Abort> {
    let parse = |bytes: Vec<u8>| {
        let (crc, json) = bytes.split_at_checked(9)?;
        let is_whole = crc == checked(json);
        is_whole.then(|| serde_json::from_slice(json).ok()).flatten()
    };
    fs::read(path).ok().and_then(parse).unwrap_or_default()
}

/// The line before some JSON: its crc32.
fn checked(json: &[u8]) -> Vec<u8> {
    format!("{:08x}\n", crc32fast::hash(json)).into_bytes()
}

/// Replaces the file: it is whole, whenever the process ends.
fn write(path: &Path, aborts: &[Abort]) -> std::io::Result<()> {
    if aborts.is_empty() {
        return fs::remove_file(path);
    }
    let new = path.with_extension("new");
    let json = serde_json::to_vec(aborts)?;
    let mut file = fs::File::create(&new)?;
    file.write_all(&checked(&json))?;
    file.write_all(&json)?;
    file.sync_all()?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_aborts_of_one_view_are_too_many_unless_it_got_past_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aborts");
        let abort = |view: u32, epoch: u64| {
            NOTED.store(false, Ordering::Relaxed);
            note(ObjectId(view), "Filter", "panic: x", Some(Epoch(epoch)).filter(|e| e.0 > 0));
        };
        assert_eq!(Aborts::open(&path).poisoned(), []);
        abort(7, 5);
        abort(8, 6);
        Aborts::open(&path).survived(Epoch(5));
        abort(7, 9);
        assert_eq!(Aborts::open(&path).poisoned(), []);
        // Two at once are one.
        note(ObjectId(8), "Filter", "panic: x", None);
        abort(8, 0);
        let aborts = Aborts::open(&path);
        let reason = "It ended the server 2 times in a row, the last time in Filter: panic: x";
        assert_eq!(aborts.poisoned(), [(ObjectId(8), reason.to_owned())]);
        aborts.survived(Epoch(3));
        abort(7, 9);
        assert_eq!(Aborts::open(&path).poisoned().len(), 1);
        Aborts::clear(&path);
        assert_eq!(Aborts::open(&path).poisoned(), []);
        *FILE.lock() = None;
    }
}
