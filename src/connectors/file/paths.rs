//! Which files a path names, and whether they may be read.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize, Serializer};

use super::compression::Compression;
use crate::connectors::options::invalid;
use crate::error::{Error, Result, SqlState};

/// A file as it was when the source was created.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Listed {
    /// Without symbolic links.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// Its last part, for messages.
    pub name: String,
    compression: Compression,
    bytes: u64,
    modified_micros: u128,
}

/// A name that is no text is not found again.
fn as_text<S: Serializer>(path: &Path, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

impl Listed {
    fn stat(path: PathBuf, compression: Option<Compression>) -> Result<Self> {
        let metadata = fs::metadata(&path).map_err(|e| unreadable(&path, &e))?;
        if metadata.is_dir() {
            let error = Error::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is a directory", path.display()));
            return Err(error.with_hint("Name its files by a pattern: '/dir/*.parquet'."));
        }
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let modified_micros = modified.map_or(0, |time| time.as_micros());
        let compression = compression.unwrap_or_else(|| Compression::by_ending(&path));
        Ok(Self { path, name, compression, bytes: metadata.len(), modified_micros })
    }

    /// Errors: `55000` when it is not the file it was; `58P01` when it is gone.
    pub(super) fn check(&self) -> Result<()> {
        let now = Self::stat(self.path.clone(), Some(self.compression))?;
        if now.fingerprint() == self.fingerprint() {
            return Ok(());
        }
        let message = format!("file \"{}\" has changed since the source was created", self.path.display());
        let error = Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message);
        Err(error.with_hint("DROP the source and create it again: a source is read again for each new view."))
    }

    pub(super) fn fingerprint(&self) -> String {
        format!("{} {} {}", self.path.display(), self.bytes, self.modified_micros)
    }

    /// Whether it holds no byte, or only packed ones.
    pub(super) fn tells_nothing(&self) -> bool {
        self.bytes == 0 || self.compression != Compression::None
    }

    pub(super) fn open(&self) -> Result<fs::File> {
        self.check()?;
        fs::File::open(&self.path).map_err(|e| unreadable(&self.path, &e))
    }

    /// Its bytes, unpacked.
    pub(super) fn bytes(&self) -> Result<Box<dyn Read + Send>> {
        self.compression.unpack(self.open()?, self)
    }
}

/// The files that a path names, by name; at least one.
///
/// Errors: `58P01` there is none; `42501` outside of `root`, or not readable.
pub(super) fn list(path: &str, root: Option<&Path>, compression: Option<Compression>) -> Result<Vec<Listed>> {
    let files = find(path, root)?.into_iter().map(|found| found.file).collect::<Result<Vec<_>>>()?;
    if files.is_empty() {
        let message = format!("no file fits \"{}\"", given(path, root).display());
        return Err(Error::new(SqlState::UNDEFINED_FILE, message)
            .with_hint("The path is one of the server's; a relative one starts where the server was started."));
    }
    stat(files, compression)
}

/// As [`list`], without the files that cannot be had where a pattern names others too; there may be none.
pub(super) fn list_readable(path: &str, root: Option<&Path>, compression: Option<Compression>) -> Result<Vec<Listed>> {
    let alone = !is_pattern(&given(path, root));
    let files = find(path, root)?.into_iter().map(|found| found.file).filter(|file| alone || file.is_ok());
    stat(files.collect::<Result<_>>()?, compression)
}

fn stat(files: Vec<PathBuf>, compression: Option<Compression>) -> Result<Vec<Listed>> {
    files.into_iter().map(|file| Listed::stat(file, compression)).collect()
}

/// A file that a path names.
pub(super) struct Found {
    /// As the path names it.
    pub name: PathBuf,
    /// Without symbolic links. Errors: `58P01` it is not there; `42501` outside of the root, or not readable.
    pub file: Result<PathBuf>,
}

