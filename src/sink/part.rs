//! The names of a sink's files in its folder.
//!
//! ```text
//!  sales-00000000000000000017-00000000000000000042.parquet        a part: the changes of epochs 17 to 42
//!  .sales-00000000000000000043-00000000000000000051.parquet.tmp   a part that is being written
//!  .sales.sink                                                    the manifest: up to which epoch it is
//! ```
//!
//! Digits are as many as an epoch can have, so that the order of the names is that of the epochs.

use std::fmt::Write;

use crate::data::Epoch;

/// Digits of an epoch.
const DIGITS: usize = 20;
/// What hides a file from patterns, and says that it is not done.
const HIDDEN: &str = ".";
const UNDONE: &str = ".tmp";

/// A part, by the epochs whose changes it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) first: Epoch,
    pub(super) last: Epoch,
}

impl Part {
    /// `sales-..-...json`
    pub(super) fn name(self, prefix: &str, ending: &str) -> String {
        format!("{prefix}-{:0DIGITS$}-{:0DIGITS$}.{ending}", self.first.0, self.last.0)
    }

    /// The part that a file of this prefix is.
    pub(super) fn parse(name: &str, prefix: &str) -> Option<Self> {
        let rest = name.strip_prefix(prefix)?.strip_prefix('-')?;
        let (first, rest) = rest.split_at_checked(DIGITS)?;
        let (last, ending) = rest.strip_prefix('-')?.split_at_checked(DIGITS)?;
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        ending.strip_prefix('.').filter(|ending| !ending.is_empty() && !ending.contains('.'))?;
        Some(Self { first: Epoch(number(first)?), last: Epoch(number(last)?) })
    }
}

/// What a part is called while it is written.
pub(super) fn undone(name: &str) -> String {
    format!("{HIDDEN}{name}{UNDONE}")
}

/// Whether a file is a part of this prefix that was not done.
pub(super) fn is_undone(name: &str, prefix: &str) -> bool {
    let inner = name.strip_prefix(HIDDEN).and_then(|name| name.strip_suffix(UNDONE));
    inner.is_some_and(|name| Part::parse(name, prefix).is_some())
}

/// What the manifest is called.
pub(super) fn manifest(prefix: &str) -> String {
    format!("{HIDDEN}{prefix}.sink")
}

/// A sink's name as the beginning of file names: what is not a letter, a digit, `_`, `-` or a later `.` is written as `%` and
/// its bytes.
pub(super) fn prefix(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') || c == '.' && i > 0 {
            out.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                // Strings take whatever is written.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_order_as_epochs() {
        let part = |first, last| Part { first: Epoch(first), last: Epoch(last) };
        for (first, last) in [(0, 0), (9, 10), (1, u64::MAX)] {
            for name in ["k", "a-b", "k-00000000000000000001", "ü/..%"] {
                let prefix = prefix(name);
                let name = part(first, last).name(&prefix, "json");
                assert_eq!(Part::parse(&name, &prefix), Some(part(first, last)));
                assert!(is_undone(&undone(&name), &prefix) && !is_undone(&name, &prefix));
                assert!(!name.contains('/') && !name.starts_with('.'));
            }
        }
        assert!(part(9, 9).name("k", "csv") < part(10, 11).name("k", "csv"));
    }

    #[test]
    fn other_files_are_nobodys() {
        let name = Part { first: Epoch(1), last: Epoch(2) }.name("k-a", "json");
        assert_eq!(Part::parse(&name, "k"), None);
        assert_eq!(Part::parse(&name[..name.len() - 5], "k-a"), None);
        for other in ["k.json", "k-1-2.json", "k-", "k-+0000000000000000001-00000000000000000002.json"] {
            assert_eq!(Part::parse(other, "k"), None, "{other}");
        }
        assert_eq!((prefix(".k"), prefix("a b"), prefix("ü")), ("%2Ek".into(), "a%20b".into(), "%C3%BC".into()));
    }
}
