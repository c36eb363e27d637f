//! The ids of a chunk's rows, ascending, in few bytes.

/// Ids of one block: its first is kept whole, the others as how far they are from it.
const BLOCK: usize = 256;

/// The ids of a chunk's rows.
#[derive(Clone, Debug)]
pub(super) enum Ids {
    /// Consecutive ones.
    From(u64),
    /// Any, ascending (after a merge left deleted rows out).
    Listed(Listed),
}

/// Ascending ids: the first of each block, and for each how far it is from that.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    firsts: Vec<u64>,
    offsets: Offsets,
}

#[derive(Clone, Debug)]
enum Offsets {
    Narrow(Vec<u16>),
    Middle(Vec<u32>),
    Wide(Vec<u64>),
}

impl Ids {
    /// Of a list that ascends.
    pub(super) fn of(list: &[u64]) -> Self {
        debug_assert!(list.is_sorted());
        match (list.first(), list.last()) {
            (Some(first), Some(last)) if (last - first) as usize + 1 == list.len() => Self::From(*first),
            (Some(_), Some(_)) => Self::Listed(Listed::of(list)),
            (None, _) | (_, None) => Self::From(0),
        }
    }

    pub(super) fn id(&self, position: usize) -> u64 {
        match self {
            Self::From(first) => first + position as u64,
            Self::Listed(listed) => listed.firsts[position / BLOCK] + listed.offsets.get(position),
        }
    }

    /// Where an id is; behind the last row, where ids are consecutive, too.
    pub(super) fn position(&self, id: u64) -> Option<usize> {
        match self {
            Self::From(first) => usize::try_from(id.checked_sub(*first)?).ok(),
            Self::Listed(listed) => listed.position(id),
        }
    }

    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::From(_) => 0,
            Self::Listed(Listed { firsts, offsets }) => firsts.len() * size_of::<u64>() + offsets.bytes(),
        }
    }
}

impl Listed {
    fn of(list: &[u64]) -> Self {
        let firsts: Vec<u64> = list.chunks(BLOCK).map(|block| block[0]).collect();
        let offsets = || list.iter().enumerate().map(|(i, id)| id - firsts[i / BLOCK]);
        let widest = offsets().max().unwrap_or_default();
        // `as` cuts nothing off: none is wider than the widest.
        let offsets = if widest <= u64::from(u16::MAX) {
            Offsets::Narrow(offsets().map(|o| o as u16).collect())
        } else if widest <= u64::from(u32::MAX) {
            Offsets::Middle(offsets().map(|o| o as u32).collect())
        } else {
            Offsets::Wide(offsets().collect())
        };
        Self { firsts, offsets }
    }

    fn position(&self, id: u64) -> Option<usize> {
        let block = self.firsts.partition_point(|first| *first <= id).checked_sub(1)?;
        let offset = id - self.firsts[block];
        match &self.offsets {
            Offsets::Narrow(all) => search(all, block, u16::try_from(offset).ok()?),
            Offsets::Middle(all) => search(all, block, u32::try_from(offset).ok()?),
            Offsets::Wide(all) => search(all, block, offset),
        }
    }
}

fn search<T: Ord>(all: &[T], block: usize, offset: T) -> Option<usize> {
    let begin = block * BLOCK;
    let end = all.len().min(begin + BLOCK);
    all[begin..end].binary_search(&offset).ok().map(|at| begin + at)
}

impl Offsets {
    fn get(&self, position: usize) -> u64 {
        match self {
            Self::Narrow(all) => u64::from(all[position]),
            Self::Middle(all) => u64::from(all[position]),
            Self::Wide(all) => all[position],
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Narrow(all) => size_of_val(all.as_slice()),
            Self::Middle(all) => size_of_val(all.as_slice()),
            Self::Wide(all) => size_of_val(all.as_slice()),
        }
    }
}
