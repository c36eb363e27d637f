//! CREATE SINK's WITH, FORMAT and ENCODE, checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::datatypes::SchemaRef;

use super::folder::Place;
use super::part;
use super::shape::{Format, Shape};
use crate::catalog::object::{ConnectorOptions, Sink};
use crate::config::{SINK_ROLL_BYTES, SINK_ROLL_INTERVAL};
use crate::connectors::options::{Options, bad_value, invalid, nearest};
use crate::connectors::{csv_options, folder_within};
use crate::error::{Error, Result, SqlState};
use crate::formats::{Compression, RowEncoding};

/// The relation that a sink writes the changes of.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// As messages call it: `table "t"`.
    pub called: &'a str,
    /// Its columns.
    pub schema: &'a SchemaRef,
    /// Columns that tell its rows apart, if they are known.
    pub key: Option<&'a [usize]>,
    /// Whether rows only come.
    pub append_only: bool,
}

/// When a part is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roll {
    /// Bytes of its rows, in memory.
    pub(super) bytes: usize,
    /// Rows.
    pub(super) rows: u64,
    /// Since its first change.
    pub(super) interval: Duration,
}

/// A sink as it was described.
#[derive(Debug)]
pub struct Description {
    pub(super) place: Place,
    pub(super) shape: Shape,
    pub(super) encoding: RowEncoding,
    pub(super) roll: Roll,
    /// Begins with the rows that are there.
    pub snapshot: bool,
    /// The option primary_key, of a relation of which another key, or none, is known.
    pub key_is_claimed: bool,
    /// Why it must not be written now: the file root is another one.
    pub(super) refused: Option<Error>,
}

const OPTIONS: [&str; 7] =
    ["path", "roll_size", "roll_interval", "rollover_seconds", "max_row_count", "snapshot", "primary_key"];
const TYPE: (&str, &str) = ("type", "Say FORMAT PLAIN for 'append-only', FORMAT UPSERT, or FORMAT DEBEZIUM.");
const FORMATS: &str = "Add FORMAT PLAIN, UPSERT or DEBEZIUM, and ENCODE JSON, CSV or PARQUET, behind WITH (..).";

impl Description {
    /// Checks what a sink says.
    ///
    /// Errors: `22023` options; `0A000` what does not go together; `42703` key columns; `42501` outside of the file root.
    pub fn build(sink: &Sink, input: Input<'_>, root: Option<&Path>) -> Result<Self> {
        check_connector(&sink.connector)?;
        let options = Options::new("connector \"file\"", &sink.connector.options, &OPTIONS, &[TYPE])?;
        let path = options.required("path", "'/dir'")?;
        let format = match sink.format.as_str() {
            "PLAIN" => Format::Plain,
            "UPSERT" => Format::Upsert,
            "DEBEZIUM" => Format::Debezium,
            "" => return Err(invalid("a sink needs FORMAT and ENCODE").with_hint(FORMATS)),
            other => return Err(Error::unsupported(format!("FORMAT {other} of a sink"), FORMATS)),
        };
        let encoding = encoding(&sink.connector)?;
        if format == Format::Debezium && matches!(encoding, RowEncoding::Csv(_)) {
            return Err(Error::unsupported("FORMAT DEBEZIUM ENCODE CSV", "Use ENCODE JSON or ENCODE PARQUET."));
        }
        if format == Format::Plain && !input.append_only {
            return Err(Error::unsupported(
                format!("FORMAT PLAIN of {}, whose rows may change or go,", input.called),
                "Use FORMAT UPSERT or FORMAT DEBEZIUM, which tell of rows that change and go.",
            ));
        }
        let named = options.text("primary_key").map(|names| columns(names, input.schema)).transpose()?;
        if named.is_some() && format == Format::Plain {
            return Err(invalid("option \"primary_key\" says nothing of FORMAT PLAIN")
                .with_hint("Leave it out, or use FORMAT UPSERT."));
        }
        let key_is_claimed = named
            .as_ref()
            .is_some_and(|named| !input.key.is_some_and(|key| key.iter().all(|column| named.contains(column))));
        let key = named.or_else(|| input.key.map(<[usize]>::to_vec));
        if format == Format::Upsert && key.is_none() {
            return Err(Error::unsupported(
                format!("FORMAT UPSERT of {}, of which no key is known,", input.called),
                "Name columns that tell its rows apart, with the option primary_key = 'a, b'; or use FORMAT DEBEZIUM.",
            ));
        }
        let shape = Shape::new(format, &encoding, input.schema, key.as_deref())?;
        let path = folder_within(path, root)?;
        let place = Place { path, prefix: sink.prefix.clone(), ending: encoding.ending(), token: sink.token.clone() };
        let snapshot = options.boolean("snapshot")?.unwrap_or(true);
        Ok(Self { place, shape, encoding, roll: roll(&options)?, snapshot, key_is_claimed, refused: None })
    }

