//! Compressed files: `.gz` and `.zst`, by the file's ending or by the option `compression`.

use std::fmt::Display;
use std::fs;
use std::io::{Read, Seek};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::paths::Listed;
use crate::connectors::options::Options;
use crate::error::{Error, Result, SqlState};

/// How the bytes of a file are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// The option's value; `None` goes by each file's ending.
    pub(super) fn option(options: &Options<'_>) -> Result<Option<Self>> {
        let found = options.read("compression", "'auto', 'none', 'gzip' or 'zstd'", |text| {
            Some(match text.to_ascii_lowercase().as_str() {
                "auto" => None,
                "none" => Some(Self::None),
                "gzip" | "gz" => Some(Self::Gzip),
                "zstd" | "zst" => Some(Self::Zstd),
                _ => return None,
            })
        })?;
        Ok(found.flatten())
    }

    /// What a file's ending says.
    pub(super) fn by_ending(path: &Path) -> Self {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        match ending.as_deref() {
            Some("gz" | "gzip") => Self::Gzip,
            Some("zst" | "zstd") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Says what a file is not, where the unpacker would only miss some bytes.
    fn check_first_bytes(self, file: &mut fs::File, listed: &Listed) -> Result<()> {
        let mut first = Vec::new();
        (&mut *file).take(4).read_to_end(&mut first)?;
        file.rewind()?;
        let (what, is_it) = match self {
            Self::None => return Ok(()),
            Self::Gzip => ("it is not a gzip file", first.starts_with(&GZIP)),
            Self::Zstd => ("it is not a zstd file", first.starts_with(&ZSTD) || first.ends_with(&ZSTD_SKIPPED)),
        };
        if is_it || first.is_empty() { Ok(()) } else { Err(broken(&listed.name, &what)) }
    }

    /// The file's bytes, unpacked.
    pub(super) fn unpack(self, mut file: fs::File, listed: &Listed) -> Result<Box<dyn Read + Send>> {
        self.check_first_bytes(&mut file, listed)?;
        Ok(match self {
            Self::None => Box::new(file),
            // A gzip file may be several, one behind the other, as log rotation and cat make them.
            Self::Gzip => Box::new(Named { stream: MultiGzDecoder::new(file), name: listed.name.clone() }),
            Self::Zstd => {
                let stream = zstd::Decoder::new(file).map_err(|e| broken(&listed.name, &e))?;
                Box::new(Named { stream, name: listed.name.clone() })
            }
        })
    }
}

/// What every gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// What a zstd file begins with; a frame to be skipped, which may come first, begins with any of sixteen bytes and these.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const ZSTD_SKIPPED: [u8; 3] = [0x2a, 0x4d, 0x18];

/// Says which file it is that cannot be unpacked.
struct Named<R> {
    stream: R,
    name: String,
}

impl<R: Read> Read for Named<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(buffer).map_err(|error| match error.kind() {
            std::io::ErrorKind::Interrupted => error,
            _ => std::io::Error::other(broken(&self.name, &error)),
        })
    }
}

fn broken(name: &str, error: &dyn Display) -> Error {
    Error::new(SqlState::BAD_COPY_FILE_FORMAT, format!("could not unpack \"{name}\": {error}"))
        .with_hint("Is it compressed as its ending, or the option compression, says, and whole?")
}
