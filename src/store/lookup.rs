//! How readers find rows of a chunk by identity: a sorted list, and a filter that tells, of a chunk on disk, that it need
//! not be read.

/// Filter bits per row.
const BITS: usize = 16;
/// Words of one row's block of the filter; one row sets two bits in each.
const WORDS: usize = 4;

/// Identities (their low halves) and positions, sorted.
#[derive(Debug)]
pub(super) struct Lookup {
    identities: Vec<u64>,
    positions: Vec<u32>,
}

impl Lookup {
    pub(super) fn new(identities: &[u128]) -> Self {
        let mut sorted: Vec<(u64, u32)> = identities.iter().map(|&i| i as u64).zip(0..).collect();
        sorted.sort_unstable();
        let (identities, positions) = sorted.into_iter().unzip();
        Self { identities, positions }
    }

    /// Positions of rows whose identity may be this one.
    pub(super) fn candidates(&self, identity: u128) -> &[u32] {
        let low = identity as u64;
        let start = self.identities.partition_point(|i| *i < low);
        let count = self.identities[start..].iter().take_while(|i| **i == low).count();
        &self.positions[start..start + count]
    }

    pub(super) fn bytes(rows: usize) -> usize {
        rows * (size_of::<u64>() + size_of::<u32>())
    }
}

/// A Bloom filter in blocks of a cache line's half: one of a thousand that are not there passes.
#[derive(Debug)]
pub(super) struct Filter(Vec<[u64; WORDS]>);

impl Filter {
    pub(super) fn new(identities: &[u128]) -> Self {
        let blocks = (identities.len() * BITS).div_ceil(WORDS * 64).max(1);
        let mut filter = Self(vec![[0; WORDS]; blocks]);
        for identity in identities {
            let block = filter.block(*identity);
            let mask = mask(*identity);
            filter.0[block].iter_mut().zip(mask).for_each(|(word, bits)| *word |= bits);
        }
        filter
    }

    pub(super) fn may_have(&self, identity: u128) -> bool {
        self.0[self.block(identity)].iter().zip(mask(identity)).all(|(word, bits)| word & bits == bits)
    }

    fn block(&self, identity: u128) -> usize {
        let high = (identity >> 96) as usize;
        (high * self.0.len()) >> 32
    }

    pub(super) fn bytes(rows: usize) -> usize {
        (rows * BITS).div_ceil(8)
    }
}

/// Two bits of each word, from bits of the identity that choose no block.
fn mask(identity: u128) -> [u64; WORDS] {
    let low = identity as u64;
    std::array::from_fn(|word| {
        let bits = low >> (word * 12);
        1 << (bits & 63) | 1 << (bits >> 6 & 63)
    })
}
