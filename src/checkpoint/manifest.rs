//! Manifests: what makes a checkpoint.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::data::Epoch;
use crate::error::{Error, Result, SqlState};
use crate::log::LogPlace;

use super::Objects;
use super::pack::{self, number};

/// The first word of a manifest.
const WORD: &str = "highwater-checkpoint";
/// What this process writes. It also reads the first one, whose parts are not packed.
const FORMAT: u32 = 2;
const FIRST: u32 = 1;
const ENDING: &str = ".checkpoint";

/// Who wrote a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The data directory whose it is: its id.
    pub directory: String,
    /// The process: another one each time.
    pub server: String,
}

/// One checkpoint; `T` is what is in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest<T> {
    /// Ascending.
    pub number: u64,
    /// Who wrote it.
    #[serde(default)]
    pub owner: Owner,
    /// The last epoch in it.
    pub epoch: Epoch,
    /// From here on the input log says what followed.
    pub log: LogPlace,
    /// When, in microseconds since 1970.
    pub taken: i64,
    /// Epochs of which nothing is known any more: after the first of two, up to the second.
    #[serde(default)]
    pub lost: Vec<(Epoch, Epoch)>,
    /// The packs that it names, their bytes, and how many of these.
    pub packs: Vec<Used>,
    /// What is in it.
    pub content: T,
}

/// How much of a pack a checkpoint uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// The pack.
    pub pack: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Those of parts that are named.
    pub live: u64,
}

/// Of the format and what follows the first line, whatever the format.
fn checksum(format: &str, json: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(format.as_bytes());
    hasher.update(json);
    hasher.finalize()
}

fn name(number: u64) -> String {
    format!("{number:020}{ENDING}")
}

impl<T: Serialize + DeserializeOwned> Manifest<T> {
    /// Puts it: from then on it is there. Gives its bytes.
    pub fn put(&self, objects: &dyn Objects) -> Result<u64> {
        let json = serde_json::to_vec(self).map_err(|e| Error::internal(format!("a checkpoint's manifest: {e}")))?;
        let crc = checksum(&FORMAT.to_string(), &json);
        let mut bytes = format!("{WORD} {FORMAT} {crc:08x}\n").into_bytes();
        bytes.extend_from_slice(&json);
        let length = bytes.len() as u64;
        objects.put(&name(self.number), Bytes::from(bytes))?;
        Ok(length)
    }

    /// Reads one.
    ///
    /// Errors: `XX001` it is damaged, `0A000` another version wrote it, `58P01` there is none, `58030`.
    pub fn get(objects: &dyn Objects, number: u64) -> Result<Self> {
        let name = name(number);
        let bytes = objects.get(&name)?;
        let damaged = |what: &str| {
            let path = objects.path(&name);
            let message = format!("\"{path}\" is damaged between bytes 0 and {}: {what}", bytes.len());
            Error::new(SqlState::DATA_CORRUPTED, message)
        };
        let end = bytes.iter().take(64).position(|b| *b == b'\n').ok_or_else(|| damaged("it has no first line"))?;
        let (line, json) = (String::from_utf8_lossy(&bytes[..end]), &bytes[end + 1..]);
        let words: Vec<&str> = line.split(' ').collect();
        let [WORD, format, crc] = words[..] else { return Err(damaged("its first line is not a manifest's")) };
        if crc != format!("{:08x}", checksum(format, json)) {
            return Err(damaged("the checksum does not match"));
        }
        if ![FIRST, FORMAT].iter().any(|known| known.to_string() == format) {
            let message = format!("\"{}\" is a checkpoint of format {format}, this is {FORMAT}", objects.path(&name));
            return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message)
                .with_hint("start the version of Highwater that wrote it"));
        }
        serde_json::from_slice(json).map_err(|error| damaged(&error.to_string()))
    }
}

/// Who wrote a checkpoint, whatever is in it.
pub fn owner(objects: &dyn Objects, number: u64) -> Result<Owner> {
    Ok(Manifest::<serde_json::Value>::get(objects, number)?.owner)
}

/// Copies all of one place into another, so that it can take its place: manifests last, oldest first.
pub fn copy(from: &dyn Objects, to: &dyn Objects) -> Result<()> {
    let Found { checkpoints, packs } = find(from)?;
    for name in packs.into_iter().map(pack::name).chain(checkpoints.into_iter().map(name)) {
        to.put(&name, from.get(&name)?)?;
    }
    Ok(())
}

/// Removes all of a place: manifests first, newest last.
pub fn clear(objects: &dyn Objects) -> Result<()> {
    let Found { checkpoints, packs } = find(objects)?;
    let mut names = checkpoints.into_iter().map(name).chain(packs.into_iter().map(pack::name));
    names.try_for_each(|name| objects.remove(&name))
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Numbers of manifests, ascending.
    pub checkpoints: Vec<u64>,
    /// Numbers of packs, ascending.
    pub packs: Vec<u64>,
}

/// Looks at the names.
pub fn find(objects: &dyn Objects) -> Result<Found> {
    let names = objects.list()?;
    let mut checkpoints: Vec<u64> = names.iter().filter_map(|name| number(name, ENDING)).collect();
    let mut packs: Vec<u64> = pack::numbers(&names).collect();
    checkpoints.sort_unstable();
    packs.sort_unstable();
    Ok(Found { checkpoints, packs })
}

impl Found {
    /// Removes all manifests but these two, then the packs that neither names.
    pub fn tidy<T>(&mut self, objects: &Arc<dyn Objects>, keep: &[&Manifest<T>]) -> Result<()> {
        for number in self.checkpoints.iter().filter(|number| keep.iter().all(|m| m.number != **number)) {
            objects.remove(&name(*number))?;
        }
        self.checkpoints = keep.iter().map(|manifest| manifest.number).collect();
        self.checkpoints.sort_unstable();
        let used = |pack: u64| keep.iter().any(|m| m.packs.iter().any(|used| used.pack == pack));
        for number in self.packs.iter().filter(|number| !used(**number)) {
            objects.remove(&pack::name(*number))?;
        }
        self.packs.retain(|pack| used(*pack));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryObjects;
    use super::*;

    #[test]
    fn the_first_format_is_read_and_later_ones_are_refused() {
        let objects = MemoryObjects::default();
        let manifest = Manifest {
            number: 1,
            owner: Owner::default(),
            epoch: Epoch(7),
            log: LogPlace::START,
            taken: 0,
            lost: vec![],
            packs: vec![],
            content: 5_u32,
        };
        manifest.put(&objects).unwrap();
        let written = objects.get(&name(1)).unwrap();
        let end = written.iter().position(|b| *b == b'\n').unwrap();
        for (format, expected) in [(FIRST, Ok(5)), (FORMAT, Ok(5)), (FORMAT + 1, Err(SqlState::FEATURE_NOT_SUPPORTED))]
        {
            let json = &written[end + 1..];
            let line = format!("{WORD} {format} {:08x}\n", checksum(&format.to_string(), json));
            objects.put(&name(2), Bytes::from([line.as_bytes(), json].concat())).unwrap();
            let read = Manifest::<u32>::get(&objects, 2).map(|manifest| manifest.content);
            assert_eq!(read.map_err(|error| error.code()), expected);
        }
    }
}
