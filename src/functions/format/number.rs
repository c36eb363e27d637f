//! Numbers as texts, by templates.

use crate::error::{Error, Result};

/// A number by a template of 9 0 . , S MI PL SG L D G FM.
pub(super) fn write_number(digits: &str, format: &str) -> Result<String> {
    let upper = format.to_uppercase();
    let (fm, template) = match upper.strip_prefix("FM") {
        Some(rest) => (true, rest),
        None => (false, upper.as_str()),
    };
    if ["EEEE", "RN", "V", "TH", "PR"].iter().any(|p| template.contains(p)) {
        let what = format!("the format \"{format}\" of to_char");
        return Err(Error::unsupported(what, "Use 9, 0, the point, the comma, S, MI and FM."));
    }
    let number = Number::new(digits, template, fm);
    let mut out = number.before_point();
    if template.contains(['.', 'D']) {
        out.push('.');
        out.push_str(&number.behind_point());
    }
    if !number.sign(&mut out, template) {
        let blank = out.len() - out.trim_start_matches(' ').len();
        out.insert_str(blank, if number.minus { "-" } else { number.blank() });
    }
    Ok(if fm { out.trim().to_owned() } else { out })
}

/// A number, and the template on both sides of the point.
struct Number<'a> {
    fm: bool,
    negative: bool,
    /// What is shown of it is below zero.
    minus: bool,
    whole: String,
    fraction: String,
    before: &'a str,
    behind: &'a str,
    /// Digits that the template has room for before the point.
    slots: usize,
}

impl<'a> Number<'a> {
    fn new(digits: &str, template: &'a str, fm: bool) -> Self {
        let negative = digits.starts_with('-');
        let (before, behind) = template.split_once(['.', 'D']).unwrap_or((template, ""));
        let (whole, fraction) = rounded(digits.trim_start_matches('-'), behind.chars().filter(is_digit).count());
        let minus = negative && !(whole == "0" && fraction.chars().all(|c| c == '0'));
        let slots = before.chars().filter(is_digit).count();
        Self { fm, negative, minus, whole, fraction, before, behind, slots }
    }

    fn overflows(&self) -> bool {
        self.whole != "0" && self.whole.len() > self.slots
    }

    /// What stands where nothing does.
    fn blank(&self) -> &'static str {
        if self.fm { "" } else { " " }
    }

    fn before_point(&self) -> String {
        let (slots, overflows) = (self.slots, self.overflows());
        let shown = if self.whole == "0" { "" } else { &self.whole };
        let padded = format!("{shown:>slots$}");
        let mut digits = padded.chars();
        let first_zero = self.before.chars().filter(is_digit).position(|c| c == '0');
        let (mut out, mut at, mut begun) = (String::new(), 0, false);
        for c in self.before.chars() {
            match c {
                '9' | '0' => {
                    let digit = digits.next().filter(|digit| *digit != ' ');
                    let last = at + 1 == slots && self.whole == "0" && self.fraction.is_empty();
                    let forced = (first_zero.is_some_and(|zero| at >= zero) || last).then_some('0');
                    at += 1;
                    match digit.or(forced) {
                        _ if overflows => out.push('#'),
                        Some(digit) => {
                            begun = true;
                            out.push(digit);
                        }
                        None => out.push_str(self.blank()),
                    }
                }
                ',' | 'G' => out.push_str(if begun || overflows { "," } else { self.blank() }),
                'S' => out.push(self.signum()),
                'L' => out.push(' '),
                other => out.push(other),
            }
        }
        out
    }

    fn behind_point(&self) -> String {
        if self.overflows() {
            return "#".repeat(self.fraction.len());
        }
        let kept = if self.fm { kept(self.behind, &self.fraction) } else { self.fraction.len() };
        self.fraction[..kept].to_owned()
    }

    fn signum(&self) -> char {
        if self.minus { '-' } else { '+' }
    }

    /// Puts the sign where the template has a place for it; whether there is one.
    fn sign(&self, out: &mut String, template: &str) -> bool {
        let marks = [
            ("MI", if self.minus { '-' } else { ' ' }),
            ("PL", if self.negative { ' ' } else { '+' }),
            ("SG", self.signum()),
        ];
        let found = marks.into_iter().filter(|(mark, _)| template.contains(mark));
        let mut signed = self.before.contains('S');
        for (mark, value) in found {
            signed = true;
            *out = out.replacen(mark, &value.to_string(), 1);
        }
        if self.behind.contains('S') {
            signed = true;
            out.push(self.signum());
        }
        signed
    }
}

fn is_digit(c: &char) -> bool {
    matches!(c, '9' | '0')
}

/// Digits behind the point that FM keeps: up to the last one that counts or that a 0 asks for.
fn kept(template: &str, fraction: &str) -> usize {
    let forced = template.chars().filter(is_digit).collect::<Vec<_>>();
    let forced = forced.iter().rposition(|c| *c == '0').map_or(0, |n| n + 1);
    fraction.trim_end_matches('0').len().max(forced)
}

/// Whole and fractional digits, rounded half away from zero.
fn rounded(digits: &str, places: usize) -> (String, String) {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let kept: String = fraction.chars().chain(std::iter::repeat('0')).take(places).collect();
    let up = fraction.chars().nth(places).is_some_and(|c| c >= '5');
    let mut all: Vec<u8> = whole.bytes().chain(kept.bytes()).collect();
    if up {
        let mut at = all.len();
        loop {
            if at == 0 {
                all.insert(0, b'1');
                break;
            }
            at -= 1;
            if all[at] == b'9' {
                all[at] = b'0';
            } else {
                all[at] += 1;
                break;
            }
        }
    }
    let text = String::from_utf8(all).unwrap_or_default();
    let (whole, fraction) = text.split_at(text.len() - places);
    let whole = whole.trim_start_matches('0');
    (if whole.is_empty() { "0".to_owned() } else { whole.to_owned() }, fraction.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_by_templates() {
        let check = |n: &str, format: &str, expected: &str| {
            assert_eq!(write_number(n, format).unwrap(), expected, "{n} by {format}");
        };
        check("1234.5", "9,999.99", " 1,234.50");
        check("-12.3", "999.9", " -12.3");
        check("12", "FM0000", "0012");
        check("0.5", "990.00", "   0.50");
        check("1234", "FM999", "###");
        check("0", "FM999990.99", "0.");
        check("485", "999MI", "485 ");
        check("0.1", "FM9.99", ".1");
    }
}
