//! Frames: a record's bytes behind a header. Detects what a disk can do to them.

use crate::data::{Packer, unpack};
use crate::error::{Error, Result};

use super::{Record, codec};

/// What a log begins with.
pub(super) const MAGIC: &[u8; 8] = b"HWLOG\0\0\x01";
/// The version of frames and payloads.
const VERSION: u8 = 1;
/// version, kind, length, crc.
const HEADER: usize = 10;
/// The bit of a kind that says that the payload is packed: how long it is otherwise, u32, then zstd.
const PACKED: u8 = 0x80;

/// Appends a record's frame to `bytes`.
pub(super) fn write(record: &Record, bytes: &mut Vec<u8>) -> Result<()> {
    let start = bytes.len();
    bytes.extend_from_slice(&[VERSION, codec::kind(record), 0, 0, 0, 0, 0, 0, 0, 0]);
    codec::encode(record, bytes)?;
    finish(start, bytes)
}

/// The same for a disk: packed, where the record is long and it helps.
pub(super) fn write_packed(record: &Record, packer: &mut Packer, bytes: &mut Vec<u8>) -> Result<()> {
    let start = bytes.len();
    write(record, bytes)?;
    let payload = &bytes[start + HEADER..];
    if let Some(packed) = packer.pack(payload)? {
        let length = (payload.len() as u32).to_le_bytes();
        bytes.truncate(start + HEADER);
        bytes[start + 1] |= PACKED;
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(packed);
        finish(start, bytes)?;
    }
    Ok(())
}

/// Fills in length and checksum of the frame that begins there.
fn finish(start: usize, bytes: &mut [u8]) -> Result<()> {
    let length = u32::try_from(bytes.len() - start - HEADER)
        .map_err(|_| Error::internal("a record of the input log is longer than 4 GiB"))?;
    bytes[start + 2..start + 6].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(&bytes[start..start + 6], &bytes[start + HEADER..]);
    bytes[start + 6..start + HEADER].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(payload);
    hasher.finalize()
}

/// A record that has not been decoded.
pub(super) struct Frame<'a> {
    kind: u8,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the beginning of some bytes, and its length; else what is wrong with it.
    pub(super) fn read(bytes: &'a [u8]) -> std::result::Result<(Self, usize), String> {
        let short = || "it ends inside a record".to_owned();
        let (header, rest) = bytes.split_at_checked(HEADER).ok_or_else(short)?;
        if header[0] != VERSION {
            return Err(format!("record version {} is unknown", header[0]));
        }
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = word(2) as usize;
        let payload = rest.get(..length).ok_or_else(short)?;
        if checksum(&header[..6], payload) != word(6) {
            return Err("the checksum does not match".to_owned());
        }
        Ok((Self { kind: header[1], payload }, HEADER + length))
    }

    /// Whether it says that a view left the clock, is paused, or resumed.
    pub(super) fn is_leave(&self) -> bool {
        matches!(self.kind, codec::LEAVE | codec::PAUSE)
    }

    /// The record.
    pub(super) fn decode(&self) -> Result<Record> {
        if self.kind & PACKED == 0 {
            return codec::decode(self.kind, self.payload);
        }
        let damaged = || Error::internal("a packed record cannot be unpacked");
        let (length, packed) = self.payload.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = u32::from_le_bytes(*length) as usize;
        let payload = unpack(packed, length).ok_or_else(damaged)?;
        codec::decode(self.kind & !PACKED, &payload)
    }
}

/// Reads a log's bytes: the records in order.
///
/// Errors: `XX000` with the byte at which the log is damaged; reading ends there.
pub fn read(bytes: &[u8]) -> Result<Frames<'_>> {
    match bytes.strip_prefix(MAGIC.as_slice()) {
        Some(rest) => Ok(Frames { rest, at: MAGIC.len() }),
        None => Err(Error::internal("this is not an input log: it does not begin with the log's magic bytes")),
    }
}

/// The records of a log, in order.
pub struct Frames<'a> {
    rest: &'a [u8],
    at: usize,
}

impl Iterator for Frames<'_> {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let read = Frame::read(self.rest);
        let record = read.and_then(|(frame, length)| match frame.decode() {
            Ok(record) => Ok((record, length)),
            Err(error) => Err(error.message().to_owned()),
        });
        Some(match record {
            Ok((record, length)) => {
                self.at += length;
                self.rest = &self.rest[length..];
                Ok(record)
            }
            Err(what) => {
                self.rest = &[];
                Err(Error::internal(format!("the input log is damaged at byte {}: {what}", self.at)))
            }
        })
    }
}
