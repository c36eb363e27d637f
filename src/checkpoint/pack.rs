//! Packs: parts one behind the other in an object, long ones in fewer bytes (zstd), each with a checksum where it is named.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::data;
use crate::error::{Error, Result, SqlState};

use super::Objects;

const MAGIC: &[u8; 8] = b"HWPACK\0\x01";
/// magic, number.
const HEADER: usize = 16;
/// Bytes of a pack, above which the next one begins: it is put together in memory.
const PACK_BYTES: usize = 8 << 20;

/// Where some bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PartRef {
    /// The pack's number.
    pub pack: u64,
    /// The first byte.
    pub at: u64,
    /// How many.
    pub bytes: u64,
    /// Their crc32.
    pub crc: u32,
    /// How many they are otherwise, when they are packed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpacked: Option<u64>,
}

/// A pack's name.
pub(super) fn name(number: u64) -> String {
    format!("{number:020}.pack")
}

/// How long a pack is.
pub fn pack_bytes(objects: &dyn Objects, number: u64) -> Result<u64> {
    objects.size(&name(number))
}

/// The number in a name.
pub(super) fn number(name: &str, ending: &str) -> Option<u64> {
    name.strip_suffix(ending).filter(|digits| digits.len() == 20).and_then(|digits| digits.parse().ok())
}

/// Numbers of packs, from their names.
pub(super) fn numbers(names: &[String]) -> impl Iterator<Item = u64> + '_ {
    names.iter().filter_map(|name| number(name, ".pack"))
}

/// Writes parts into packs.
pub struct Writer {
    packer: data::Packer,
    packs: Packs,
}

/// Puts packs, one after the other.
struct Packs {
    objects: Arc<dyn Objects>,
    /// The pack that is filled.
    number: u64,
    bytes: Vec<u8>,
    /// Those that were put, and their bytes.
    put: Vec<(u64, u64)>,
}

impl Writer {
    /// Begins with this number.
    pub fn new(objects: Arc<dyn Objects>, number: u64) -> Result<Self> {
        Ok(Self { packer: data::Packer::new()?, packs: Packs { objects, number, bytes: vec![], put: vec![] } })
    }

    /// Adds a part; it is there when [`Self::finish`] has returned.
    pub fn add(&mut self, part: &[u8]) -> Result<PartRef> {
        match self.packer.pack(part)? {
            Some(packed) => self.packs.place(packed, Some(part.len() as u64)),
            None => self.packs.place(part, None),
        }
    }

    /// Adds a part as it is in another pack.
    ///
    /// Errors: those of [`Parts::get`].
    pub fn copy(&mut self, part: &PartRef, from: &Parts) -> Result<PartRef> {
        self.packs.place(&from.raw(part)?, part.unpacked)
    }

    /// Bytes that were added.
    pub fn bytes(&self) -> u64 {
        self.packs.put.iter().map(|(_, bytes)| bytes).sum::<u64>() + self.packs.bytes.len() as u64
    }

    /// Puts what is left; gives the packs that were put, with their bytes.
    pub fn finish(mut self) -> Result<Vec<(u64, u64)>> {
        self.packs.flush()?;
        Ok(self.packs.put)
    }
}

impl Packs {
    fn place(&mut self, part: &[u8], unpacked: Option<u64>) -> Result<PartRef> {
        if !self.bytes.is_empty() && self.bytes.len() + part.len() > PACK_BYTES {
            self.flush()?;
        }
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(MAGIC);
            self.bytes.extend_from_slice(&self.number.to_le_bytes());
        }
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(part);
        Ok(PartRef { pack: self.number, at, bytes: part.len() as u64, crc: crc32fast::hash(part), unpacked })
    }

    fn flush(&mut self) -> Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        let length = bytes.len() as u64;
        self.objects.put(&name(self.number), bytes)?;
        self.put.push((self.number, length));
        self.number += 1;
        Ok(())
    }
}

/// Reads parts.
#[derive(Clone)]
pub struct Parts(pub Arc<dyn Objects>);

impl Parts {
    /// The bytes of a part.
    ///
    /// Errors: `XX001` they are not what was written (with object and byte), `58P01` the pack is gone, `58030`.
    pub fn get(&self, part: &PartRef) -> Result<Bytes> {
        let bytes = self.raw(part)?;
        let Some(length) = part.unpacked else { return Ok(bytes) };
        let unpacked = data::unpack(&bytes, length as usize);
        unpacked.map(Bytes::from).ok_or_else(|| self.damaged(part, "it cannot be unpacked"))
    }

    /// The bytes as they lie there.
    fn raw(&self, part: &PartRef) -> Result<Bytes> {
        let bytes = self.0.get_range(&name(part.pack), part.at, part.bytes)?;
        if crc32fast::hash(&bytes) == part.crc {
            return Ok(bytes);
        }
        Err(self.damaged(part, "the checksum does not match"))
    }

    fn damaged(&self, part: &PartRef, what: &str) -> Error {
        let (path, end) = (self.0.path(&name(part.pack)), part.at + part.bytes);
        let message = format!("\"{path}\" is damaged between bytes {} and {end}: {what}", part.at);
        Error::new(SqlState::DATA_CORRUPTED, message)
    }

    /// Whether a pack begins as it should: for a check of all bytes.
    pub fn check_header(&self, number: u64) -> Result<()> {
        let name = name(number);
        let header = self.0.get_range(&name, 0, HEADER as u64)?;
        if header.starts_with(MAGIC) && header[8..] == number.to_le_bytes() {
            return Ok(());
        }
        let message = format!("\"{}\" is damaged at byte 0: it has no pack's header", self.0.path(&name));
        Err(Error::new(SqlState::DATA_CORRUPTED, message))
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryObjects;
    use super::*;

    #[test]
    fn long_parts_are_packed_and_move_as_they_are() {
        let objects: Arc<dyn Objects> = Arc::new(MemoryObjects::default());
        let parts = Parts(Arc::clone(&objects));
        let all = [vec![7; 100], vec![1; 1 << 20], vec![]];
        let mut writer = Writer::new(Arc::clone(&objects), 1).unwrap();
        let refs: Vec<PartRef> = all.iter().map(|part| writer.add(part).unwrap()).collect();
        assert_eq!(refs.iter().map(|part| part.unpacked).collect::<Vec<_>>(), [None, Some(1 << 20), None]);
        assert!(writer.bytes() < 10_000);
        assert_eq!(writer.finish().unwrap().len(), 1);
        let mut writer = Writer::new(Arc::clone(&objects), 2).unwrap();
        let moved: Vec<PartRef> = refs.iter().rev().map(|part| writer.copy(part, &parts).unwrap()).collect();
        writer.finish().unwrap();
        for (part, expected) in refs.iter().chain(moved.iter().rev()).zip(all.iter().chain(&all)) {
            assert_eq!(parts.get(part).unwrap(), expected);
        }
        let wrong = PartRef { unpacked: Some((1 << 20) - 1), ..refs[1] };
        let message = parts.get(&wrong).unwrap_err().message().to_owned();
        assert!(message.ends_with("it cannot be unpacked"), "{message}");
    }
}
