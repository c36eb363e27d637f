//! What SET, SHOW and RESET know: every setting with its type, default and scope, and one session's values.

use std::collections::BTreeMap;

use crate::config::{SERVER_VERSION, SERVER_VERSION_NUM, SUBSCRIBE_BUFFER_BYTES};
use crate::data::text::TimeZone;
use crate::error::{Error, Result, SqlState};

/// What values a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `on`, `off`.
    Bool,
    /// A whole number.
    Int(i64, i64),
    /// Milliseconds; units us, ms, s, min, h, d are understood.
    Duration,
    /// Bytes; units B, kB, MB, GB are understood.
    Bytes,
    /// One of these words.
    Enum(&'static [&'static str]),
    /// The first of these words; the others are PostgreSQL's too, and refused by name.
    Only(&'static [&'static str]),
    /// Digits of floats: those that print floats exactly.
    ExactDigits,
    /// Any text.
    Text,
    /// An IANA name or an offset.
    Zone,
    /// `ISO` and a field order.
    DateStyle,
}

/// Who may change a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// SET, for this session.
    Session,
    /// ALTER SYSTEM, for all.
    System,
    /// Nobody: it tells a fact.
    Fixed,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Definition {
    pub name: &'static str,
    pub default: &'static str,
    pub kind: Kind,
    pub scope: Scope,
    /// Told to clients whenever it changes (ParameterStatus).
    pub reported: bool,
    pub description: &'static str,
}

const fn session(name: &'static str, default: &'static str, kind: Kind, description: &'static str) -> Definition {
    Definition { name, default, kind, scope: Scope::Session, reported: false, description }
}

const fn reported(name: &'static str, default: &'static str, kind: Kind, description: &'static str) -> Definition {
    Definition { name, default, kind, scope: Scope::Session, reported: true, description }
}

const fn system(name: &'static str, default: &'static str, kind: Kind, description: &'static str) -> Definition {
    Definition { name, default, kind, scope: Scope::System, reported: false, description }
}

const fn fixed(name: &'static str, default: &'static str, description: &'static str) -> Definition {
    Definition { name, default, kind: Kind::Text, scope: Scope::Fixed, reported: false, description }
}

const fn fact(name: &'static str, default: &'static str, description: &'static str) -> Definition {
    Definition { name, default, kind: Kind::Text, scope: Scope::Fixed, reported: true, description }
}

const ISOLATION: Kind = Kind::Enum(&["serializable", "repeatable read", "read committed", "read uncommitted"]);
const ONLY_OFF: Kind = Kind::Enum(&["off"]);
const ONLY_ON: Kind = Kind::Enum(&["on"]);
const ONLY_ZERO: Kind = Kind::Int(0, 0);