    /// The same of a sink that an earlier process created: where it must not be written now, it fails, and nothing else does.
    pub fn rebuild(sink: &Sink, input: Input<'_>, root: Option<&Path>) -> Result<Self> {
        Self::build(sink, input, root).or_else(|why| Ok(Self { refused: Some(why), ..Self::build(sink, input, None)? }))
    }

    /// What the names of the sink's files begin with.
    pub fn prefix(name: &str) -> String {
        part::prefix(name)
    }

    /// The columns of its parts.
    pub fn columns(&self) -> SchemaRef {
        SchemaRef::clone(&self.shape.output)
    }

    /// Where its parts are.
    pub fn folder(&self) -> &PathBuf {
        &self.place.path
    }

    /// CREATE: takes the name in the folder. It waits for the disk.
    ///
    /// Errors: `55006` the folder has parts of that name; `58030`, `53100`, `42501` the disk.
    pub fn claim(&self) -> Result<()> {
        self.place.claim()
    }
}

fn check_connector(connector: &ConnectorOptions) -> Result<()> {
    match connector.connector.to_ascii_lowercase().as_str() {
        "file" => Ok(()),
        "" => Err(invalid("a sink needs a connector")
            .with_hint("For example, WITH (connector = 'file', path = '/dir') FORMAT PLAIN ENCODE PARQUET.")),
        source @ ("nexmark" | "socket" | "kafka") => {
            Err(Error::unsupported(format!("a sink with connector \"{source}\""), "A sink's connector is: file."))
        }
        unknown => {
            Err(invalid(format!("unknown connector: \"{unknown}\"")).with_hint(match nearest(unknown, ["file"]) {
                Some(near) => format!("Perhaps you meant \"{near}\"."),
                None => "A sink's connector is: file.".to_owned(),
            }))
        }
    }
}

fn encoding(connector: &ConnectorOptions) -> Result<RowEncoding> {
    let given = &connector.encode_options;
    match connector.encode.as_deref() {
        None => Err(invalid("a sink needs FORMAT and ENCODE").with_hint(FORMATS)),
        Some("JSON") => Options::new("ENCODE JSON", given, &[], &[]).map(|_| RowEncoding::Json),
        Some("CSV") => csv_options(given).map(RowEncoding::Csv),
        Some("PARQUET") => {
            let options = Options::new("ENCODE PARQUET", given, &["compression"], &[])?;
            let named = options.read("compression", "'zstd', 'snappy' or 'none'", Compression::named)?;
            Ok(RowEncoding::Parquet(named.unwrap_or_default()))
        }
        Some(other) => Err(Error::unsupported(format!("ENCODE {other} of a sink"), "Use ENCODE JSON, CSV or PARQUET.")),
    }
}

fn roll(options: &Options<'_>) -> Result<Roll> {
    let bytes = options.read("roll_size", "a size, as '64 MB'", bytes)?.unwrap_or(SINK_ROLL_BYTES);
    let rows =
        options.read("max_row_count", "a number of rows above 0", |text| text.parse().ok().filter(|n| *n > 0))?;
    let micros = |name, expected| {
        let read = |text: &str| crate::connectors::options::duration_micros(text).and_then(|us| u64::try_from(us).ok());
        options.read(name, expected, read)
    };
    // RisingWave's word for the same.
    let seconds = micros("rollover_seconds", "a number of seconds")?;
    let interval = micros("roll_interval", "a duration, as '10 s'")?;
    if let (Some(_), Some(_)) = (seconds, interval) {
        return Err(invalid("roll_interval and rollover_seconds are the same option"));
    }
    let interval = interval.or(seconds).map_or(SINK_ROLL_INTERVAL, Duration::from_micros);
    Ok(Roll { bytes, rows: rows.unwrap_or(u64::MAX), interval })
}

/// `64 MB`, `512kB`, `1 GiB`, or a bare number of bytes; units are of 1024, as in PostgreSQL.
fn bytes(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: usize = text[..digits].parse().ok().filter(|n| *n > 0)?;
    let shift = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "kb" | "kib" => 10,
        "mb" | "mib" => 20,
        "gb" | "gib" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// The columns that primary_key names.
fn columns(names: &str, schema: &SchemaRef) -> Result<Vec<usize>> {
    let mut columns = Vec::new();
    for name in names.split(',').map(str::trim) {
        if name.is_empty() {
            return Err(bad_value("primary_key", names, "names of columns, as 'a, b'"));
        }
        let column = schema.index_of(name).map_err(|_| {
            Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" named in key does not exist"))
        })?;
        if columns.contains(&column) {
            let message = format!("column \"{name}\" appears twice in primary key constraint");
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message));
        }
        columns.push(column);
    }
    Ok(columns)
}
