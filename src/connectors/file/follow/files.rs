//! The followed files, as they are now: which are there, and what is new in them.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::journal::{Run, What};
use super::{FILES_MAX, Follow, GRACE, Identity, gone};
use crate::connectors::file::compression::Compression;
use crate::connectors::file::paths::{self, Found};
use crate::error::{Error, Result, SqlState};
use crate::formats::{BATCH_RECORDS_MAX, CHUNK_BYTES, Cutter, Records};

/// All files that were ever followed; runs name them by position.
#[derive(Debug, Default)]
pub(super) struct Files {
    all: Vec<Followed>,
    /// Whose turn it is.
    turn: usize,
    /// What is wrong with looking for files, so that it is reported once.
    trouble: Option<String>,
    /// The names that lead to no file that may be read, so that each is reported once.
    refused: BTreeSet<PathBuf>,
}

/// One file, from when it was found or cut off.
#[derive(Debug)]
pub(super) struct Followed {
    pub path: PathBuf,
    /// Its last part, for messages.
    pub name: String,
    pub identity: Identity,
    /// The columns' names in its header.
    pub names: Option<Vec<String>>,
    /// Its bytes are gone: cut off.
    pub is_lost: bool,
    /// Open while it may grow.
    live: Option<Live>,
    /// Read by an earlier process, up to there (byte, lines, within a line that was given up), and not yet opened again.
    left_at: Option<(u64, u64, bool)>,
}

/// A file as an earlier process found it.
pub(super) struct Revived {
    pub path: PathBuf,
    pub name: String,
    pub identity: Identity,
    pub is_lost: bool,
    pub is_open: bool,
}

#[derive(Debug)]
struct Live {
    file: fs::File,
    cutter: Cutter,
    /// Bytes that the cutter has.
    read: u64,
    /// Bytes, lines and state behind the last run.
    done: u64,
    place: (u64, bool),
    has_header: bool,
    /// Since when it is not found any more, or grew last after that.
    nameless: Option<Instant>,
}

/// What was found: a run, its records if it has some, and where the next run of the file will begin: byte, lines, and
/// whether it is within a line that was given up.
pub(super) struct News {
    pub run: Run,
    pub records: Records,
    pub place: (u64, u64, bool),
}

impl News {
    fn report(file: usize, code: SqlState, message: String) -> Self {
        let run = Run { file, what: What::Report(code, message), records: 1 };
        Self { run, records: Records::default(), place: (0, 0, false) }
    }
}