/// All settings, by name as SHOW ALL lists them.
#[rustfmt::skip]
pub(super) const ALL: &[Definition] = &[
    reported("application_name", "", Kind::Text, "The client's name for itself."),
    session("background_ddl", "off", Kind::Bool, "CREATE MATERIALIZED VIEW returns before the view has joined the clock."),
    fixed("block_size", "8192", "PostgreSQL's page size."),
    session("bytea_output", "hex", Kind::Only(&["hex", "escape"]), "Text form of bytea."),
    system("checkpoint_interval", "10s", Kind::Duration, "How often a checkpoint is taken, if anything has changed."),
    reported("client_encoding", "UTF8", Kind::Enum(&["UTF8"]), "Encoding of text on the wire."),
    session("client_min_messages", "notice", Kind::Enum(&["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"]), "The least severe message that is sent."),
    reported("DateStyle", "ISO, MDY", Kind::DateStyle, "Text form of dates."),
    session("default_transaction_deferrable", "off", ONLY_OFF, "Transactions never wait for each other's end."),
    session("default_transaction_isolation", "serializable", ISOLATION, "All levels run as the strictest."),
    reported("default_transaction_read_only", "off", Kind::Bool, "Whether transactions begin as READ ONLY."),
    system("epoch_interval", "0", Kind::Duration, "How long an epoch stays open."),
    session("escape_string_warning", "on", Kind::Bool, "No such warning exists: strings are standard."),
    session("extra_float_digits", "1", Kind::ExactDigits, "Floats are printed exactly, in as few digits as that takes."),
    system("history", "1min", Kind::Duration, "How long changes of tables and views are kept for SUBSCRIBE and SELECT .. AS OF."),
    session("idle_in_transaction_session_timeout", "0", ONLY_ZERO, "Transactions may idle."),
    session("idle_session_timeout", "0", ONLY_ZERO, "Sessions may idle."),
    system("idle_timeout", "10s", Kind::Duration, "A silent partition stops holding back the others after this time."),
    fact("in_hot_standby", "off", "Whether the server is a replica."),
    fact("integer_datetimes", "on", "Timestamps are integers on the wire."),
    reported("IntervalStyle", "postgres", Kind::Only(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]), "Text form of intervals."),
    fact("is_superuser", "on", "Whether the user may do everything."),
    session("jit", "off", Kind::Bool, "Compilation of expressions; there is none, whatever it says."),
    system("late_rows", "10000", Kind::Int(0, 10_000_000), "Newest rows of highwater.late_rows kept per view."),
    fixed("lc_collate", "C", "Texts are ordered by their bytes."),
    fixed("lc_ctype", "C", "Character classes."),
    session("lc_messages", "C", Kind::Enum(&["C", "en_US.UTF-8"]), "Language of messages."),
    session("lc_monetary", "C", Kind::Enum(&["C", "en_US.UTF-8"]), "Form of money."),
    session("lc_numeric", "C", Kind::Enum(&["C", "en_US.UTF-8"]), "Form of numbers."),
    session("lc_time", "C", Kind::Enum(&["C", "en_US.UTF-8"]), "Form of dates."),
    session("lock_timeout", "0", Kind::Duration, "No statement ever waits for a lock."),
    fixed("max_connections", "1000", "Clients at once."),
    fixed("max_identifier_length", "63", "Bytes of a name in PostgreSQL."),
    fixed("max_index_keys", "32", "Columns of a key in PostgreSQL."),
    system("max_lag", "10s", Kind::Duration, "A view that holds the others back for longer leaves the clock."),
    session("read_mode", "acknowledged", Kind::Enum(&["acknowledged", "latest"]), "Whether SELECT waits for writes acknowledged before it."),
    session("row_security", "on", Kind::Bool, "There are no policies."),
    session("search_path", "\"$user\", public", Kind::Text, "Schemas of names without one."),
    fact("server_encoding", "UTF8", "Encoding of stored text."),
    fact("server_version", SERVER_VERSION, "The PostgreSQL version that clients may count on."),
    fixed("server_version_num", SERVER_VERSION_NUM, "The same as a number."),
    fact("session_authorization", "", "The user."),
    fact("standard_conforming_strings", "on", "Backslashes are ordinary in strings."),
    session("statement_timeout", "0", Kind::Duration, "Statements that run longer are cancelled; 0: none are."),
    session("subscribe_buffer", "64MB", Kind::Bytes, "Bytes that a subscriber may leave unread before it is ended."),
    session("synchronous_commit", "on", ONLY_ON, "COMMIT returns when the log has it."),
    reported("TimeZone", "UTC", Kind::Zone, "Time zone of timestamptz in text."),
    session("transaction_deferrable", "off", ONLY_OFF, "Of the running transaction."),
    session("transaction_isolation", "serializable", ISOLATION, "Of the running transaction."),
    session("transaction_read_only", "off", Kind::Bool, "Of the running transaction."),
    fixed("wal_level", "logical", "PostgreSQL's word for what a log tells."),
    session("xmloption", "content", Kind::Enum(&["content", "document"]), "There is no XML."),
];

/// Finds a setting, in any case.
pub(super) fn find(name: &str) -> Result<&'static Definition> {
    let name = match name.to_ascii_lowercase().as_str() {
        "time zone" | "time_zone" => "timezone".to_owned(),
        other => other.to_owned(),
    };
    ALL.iter().find(|d| d.name.eq_ignore_ascii_case(&name)).ok_or_else(|| unknown(&name))
}

