//! The file of seeds that were run: which, and of what commit the program was.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

/// A file with a line for each seed that was run, if there is to be one.
pub struct Done {
    path: Option<String>,
    noted: BTreeSet<u64>,
    commit: String,
}

impl Done {
    /// Reads what is noted; `program` is what is tested.
    pub fn open(path: Option<String>, program: &Path) -> Self {
        let text = path.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        let noted = text.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
        Self { path, noted, commit: commit(program) }
    }

    /// Whether a seed was run before.
    pub fn has(&self, seed: u64) -> bool {
        self.noted.contains(&seed)
    }

    /// It was run, and all was well.
    pub fn note(&self, seed: u64) {
        if let Some(path) = &self.path {
            let line = format!("{seed} {}\n", self.commit);
            let file = File::options().append(true).create(true).open(path);
            let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
            written.expect("the file of seeds that are done");
        }
    }
}

/// The commit that is checked out, with a `+` when the program is not of it alone: something was changed since, or is newer
/// than the program. The version where there is no checkout.
fn commit(program: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["log", "-1", "--format=%h"]) else { return env!("CARGO_PKG_VERSION").to_owned() };
    let is_changed =
        git(&["status", "--porcelain", "--", "src", "Cargo.lock"]).is_none_or(|changes| !changes.is_empty());
    let built = fs::metadata(program).and_then(|program| program.modified());
    let is_stale = built.is_ok_and(|built| is_newer(&root.join("src"), built));
    if is_changed || is_stale { commit + "+" } else { commit }
}

/// Whether a file in a folder is newer.
fn is_newer(folder: &Path, than: SystemTime) -> bool {
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return is_newer(&path, than);
        }
        entry.metadata().and_then(|file| file.modified()).is_ok_and(|at| at > than)
    })
}
