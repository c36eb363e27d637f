//! What was decided of followed files, to be kept by others and followed by a later process.

use serde::{Deserialize, Serialize};

use super::files::Revived;
use super::journal::{Run, What};
use super::{Follow, Identity, Stream};
use crate::error::{Error, Result, SqlState};

/// One decision; files are named by their position in the list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Decision {
    /// A file was found.
    File { path: String, name: String, device: u64, inode: u64, is_lost: bool, is_open: bool },
    /// Its header was read.
    Names { file: usize, names: Vec<String> },
    /// It was cut off.
    Lost { file: usize },
    /// Some of it was read, and where its next bytes are: byte, lines, within a line that was given up.
    Bytes { file: usize, from: u64, to: u64, lines: u64, within: bool, records: u64, next: (u64, u64, bool) },
    /// Something was reported instead of a record.
    Report { file: usize, code: String, message: String },
}

/// Decisions, counted from the first that was ever made.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Decisions {
    first: u64,
    decisions: Vec<Decision>,
}

/// What was decided and not taken yet, and how much of the files it says.
#[derive(Debug, Default)]
pub(super) struct Decided {
    taken: u64,
    left: Vec<Decision>,
    /// Per file: whether its header, and that it was cut off, have been noted.
    noted: Vec<(bool, bool)>,
}

impl Stream {
    /// Notes a run, and what was found of the files on the way.
    pub(super) fn decide(&mut self, run: &Run, next: (u64, u64, bool)) {
        let Self { files, decided, .. } = self;
        for (file, found) in files.iter().enumerate() {
            if decided.noted.len() == file {
                decided.noted.push((false, found.is_lost));
                decided.left.push(Decision::File {
                    path: found.path.to_string_lossy().into_owned(),
                    name: found.name.clone(),
                    device: found.identity.device,
                    inode: found.identity.inode,
                    is_lost: found.is_lost,
                    is_open: found.is_open(),
                });
            }
            let (named, lost) = &mut decided.noted[file];
            if let Some(names) = found.names.as_ref().filter(|_| !*named) {
                *named = true;
                decided.left.push(Decision::Names { file, names: names.clone() });
            }
            if found.is_lost && !*lost {
                *lost = true;
                decided.left.push(Decision::Lost { file });
            }
        }
        let (file, records) = (run.file, run.records);
        decided.left.push(match &run.what {
            What::Bytes { from, to, lines, within } => {
                Decision::Bytes { file, from: *from, to: *to, lines: *lines, within: *within, records, next }
            }
            What::Report(code, message) => Decision::Report { file, code: code.0.to_owned(), message: message.clone() },
        });
        self.journal.append(run.clone());
    }
}

impl Follow {
    /// What was decided since this was asked last.
    pub(in crate::connectors::file) fn take_decisions(&self) -> Result<Option<Vec<u8>>> {
        let mut stream = self.stream.lock();
        let decisions = std::mem::take(&mut stream.decided.left);
        if decisions.is_empty() {
            return Ok(None);
        }
        let first = stream.decided.taken;
        stream.decided.taken += decisions.len() as u64;
        let bytes = serde_json::to_vec(&Decisions { first, decisions });
        bytes.map(Some).map_err(|e| Error::internal(e.to_string()))
    }

    /// Decides the same; what it has decided already is passed over.
    pub(in crate::connectors::file) fn follow_decisions(&self, bytes: &[u8]) -> Result<()> {
        let Decisions { first, decisions } = serde_json::from_slice(bytes)
            .map_err(|e| Error::internal(format!("what was decided of followed files cannot be read: {e}")))?;
        let mut stream = self.stream.lock();
        let known = (stream.decided.taken.saturating_sub(first) as usize).min(decisions.len());
        stream.decided.taken += (decisions.len() - known) as u64;
        for decision in decisions.into_iter().skip(known) {
            stream.follow(decision);
        }
        Ok(())
    }
}

impl Stream {
    fn follow(&mut self, decision: Decision) {
        match decision {
            Decision::File { path, name, device, inode, is_lost, is_open } => {
                self.decided.noted.push((false, is_lost));
                self.files.revive(Revived {
                    path: path.into(),
                    name,
                    identity: Identity { device, inode },
                    is_lost,
                    is_open,
                });
            }
            Decision::Names { file, names } => {
                if let Some(noted) = self.decided.noted.get_mut(file) {
                    noted.0 = true;
                }
                if let Some(found) = self.files.get_mut(file) {
                    found.names = Some(names);
                }
            }
            Decision::Lost { file } => {
                if let Some(noted) = self.decided.noted.get_mut(file) {
                    noted.1 = true;
                }
                if let Some(found) = self.files.get_mut(file) {
                    found.lose();
                }
            }
            Decision::Bytes { file, from, to, lines, within, records, next } => {
                self.journal.append(Run { file, what: What::Bytes { from, to, lines, within }, records });
                if let Some(found) = self.files.get_mut(file) {
                    found.was_read(next);
                }
            }
            Decision::Report { file, code, message } => {
                let what = What::Report(SqlState::named(&code), message);
                self.journal.append(Run { file, what, records: 1 });
            }
        }
    }
}