fn unknown(name: &str) -> Error {
    let message = format!("unrecognized configuration parameter \"{name}\"");
    let error = Error::new(SqlState::UNDEFINED_OBJECT, message);
    let near = ALL.iter().map(|d| (strsim::damerau_levenshtein(&d.name.to_ascii_lowercase(), name), d.name)).min();
    match near {
        Some((distance, near)) if distance <= 3 => error.with_hint(format!("Perhaps you meant \"{near}\".")),
        _ => error,
    }
}

/// One session's values: what differs from the defaults, and what RESET goes back to.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    current: BTreeMap<&'static str, String>,
    /// From the startup packet: what RESET and SET .. TO DEFAULT restore.
    startup: BTreeMap<&'static str, String>,
    /// Before SET LOCAL in the running transaction.
    before_local: BTreeMap<&'static str, Option<String>>,
}

impl Values {
    /// A setting of the session (a fact, a default, or what was SET).
    pub(super) fn get(&self, definition: &Definition) -> String {
        self.current.get(definition.name).cloned().unwrap_or_else(|| definition.default.to_owned())
    }

    /// By name; the name is one of [`ALL`].
    pub(super) fn named(&self, name: &str) -> String {
        find(name).map(|d| self.get(d)).unwrap_or_default()
    }

    /// A startup option. Facts may be given where clients do so (`user` becomes `session_authorization`).
    pub(super) fn start(&mut self, name: &str, value: &str) -> Result<()> {
        let definition = find(name)?;
        let value = check(definition, value)?;
        self.startup.insert(definition.name, value.clone());
        self.current.insert(definition.name, value);
        Ok(())
    }

    /// States a fact at the session's start, unchecked.
    pub(super) fn state(&mut self, name: &'static str, value: String) {
        self.startup.insert(name, value.clone());
        self.current.insert(name, value);
    }

    /// SET [LOCAL]; `None`: TO DEFAULT.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<()> {
        let definition = find(name)?;
        changeable(definition)?;
        let value = match value {
            Some(value) => Some(check(definition, value)?),
            None => self.startup.get(definition.name).cloned(),
        };
        let before = self.current.get(definition.name).cloned();
        if local {
            self.before_local.entry(definition.name).or_insert(before);
        } else {
            self.before_local.remove(definition.name);
        }
        self.put(definition.name, value);
        Ok(())
    }

    fn put(&mut self, name: &'static str, value: Option<String>) {
        match value {
            Some(value) => self.current.insert(name, value),
            None => self.current.remove(name),
        };
    }

    /// RESET ALL.
    pub(super) fn reset_all(&mut self) {
        self.current = self.startup.clone();
        self.before_local.clear();
    }

    /// The transaction ends: what SET LOCAL changed goes back.
    pub(super) fn end_transaction(&mut self) {
        for (name, value) in std::mem::take(&mut self.before_local) {
            self.put(name, value);
        }
    }

    pub(super) fn on(&self, name: &str) -> bool {
        self.named(name) == "on"
    }

    /// Milliseconds of a duration.
    pub(super) fn duration_ms(&self, name: &str) -> u64 {
        parse_duration(&self.named(name)).and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0)
    }

    pub(super) fn bytes(&self, name: &str) -> usize {
        parse_bytes(&self.named(name)).and_then(|b| usize::try_from(b).ok()).unwrap_or(SUBSCRIBE_BUFFER_BYTES)
    }

    pub(super) fn time_zone(&self) -> TimeZone {
        TimeZone::parse(&self.named("TimeZone")).unwrap_or_else(TimeZone::utc)
    }

    /// search_path as a list of schema names.
    pub(super) fn search_path(&self) -> Vec<String> {
        let path = self.named("search_path");
        path.split(',')
            .map(|s| s.trim().trim_matches('"').to_owned())
            .filter(|s| s != "$user" && !s.is_empty())
            .collect()
    }
}

