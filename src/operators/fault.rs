//! x
/// x
pub const ALL: [&str; 1] = ["a"];
/// x
pub fn set(_: Option<&str>) {}
