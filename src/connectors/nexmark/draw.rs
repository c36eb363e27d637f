//! Random numbers that are a pure function of the seed, the event's number and what they are for.
//!
//! Each column draws for itself, so a stream may leave columns out and the others stay the same.

/// Draws for one purpose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw(u64);

impl Draw {
    /// `purpose` tells draws of one event apart.
    pub(super) fn new(seed: u64, purpose: u64) -> Self {
        Self(mix(seed ^ mix(purpose.wrapping_add(0x51_7c_c1_b7_27_22_0a_95))))
    }

    /// 64 random bits for an event.
    pub(super) fn bits(self, event: u64) -> u64 {
        mix(self.0.wrapping_add(event.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// A number below `limit`, all as likely.
    pub(super) fn below(self, event: u64, limit: u64) -> u64 {
        ((u128::from(self.bits(event)) * u128::from(limit)) >> 64) as u64
    }

    /// True for `one` of `of` events.
    pub(super) fn one_of(self, event: u64, of: u64) -> bool {
        self.below(event, of) == 0
    }
}

/// SplitMix64's finisher.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