/// Refuses to SET what is not the session's.
fn changeable(definition: &Definition) -> Result<()> {
    let name = definition.name;
    match definition.scope {
        Scope::Session => Ok(()),
        Scope::System => {
            let message = format!("parameter \"{name}\" cannot be changed now");
            let hint = format!("It is server-wide: use ALTER SYSTEM SET {name} = ...");
            Err(Error::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, message).with_hint(hint))
        }
        Scope::Fixed => {
            let message = format!("parameter \"{name}\" cannot be changed");
            Err(Error::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, message))
        }
    }
}

/// A value in the form that SHOW prints.
pub(super) fn check(definition: &Definition, value: &str) -> Result<String> {
    let name = definition.name;
    let invalid = || {
        let message = format!("invalid value for parameter \"{name}\": \"{value}\"");
        Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
    };
    match definition.kind {
        Kind::Text => Ok(value.to_owned()),
        Kind::Bool => match value.trim().to_ascii_lowercase().as_str() {
            "on" | "true" | "t" | "yes" | "y" | "1" => Ok("on".to_owned()),
            "off" | "false" | "f" | "no" | "n" | "0" => Ok("off".to_owned()),
            _ => {
                let message = format!("parameter \"{name}\" requires a Boolean value");
                Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message))
            }
        },
        Kind::Int(min, max) => {
            let number: i64 = value.trim().parse().map_err(|_| invalid())?;
            if (min..=max).contains(&number) {
                return Ok(number.to_string());
            }
            Err(outside(number, "", name, (min, max)))
        }
        Kind::ExactDigits => match value.trim().parse::<i64>() {
            Ok(digits @ 1..=3) => Ok(digits.to_string()),
            Ok(digits @ -15..=0) => Err(Error::unsupported(
                format!("extra_float_digits = {digits}"),
                "Floats are printed exactly; use round() or to_char() for fewer digits.",
            )),
            Ok(digits) => Err(outside(digits, "", name, (-15, 3))),
            Err(_) => Err(invalid()),
        },
        Kind::Duration => {
            let hint = "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".";
            match parse_duration(value) {
                Some(ms) if (0..=i64::from(i32::MAX)).contains(&ms) => Ok(print_duration(ms)),
                Some(ms) => Err(outside(ms, " ms", name, (0, i32::MAX.into()))),
                None if with_unit(value).is_some() => Err(invalid().with_hint(hint)),
                None => Err(invalid()),
            }
        }
        Kind::Bytes => {
            let bytes = parse_bytes(value).filter(|b| *b > 0);
            let hint = "Valid units for this parameter are \"B\", \"kB\", \"MB\", and \"GB\".";
            bytes.map(print_bytes).ok_or_else(|| invalid().with_hint(hint))
        }
        Kind::Only(words) => {
            let known = words.iter().position(|w| w.eq_ignore_ascii_case(value.trim()));
            let only = words.first().copied().unwrap_or_default();
            match known {
                Some(0) => Ok(only.to_owned()),
                Some(_) => {
                    Err(Error::unsupported(format!("{name} = {}", value.trim()), format!("Only {only} is; set it so.")))
                }
                None => Err(invalid().with_hint(format!("Available values: {only}."))),
            }
        }
        Kind::Enum(words) => {
            let same = |w: &&&str| w.eq_ignore_ascii_case(value.trim()) || same_encoding(w, value.trim());
            let found = words.iter().find(same).map(|w| (*w).to_owned());
            found.ok_or_else(|| invalid().with_hint(format!("Available values: {}.", words.join(", "))))
        }
        Kind::Zone => {
            let local = ["default", "local"].iter().any(|w| value.eq_ignore_ascii_case(w));
            let zone = if local { Some(TimeZone::utc()) } else { TimeZone::parse(value) };
            zone.map(|z| z.name().to_owned()).ok_or_else(invalid)
        }
        Kind::DateStyle => date_style(value, invalid),
    }
}