/// The files that a path names now, by name; none only if it is a pattern.
///
/// Errors: `42501` the path is outside of `root`.
pub(super) fn find(path: &str, root: Option<&Path>) -> Result<Vec<Found>> {
    let given = given(path, root);
    if let Some(root) = root {
        inside_by_name(&given, root, path)?;
    }
    let names = match is_pattern(&given) {
        true => matching(&given)?,
        false => vec![given],
    };
    let root = root.map(|root| root.canonicalize().map_err(|e| unreadable(root, &e))).transpose()?;
    let real = |name: PathBuf| {
        let file = name.canonicalize().map_err(|e| unreadable(&name, &e));
        // What a link inside of the root leads to may be outside.
        let file = file.and_then(|file| match &root {
            Some(root) if !file.starts_with(root) => Err(outside(&name.display().to_string())),
            _ => Ok(file),
        });
        Found { name, file }
    };
    Ok(names.into_iter().map(real).collect())
}

/// Where a folder to write into is, or will be.
///
/// Errors: `42501` it lies outside of `root`.
pub(crate) fn folder_within(path: &str, root: Option<&Path>) -> Result<PathBuf> {
    let given = std::path::absolute(given(path, root))?;
    let Some(root) = root else { return Ok(given) };
    inside_by_name(&given, root, path)?;
    // What a link inside of the root leads to may be outside.
    let there = given.ancestors().find_map(|part| part.canonicalize().ok());
    let root = root.canonicalize().map_err(|e| unreadable(root, &e))?;
    match there.is_some_and(|there| there.starts_with(root)) {
        true => Ok(given),
        false => Err(outside(path)),
    }
}

fn given(path: &str, root: Option<&Path>) -> PathBuf {
    root.map_or_else(|| PathBuf::from(path), |root| root.join(path))
}

/// Refuses what leaves the root by name, before the disk is asked: whether a file outside exists is nobody's business.
fn inside_by_name(given: &Path, root: &Path, path: &str) -> Result<()> {
    let mut plain = PathBuf::new();
    for part in given.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    let real = root.canonicalize().map_err(|e| unreadable(root, &e))?;
    let root: PathBuf = root.components().filter(|part| *part != Component::CurDir).collect();
    match plain.starts_with(root) || plain.starts_with(real) {
        true => Ok(()),
        false => Err(outside(path)),
    }
}

fn outside(path: &str) -> Error {
    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("\"{path}\" is outside of the server's file root"))
        .with_hint("Only files below the folder given with --file-root can be read or written.")
}

/// Whether a path is a pattern: a file that is called so is meant itself.
fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '[']) && !path.exists()
}

/// The files that a pattern names, in the order of their paths. Hidden ones only where the pattern says the dot.
fn matching(pattern: &Path) -> Result<Vec<PathBuf>> {
    let text = pattern.to_string_lossy();
    let options =
        glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    let found = glob::glob_with(&text, options).map_err(|error| {
        invalid(format!("invalid pattern \"{text}\": {}", error.msg))
            .with_hint("A pattern has * and ? for parts of a name, [ab] for characters, and ** for any folders.")
    })?;
    let mut files = Vec::new();
    for path in found {
        let path = path.map_err(|e| unreadable(e.path(), e.error()))?;
        if !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// PostgreSQL's words for a file that cannot be read.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let (code, why) = match error.kind() {
        ErrorKind::NotFound => (SqlState::UNDEFINED_FILE, "No such file or directory".to_owned()),
        ErrorKind::PermissionDenied => (SqlState::INSUFFICIENT_PRIVILEGE, "Permission denied".to_owned()),
        _ => (SqlState::IO_ERROR, error.to_string()),
    };
    let error = Error::new(code, format!("could not open file \"{}\" for reading: {why}", path.display()));
    if code != SqlState::UNDEFINED_FILE {
        return error;
    }
    error.with_hint("The path is one of the server's; a relative one starts where the server was started.")
}
