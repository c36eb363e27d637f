//! Typed WITH options: every option is taken by name, and what nobody knows is an error that names the nearest.

use std::fmt::Display;
use std::str::FromStr;

use crate::error::{Error, Result, SqlState};

/// The options of one connector or encoding, checked against the names it knows.
#[derive(Debug)]
pub(crate) struct Options<'a> {
    /// What they belong to, for messages: `connector "file"`, `ENCODE CSV`.
    of: &'a str,
    given: &'a [(String, String)],
}

impl<'a> Options<'a> {
    /// Checks the names. `later` are refused by name, with a hint each.
    ///
    /// Errors: `22023` an option that is not known or given twice; `0A000` one of `later`.
    pub(crate) fn new(
        of: &'a str,
        given: &'a [(String, String)],
        known: &[&str],
        later: &[(&str, &str)],
    ) -> Result<Self> {
        for (at, (name, _)) in given.iter().enumerate() {
            if given[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(invalid(format!("option \"{name}\" is given more than once")));
            }
            if known.contains(&name.as_str()) {
                continue;
            }
            if let Some((_, hint)) = later.iter().find(|(later, _)| later == name) {
                return Err(Error::unsupported(format!("option \"{name}\" of {of}"), *hint));
            }
            let error = invalid(format!("{of} has no option \"{name}\""));
            return Err(match nearest(name, known.iter().copied()) {
                Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
                None if known.is_empty() => error.with_hint("It takes no options."),
                None => error.with_hint(format!("Its options are: {}.", known.join(", "))),
            });
        }
        Ok(Self { of, given })
    }

    /// The option's text.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.given.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The option's text; without it the connector cannot work.
    pub(crate) fn required(&self, name: &str, example: &str) -> Result<&'a str> {
        self.text(name).ok_or_else(|| {
            invalid(format!("{} needs option \"{name}\"", self.of))
                .with_hint(format!("Add {name} = {example} to WITH (..)."))
        })
    }

    /// A value that Rust can parse; `expected` says what it should have been.
    pub(crate) fn parse<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>> {
        match self.text(name) {
            None => Ok(None),
            Some(text) => text.trim().parse().map(Some).map_err(|_| bad_value(name, text, expected)),
        }
    }

    /// A value read by a function of the caller's.
    pub(crate) fn read<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.text(name) {
            None => Ok(None),
            Some(text) => read(text.trim()).map(Some).ok_or_else(|| bad_value(name, text, expected)),
        }
    }

    /// `max_ahead`, in microseconds.
    pub(crate) fn max_ahead(&self) -> Result<Option<i64>> {
        self.read("max_ahead", "a duration, as '1 hour'", duration_micros)
    }

    /// `true`, `false` and PostgreSQL's other spellings of them.
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>> {
        self.read(name, "true or false", |text| match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "on" | "yes" | "1" => Some(true),
            "false" | "f" | "off" | "no" | "0" => Some(false),
            _ => None,
        })
    }
}

/// `22023`.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// `22023` that names the option and its value.
pub(crate) fn bad_value(name: &str, value: impl Display, expected: &str) -> Error {
    invalid(format!("invalid value for option \"{name}\": \"{value}\"")).with_hint(format!("Expected {expected}."))
}

/// The name that was probably meant.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&given, &name.to_lowercase()), name))
        .filter(|(likeness, name)| {
            // Two names that share one letter of three are alike to Jaro and Winkler, and to nobody else.
            let longer = given.chars().count().max(name.chars().count());
            *likeness >= 0.75 && 2 * strsim::levenshtein(&given, &name.to_lowercase()) <= longer
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// A duration as `250ms`, `15 s`, `15 seconds`, `2 hours`, or a bare number of seconds; in microseconds.
pub(crate) fn duration_micros(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "us" | "microsecond" | "microseconds" => 1.0,
        "ms" | "millisecond" | "milliseconds" => 1e3,
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1e6,
        "m" | "min" | "mins" | "minute" | "minutes" => 60e6,
        "h" | "hour" | "hours" => 3600e6,
        "d" | "day" | "days" => 86400e6,
        _ => return None,
    };
    let micros = number * unit;
    (micros <= 1e17).then_some(micros.round() as i64)
}