impl Files {
    pub(super) fn get(&self, at: usize) -> Option<&Followed> {
        self.all.get(at)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Followed> {
        self.all.get_mut(at)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Followed> {
        self.all.iter()
    }

    /// Takes up a file of an earlier process; it is opened when there is nothing left to read again.
    pub(super) fn revive(&mut self, file: Revived) {
        let Revived { path, name, identity, is_lost, is_open } = file;
        let left_at = (is_open && !is_lost).then_some((0, 0, false));
        self.all.push(Followed { path, name, identity, names: None, is_lost, live: None, left_at });
    }

    /// What is new in the files that are known, each in its turn.
    pub(super) fn news(&mut self, follow: &Follow) -> Result<Option<News>> {
        for file in self.all.iter_mut().filter(|file| file.left_at.is_some()) {
            file.open_again(follow);
        }
        let count = self.all.len();
        for step in 0..count {
            let at = (self.turn + step) % count;
            let Some(file) = self.all.get_mut(at) else { continue };
            let news = file.news(at, follow)?;
            if news.is_some() {
                self.turn = at + 1;
            }
            match news {
                None => {}
                Some(Change::News(news)) => return Ok(Some(news)),
                // The next look finds it as a new one.
                Some(Change::Cut(message)) => {
                    return Ok(Some(News::report(at, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)));
                }
            }
        }
        Ok(None)
    }

    /// Looks which files there are; something to report, perhaps.
    pub(super) fn look(&mut self, follow: &Follow) -> Option<News> {
        let found = match paths::find(&follow.path, follow.root.as_deref()) {
            Ok(found) => found,
            Err(error) => {
                let trouble = error.message().to_owned();
                let is_new = self.trouble.as_ref() != Some(&trouble);
                self.trouble = Some(trouble.clone());
                return is_new.then(|| self.report(&follow.path, error.code(), trouble));
            }
        };
        self.trouble = None;
        let mut named = vec![false; self.all.len()];
        for Found { name: given, file } in found {
            let path = match file {
                Ok(path) => path,
                // A file that is being renamed is not there for a moment.
                Err(error) if error.code() == SqlState::UNDEFINED_FILE => continue,
                Err(error) => match self.refuse(given, &error) {
                    Some(news) => return Some(news),
                    None => continue,
                },
            };
            self.refused.remove(&given);
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let identity = Identity::of(&metadata);
            let known = self.all.iter().rposition(|file| file.identity == identity && !file.is_lost);
            if let Some(at) = known {
                // Renamed, perhaps, to another name that fits.
                self.all[at].path.clone_from(&path);
                if let Some(named) = named.get_mut(at) {
                    *named = true;
                }
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(news) = self.add(path, name, follow) {
                return Some(news);
            }
        }
        for (file, named) in self.all.iter_mut().zip(named) {
            if let Some(live) = &mut file.live {
                live.nameless = if named { None } else { live.nameless.or_else(|| Some(Instant::now())) };
            }
        }
        None
    }

    /// Opens a new file; what is wrong with it is reported.
    fn add(&mut self, path: PathBuf, name: String, follow: &Follow) -> Option<News> {
        let open = self.all.iter().filter(|file| file.live.is_some()).count();
        let opened = match follow.compression.unwrap_or_else(|| Compression::by_ending(&path)) {
            Compression::None if open < FILES_MAX => open_live(&path, follow),
            Compression::None => Err((
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("{name}: not followed: {FILES_MAX} files are being followed already"),
            )),
            Compression::Gzip | Compression::Zstd => {
                Err((SqlState::FEATURE_NOT_SUPPORTED, format!("{name}: not followed: it is packed")))
            }
        };
        let (identity, live, wrong) = match opened {
            Ok((identity, live)) => (identity, Some(live), None),
            Err(wrong) => {
                let identity = fs::metadata(&path).map(|found| Identity::of(&found));
                (identity.unwrap_or(Identity { device: 0, inode: 0 }), None, Some(wrong))
            }
        };
        self.all.push(Followed {
            path,
            name: name.clone(),
            identity,
            names: None,
            is_lost: false,
            live,
            left_at: None,
        });
        let (code, message) = wrong?;
        Some(News::report(self.all.len() - 1, code, message))
    }

    /// A name that leads out of the root, or to what cannot be read: the others are followed all the same.
    fn refuse(&mut self, name: PathBuf, error: &Error) -> Option<News> {
        let last = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let message = format!("{last}: not followed: {}", error.message());
        self.refused.insert(name).then(|| self.report(&last, error.code(), message))
    }

    fn report(&mut self, path: &str, code: SqlState, message: String) -> News {
        let identity = Identity { device: 0, inode: 0 };
        let (path, name) = (PathBuf::from(path), path.to_owned());
        self.all.push(Followed { path, name, identity, names: None, is_lost: true, live: None, left_at: None });
        News::report(self.all.len() - 1, code, message)
    }
}

fn open_live(path: &Path, follow: &Follow) -> Result<(Identity, Live), (SqlState, String)> {
    let wrong = |error: std::io::Error| {
        let error = paths::unreadable(path, &error);
        (error.code(), error.message().to_owned())
    };
    let file = fs::File::open(path).map_err(wrong)?;
    let identity = Identity::of(&file.metadata().map_err(wrong)?);
    let cutter = Cutter::new(follow.encoding.cut());
    let has_header = follow.encoding.is_headed();
    Ok((identity, Live { file, cutter, read: 0, done: 0, place: (0, false), has_header, nameless: None }))
}

enum Change {
    News(News),
    /// It is shorter than what was read of it.
    Cut(String),
}

impl Followed {
    /// Whether it may grow.
    pub(super) fn is_open(&self) -> bool {
        self.live.is_some()
    }

    /// An earlier process found it cut off.
    pub(super) fn lose(&mut self) {
        (self.is_lost, self.left_at) = (true, None);
    }

    /// An earlier process has read it up to there.
    pub(super) fn was_read(&mut self, next: (u64, u64, bool)) {
        self.left_at = self.left_at.map(|_| next);
    }

    /// Goes on where an earlier process was; a file that is no longer there is over.
    fn open_again(&mut self, follow: &Follow) {
        let Some((done, lines, within)) = self.left_at.take() else { return };
        let Ok(file) = reopen(self) else { return };
        let cutter = match done {
            0 => Cutter::new(follow.encoding.cut()),
            _ => Cutter::resume(follow.encoding.cut(), lines, within),
        };
        let has_header = follow.encoding.is_headed() && done == 0;
        let place = (lines, within);
        self.live = Some(Live { file, cutter, read: done, done, place, has_header, nameless: None });
    }

    fn news(&mut self, at: usize, follow: &Follow) -> Result<Option<Change>> {
        let Some(live) = &mut self.live else { return Ok(None) };
        loop {
            if live.has_header {
                let mut header = Records::default();
                live.cutter.cut(&mut header, 1);
                if !header.is_empty() {
                    self.names = Some(follow.encoding.names(header.get(0)));
                    live.has_header = false;
                    continue;
                }
            } else {
                let mut records = Records::default();
                live.cutter.cut(&mut records, BATCH_RECORDS_MAX);
                if !records.is_empty() {
                    return Ok(Some(Change::News(live.news(at, records))));
                }
            }
            let bytes = live.file.metadata()?;
            if bytes.len() < live.read {
                let message = format!(
                    "{}: the file was cut off: what was not read of it by then is lost, and it is read from its start",
                    self.name
                );
                self.live = None;
                self.is_lost = true;
                return Ok(Some(Change::Cut(message)));
            }
            if bytes.len() == live.read {
                let over = live.nameless.is_some_and(|since| since.elapsed() >= GRACE || bytes.nlink() == 0);
                if !over {
                    return Ok(None);
                }
                if live.has_header {
                    self.live = None;
                    return Ok(None);
                }
                live.cutter.end();
                let mut last = Records::default();
                live.cutter.cut(&mut last, BATCH_RECORDS_MAX);
                let news = live.news(at, last);
                self.live = None;
                return Ok((news.run.records > 0).then_some(Change::News(news)));
            }
            live.nameless = live.nameless.map(|_| Instant::now());
            live.fill(bytes.len())?;
        }
    }
}

impl Live {
    /// Reads on, up to a chunk.
    fn fill(&mut self, length: u64) -> Result<()> {
        let chunk = (length - self.read).min(CHUNK_BYTES as u64) as usize;
        let (file, from) = (&self.file, self.read);
        let read = self.cutter.fill(|buffer| read_at(file, from, chunk, buffer))?;
        self.read += read as u64;
        Ok(())
    }

    /// What the cutter has given since the last run.
    fn news(&mut self, file: usize, records: Records) -> News {
        let (from, (lines, within)) = (self.done, self.place);
        self.done = self.read - self.cutter.rest().len() as u64;
        self.place = self.cutter.place();
        let what = What::Bytes { from, to: self.done, lines, within };
        let run = Run { file, what, records: records.len() as u64 };
        News { run, records, place: (self.done, self.place.0, self.place.1) }
    }
}

/// Appends bytes of a file to a buffer; fewer when it has fewer.
pub(super) fn read_at(file: &fs::File, from: u64, count: usize, buffer: &mut Vec<u8>) -> std::io::Result<usize> {
    let had = buffer.len();
    buffer.resize(had + count, 0);
    let mut read = 0;
    while read < count {
        match file.read_at(&mut buffer[had + read..], from + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                buffer.truncate(had);
                return Err(error);
            }
        }
    }
    buffer.truncate(had + read);
    Ok(read)
}

/// Opens a file that was read before, by whatever name it has now.
pub(super) fn reopen(file: &Followed) -> Result<fs::File> {
    let is_it = |path: &Path| -> Option<fs::File> {
        let opened = fs::File::open(path).ok()?;
        (Identity::of(&opened.metadata().ok()?) == file.identity).then_some(opened)
    };
    if file.is_lost {
        return Err(gone(&file.name));
    }
    if let Some(opened) = is_it(&file.path) {
        return Ok(opened);
    }
    let folder = file.path.parent().map(Path::to_path_buf).unwrap_or_default();
    let others: Vec<PathBuf> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    others.iter().find_map(|path| is_it(path)).ok_or_else(|| gone(&file.name))
}
