//! Which files a path names, and whether they may be read.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use regex::Regex;

use crate::error::{Error, Result, SqlState};

/// A file as it was when the source was created.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// Without symbolic links.
    pub path: PathBuf,
    /// Its last part, for messages.
    pub name: String,
    bytes: u64,
    modified_micros: u128,
}

impl Listed {
    fn stat(path: PathBuf) -> Result<Self> {
        let metadata = fs::metadata(&path).map_err(|e| unreadable(&path, &e))?;
        if metadata.is_dir() {
            let error = Error::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is a directory", path.display()));
            return Err(error.with_hint("Name its files by a pattern: '/dir/*.parquet'."));
        }
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let modified_micros = modified.map_or(0, |time| time.as_micros());
        Ok(Self { path, name, bytes: metadata.len(), modified_micros })
    }

    /// Errors: `55000` when it is not the file it was; `58P01` when it is gone.
    pub(super) fn check(&self) -> Result<()> {
        let now = Self::stat(self.path.clone())?;
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

    pub(super) fn open(&self) -> Result<fs::File> {
        self.check()?;
        fs::File::open(&self.path).map_err(|e| unreadable(&self.path, &e))
    }
}

/// The files that a path names, by name; at least one.
///
/// Errors: `58P01` there is none; `42501` outside of `root`, or not readable.
pub(super) fn list(path: &str, root: Option<&Path>) -> Result<Vec<Listed>> {
    let given = match root {
        Some(root) => root.join(path),
        None => PathBuf::from(path),
    };
    if let Some(root) = root {
        inside_by_name(&given, root, path)?;
    }
    let pattern = given.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = given.parent().map(Path::to_path_buf).unwrap_or_default();
    if folder.to_string_lossy().contains(['*', '?']) {
        return Err(Error::unsupported("a pattern in the folder of a path", "Use * and ? in the file's name only."));
    }
    let files = match pattern.contains(['*', '?']) {
        true => matching(&folder, &pattern)?,
        false => vec![given],
    };
    let files = files.into_iter().map(|file| file.canonicalize().map_err(|e| unreadable(&file, &e)));
    let files = files.collect::<Result<Vec<_>>>()?;
    if let Some(root) = root {
        let root = root.canonicalize().map_err(|e| unreadable(root, &e))?;
        if files.iter().any(|file| !file.starts_with(&root)) {
            return Err(outside(path));
        }
    }
    files.into_iter().map(Listed::stat).collect()
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
        .with_hint("Only files below the folder given with --file-root can be read.")
}

/// The files of a folder whose name fits a pattern, by name. Hidden ones only when the pattern begins with a dot.
fn matching(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let expression = regex::escape(pattern).replace("\\*", ".*").replace("\\?", ".");
    let expression = Regex::new(&format!("^{expression}$")).map_err(|e| Error::internal(e.to_string()))?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| unreadable(folder, &e))? {
        let entry = entry.map_err(|e| unreadable(folder, &e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let hidden = name.starts_with('.') && !pattern.starts_with('.');
        if !hidden && expression.is_match(&name) && !entry.path().is_dir() {
            files.push(entry.path());
        }
    }
    files.sort();
    match files.is_empty() {
        true => {
            Err(Error::new(SqlState::UNDEFINED_FILE, format!("no file fits \"{pattern}\" in \"{}\"", folder.display()))
                .with_hint("The path is one of the server's; a relative one starts where the server was started."))
        }
        false => Ok(files),
    }
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
