//! [`Disk`]: a flat folder of files, behind a trait, so that tests can fail, tear, delay and lose what they like.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A folder of files.
pub trait Disk: Send + Sync {
    /// The names of its files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// All bytes of a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// The first bytes of a file, at most so many, and its length.
    fn read_head(&self, name: &str, most: usize) -> io::Result<(Vec<u8>, u64)>;

    /// Opens a file for writing; creates it when it is not there.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns when the files created and removed until now survive a power loss as such.
    fn sync_names(&self) -> io::Result<()>;

    /// What messages call a file.
    fn path(&self, name: &str) -> String;
}

/// A file that is open for writing.
pub trait DiskFile: Send {
    /// Writes all bytes at an offset.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts it off, or fills it up with zeros.
    fn set_len(&mut self, length: u64) -> io::Result<()>;

    /// Returns when everything written survives a power loss.
    fn sync(&mut self) -> io::Result<()>;
}

/// A folder of the file system.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Creates the folder if it is not there.
    pub fn create(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self(path.to_owned()))
    }

    /// A folder that is there.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(name))
    }

    fn read_head(&self, name: &str, most: usize) -> io::Result<(Vec<u8>, u64)> {
        let file = File::open(self.0.join(name))?;
        let length = file.metadata()?.len();
        let mut head = Vec::new();
        file.take(most as u64).read_to_end(&mut head)?;
        Ok((head, length))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(self.0.join(name))?;
        Ok(Box::new(file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl DiskFile for File {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
