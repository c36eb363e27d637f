//! Formats of times, taken apart into patterns and what stands between them.

#[rustfmt::skip]
pub(super) const MONTHS: [&str; 12] = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
];
pub(super) const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
pub(super) const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// Patterns, longest first where one begins another.
#[rustfmt::skip]
const PATTERNS: [&str; 58] = [
    "Y,YYY", "YYYY", "IYYY", "YYY", "IYY", "YY", "IY", "Y", "MONTH", "Month", "month", "MON", "Mon", "mon", "MM",
    "DAY", "Day", "day", "DDD", "DD", "DY", "Dy", "dy", "D", "IDDD", "ID", "HH24", "HH12", "HH", "MI", "SSSSS", "SSSS",
    "SS", "MS", "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "AM", "PM", "am", "pm", "A.M.", "P.M.", "a.m.", "p.m.",
    "IW", "WW", "W", "Q", "CC", "J", "TZH", "TZM", "RM",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Pattern { name: &'static str, fill: bool, ordinal: Option<bool> },
    Zone { upper: bool },
    Offset,
    Era,
    Literal(String),
}

pub(super) fn pieces(format: &str) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut rest = format;
    let mut fill = true;
    while let Some(c) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            out.push(Piece::Literal(quoted[..end].to_owned()));
            rest = quoted.get(end + 1..).unwrap_or("");
            continue;
        }
        if let Some(after) = rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
            fill = false;
            rest = after;
            continue;
        }
        // Patterns of digits are the same in any case.
        let matches =
            |p: &&&str| rest.get(..p.len()).is_some_and(|r| r == **p || (is_digits(p) && r.eq_ignore_ascii_case(p)));
        if let Some(name) = PATTERNS.iter().filter(matches).max_by_key(|p| p.len()) {
            rest = &rest[name.len()..];
            let ordinal = match rest.get(..2) {
                Some("TH") => Some(true),
                Some("th") => Some(false),
                _ => None,
            };
            if ordinal.is_some() {
                rest = &rest[2..];
            }
            out.push(Piece::Pattern { name, fill, ordinal });
            fill = true;
        } else if rest.starts_with("TZ") || rest.starts_with("tz") {
            out.push(Piece::Zone { upper: rest.starts_with("TZ") });
            rest = &rest[2..];
        } else if rest.starts_with("OF") {
            out.push(Piece::Offset);
            rest = &rest[2..];
        } else if let Some(name) = ["BC", "AD", "bc", "ad"].iter().find(|e| rest.starts_with(**e)) {
            out.push(Piece::Era);
            rest = &rest[name.len()..];
        } else {
            out.push(Piece::Literal(c.to_string()));
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// Whether a pattern stands for digits, and may be written in any case.
pub(super) fn is_digits(pattern: &str) -> bool {
    #[rustfmt::skip]
    const WORDS: [&str; 21] = [
        "MONTH", "Month", "month", "MON", "Mon", "mon", "DAY", "Day", "day", "DY", "Dy", "dy", "AM", "PM", "am", "pm",
        "A.M.", "P.M.", "a.m.", "p.m.", "RM",
    ];
    !WORDS.contains(&pattern)
}

/// The last format, taken apart; formats are mostly constants.
#[derive(Default)]
pub(super) struct Formats {
    last: Option<(String, Vec<Piece>)>,
}

impl Formats {
    pub fn get(&mut self, format: &str) -> &[Piece] {
        if self.last.as_ref().is_none_or(|(f, _)| f != format) {
            self.last = Some((format.to_owned(), pieces(format)));
        }
        self.last.as_ref().map_or(&[], |(_, p)| p)
    }
}
