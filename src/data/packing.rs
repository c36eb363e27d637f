//! Bytes packed for the disk: in the input log and in checkpoints.

use crate::error::Result;

/// Bytes from which on packing is tried: it costs less than the disk takes for what it saves.
const PACK_FROM: usize = 16 << 10;
/// zstd's level: the fastest of those that find most.
const LEVEL: i32 = 1;
/// Bytes of memory that wait for the next piece at most.
const KEPT: usize = 32 << 20;

/// Packs one piece of bytes after the other, always in the same memory.
pub struct Packer {
    zstd: zstd::bulk::Compressor<'static>,
    packed: Vec<u8>,
}

impl Packer {
    /// With no memory yet.
    pub fn new() -> Result<Self> {
        Ok(Self { zstd: zstd::bulk::Compressor::new(LEVEL)?, packed: vec![] })
    }

    /// The same in fewer bytes, with zstd; `None` where they are few, or it does not help.
    pub fn pack(&mut self, bytes: &[u8]) -> Result<Option<&[u8]>> {
        if bytes.len() < PACK_FROM {
            return Ok(None);
        }
        self.packed.clear();
        self.packed.shrink_to(KEPT);
        self.packed.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        let length = self.zstd.compress_to_buffer(bytes, &mut self.packed)?;
        Ok((length + length / 8 < bytes.len()).then_some(&self.packed[..]))
    }
}

/// What was packed, when it was so many bytes; `None`: it was not.
pub fn unpack(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    zstd::bulk::decompress(packed, length).ok().filter(|bytes| bytes.len() == length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_and_repeats_is_packed() {
        let long: Vec<u8> = (0..100_000_u32).flat_map(|i| (i % 1000).to_le_bytes()).collect();
        let mut packer = Packer::new().unwrap();
        let packed = packer.pack(&long).unwrap().unwrap().to_vec();
        assert!(packed.len() < long.len() / 4);
        assert_eq!(unpack(&packed, long.len()), Some(long.clone()));
        for wrong in [long.len() - 1, long.len() + 1] {
            assert_eq!(unpack(&packed, wrong), None);
        }
        assert_eq!(unpack(&long, 10), None);
        assert_eq!(packer.pack(&long[..1000]).unwrap(), None);
        let mut word = 1_u64;
        let mut random = || {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (word >> 33) as u8
        };
        assert_eq!(packer.pack(&(0..100_000).map(|_| random()).collect::<Vec<_>>()).unwrap(), None);
    }
}
