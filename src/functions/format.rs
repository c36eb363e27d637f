//! To come.
use super::native::Function;

pub(super) const ALL: &[&Function] = &[];