fn outside(number: i64, unit: &str, name: &str, (min, max): (i64, i64)) -> Error {
    let message = format!("{number}{unit} is outside the valid range for parameter \"{name}\" ({min} .. {max})");
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// `utf-8`, `'UTF8'` and `unicode` are UTF8: only letters and digits count.
fn same_encoding(word: &str, value: &str) -> bool {
    let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    word == "UTF8" && ["utf8", "unicode"].iter().any(|v| plain.eq_ignore_ascii_case(v))
}

/// Dates are read and written in one way only.
fn date_style(value: &str, invalid: impl Fn() -> Error) -> Result<String> {
    for word in value.split(',').map(|w| w.trim().to_ascii_uppercase()) {
        match word.as_str() {
            "ISO" | "DEFAULT" | "MDY" | "US" | "NONEUROPEAN" => {}
            "DMY" | "YMD" | "EURO" | "EUROPEAN" | "SQL" | "POSTGRES" | "GERMAN" => {
                let hint = "Only ISO, MDY is; to_char() and to_date() write and read dates in any form.";
                return Err(Error::unsupported(format!("DateStyle {word}"), hint));
            }
            _ => {
                let detail = format!("Unrecognized key word: \"{}\".", word.to_ascii_lowercase());
                return Err(invalid().with_detail(detail));
            }
        }
    }
    Ok("ISO, MDY".to_owned())
}

/// A number and a unit; without a unit `default` counts.
fn with_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')).unwrap_or(text.len());
    Some((text[..split].parse().ok()?, text[split..].trim()))
}

/// Milliseconds.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let (number, unit) = with_unit(text)?;
    let factor = match unit {
        "us" => 0.001,
        "" | "ms" => 1.0,
        "s" | "second" | "seconds" => 1e3,
        "min" | "minute" | "minutes" => 6e4,
        "h" | "hour" | "hours" => 3.6e6,
        "d" | "day" | "days" => 8.64e7,
        _ => return None,
    };
    let ms = number * factor;
    (ms.abs() <= 1e15).then_some(ms.round() as i64)
}

pub(super) fn print_duration(ms: i64) -> String {
    for (factor, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")] {
        if ms != 0 && ms % factor == 0 {
            return format!("{}{unit}", ms / factor);
        }
    }
    if ms == 0 { "0".to_owned() } else { format!("{ms}ms") }
}

fn parse_bytes(text: &str) -> Option<i64> {
    let (number, unit) = with_unit(text)?;
    let factor = match unit {
        "" | "B" => 1.0,
        "kB" | "KB" => 1024.0,
        "MB" => 1_048_576.0,
        "GB" => 1_073_741_824.0,
        _ => return None,
    };
    let bytes = number * factor;
    (bytes.abs() <= 1e18).then_some(bytes.round() as i64)
}

fn print_bytes(bytes: i64) -> String {
    for (factor, unit) in [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")] {
        if bytes % factor == 0 {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

/// Checks that the defaults hold; the connection limit is a fact that must agree with the config.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MAX_CONNECTIONS;

    #[test]
    fn defaults_are_in_the_form_that_show_prints() {
        for definition in ALL {
            if definition.scope != Scope::Fixed {
                let printed = check(definition, definition.default).unwrap();
                assert_eq!(printed, definition.default, "{}", definition.name);
            }
        }
        assert_eq!(find("max_connections").unwrap().default, MAX_CONNECTIONS.to_string());
    }

    #[test]
    fn local_values_end_with_the_transaction() {
        let mut values = Values::default();
        values.set("timezone", Some("europe/berlin"), false).unwrap();
        values.set("TimeZone", Some("UTC"), true).unwrap();
        assert_eq!(values.named("timezone"), "UTC");
        values.end_transaction();
        assert_eq!(values.named("TimeZone"), "Europe/Berlin");
        assert_eq!(values.set("history", Some("1s"), false).unwrap_err().code().0, "55P02");
        assert_eq!(values.set("nope", Some("1"), false).unwrap_err().code().0, "42704");
        assert_eq!(values.set("statement_timeout", Some("1500"), false), Ok(()));
        assert_eq!(values.named("statement_timeout"), "1500ms");
    }
}
