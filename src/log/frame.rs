//! Frames: a record's bytes between a header and nothing. Detects what a disk can do to them.

use crate::error::{Error, Result};

use super::{Record, codec};

/// What a log begins with.
pub(super) const MAGIC: &[u8; 8] = b"HWLOG\0\0\x01";
/// The version of frames and payloads.
const VERSION: u8 = 1;
/// version, kind, length, crc.
const HEADER: usize = 10;

/// Appends a record's frame to `bytes`.
pub(super) fn write(record: &Record, bytes: &mut Vec<u8>) -> Result<()> {
    let start = bytes.len();
    bytes.extend_from_slice(&[VERSION, codec::kind(record), 0, 0, 0, 0, 0, 0, 0, 0]);
    codec::encode(record, bytes)?;
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
        let record = self.frame();
        if record.is_err() {
            self.rest = &[];
        }
        Some(record)
    }
}

impl Frames<'_> {
    fn frame(&mut self) -> Result<Record> {
        let damaged = |what: &str| Error::internal(format!("the input log is damaged at byte {}: {what}", self.at));
        let (header, rest) = self.rest.split_at_checked(HEADER).ok_or_else(|| damaged("it ends inside a record"))?;
        if header[0] != VERSION {
            return Err(damaged(&format!("record version {} is unknown", header[0])));
        }
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = word(2) as usize;
        let (payload, rest) = rest.split_at_checked(length).ok_or_else(|| damaged("it ends inside a record"))?;
        if checksum(&header[..6], payload) != word(6) {
            return Err(damaged("the checksum does not match"));
        }
        let record = codec::decode(header[1], payload).map_err(|e| damaged(e.message()))?;
        self.at += HEADER + length;
        self.rest = rest;
        Ok(record)
    }
}
