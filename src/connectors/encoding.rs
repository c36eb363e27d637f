//! ENCODE: how the bytes of a file or a socket are rows.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::ConnectorSpec;
use super::options::{Options, bad_value, invalid};
use crate::error::{Error, Result};
use crate::formats::csv::{self, Csv};
use crate::formats::json::Json;
use crate::formats::lines::Lines;
use crate::formats::{Cut, Decoder};

/// How bytes are rows.
#[derive(Clone, Debug)]
pub(super) enum Encoding {
    Parquet,
    Csv(csv::Options),
    Json,
    Text,
}

/// What a connector takes.
pub(super) struct Taken {
    /// Its name.
    pub connector: &'static str,
    /// Its encodings, upper case.
    pub encodings: &'static [&'static str],
    /// Whether the first record of CSV names the columns, unless said otherwise.
    pub header: bool,
}

impl Encoding {
    /// Reads ENCODE and its options.
    ///
    /// Errors: `22023` none is given, or an option is wrong; `0A000` an encoding that the connector does not take.
    pub(super) fn build(spec: &ConnectorSpec, taken: &Taken) -> Result<Self> {
        let list = match taken.encodings {
            [others @ .., last] => format!("{} or {last}", others.join(", ")),
            [] => String::new(),
        };
        let Some(encode) = &spec.encode else {
            return Err(invalid(format!("connector \"{}\" needs ENCODE", taken.connector))
                .with_hint(format!("Add FORMAT PLAIN ENCODE {list} behind WITH (..).")));
        };
        let encode = encode.to_ascii_uppercase();
        let is_taken = taken.encodings.contains(&encode.as_str());
        let options = |of: &'static str, known: &[&str]| Options::new(of, &spec.encode_options, known, &[]);
        match encode.as_str() {
            "PARQUET" if is_taken => options("ENCODE PARQUET", &[]).map(|_| Self::Parquet),
            "JSON" if is_taken => options("ENCODE JSON", &[]).map(|_| Self::Json),
            "TEXT" if is_taken => options("ENCODE TEXT", &[]).map(|_| Self::Text),
            "CSV" if is_taken => csv(&spec.encode_options, taken.header).map(Self::Csv),
            other => Err(Error::unsupported(
                format!("ENCODE {other} of connector \"{}\"", taken.connector),
                format!("Use ENCODE {list}."),
            )),
        }
    }
}

impl Encoding {
    /// What ends a record of a text.
    pub(super) fn cut(&self) -> Cut {
        match self {
            Self::Csv(options) => options.cut(),
            Self::Text => Cut::AllLines,
            Self::Json | Self::Parquet => Cut::Lines,
        }
    }

    /// Whether the first record of a text names the columns.
    pub(super) fn is_headed(&self) -> bool {
        matches!(self, Self::Csv(options) if options.header)
    }

    /// The names in such a record.
    pub(super) fn names(&self, header: &[u8]) -> Vec<String> {
        let fields = match self {
            Self::Csv(options) => options.fields(header),
            Self::Json | Self::Text | Self::Parquet => Vec::new(),
        };
        fields.into_iter().map(|name| name.trim().to_owned()).collect()
    }

    /// A decoder for a text's records; without a header's names CSV has the columns in their order.
    pub(super) fn decoder(&self, names: Option<&[String]>, target: &SchemaRef) -> Result<Arc<dyn Decoder>> {
        let target = Arc::clone(target);
        Ok(match self {
            Self::Csv(options) => {
                let own: Vec<String> = target.fields().iter().map(|field| field.name().clone()).collect();
                Arc::new(Csv::new(options.clone(), names.unwrap_or(&own), target)?)
            }
            Self::Json => Arc::new(Json::new(target)),
            // Parquet is no text: nobody asks.
            Self::Text | Self::Parquet => Arc::new(Lines::new(target)),
        })
    }
}

/// ENCODE CSV of files that are written.
pub(crate) fn csv_options(given: &[(String, String)]) -> Result<csv::Options> {
    csv(given, true)
}

fn csv(given: &[(String, String)], header: bool) -> Result<csv::Options> {
    let options = Options::new("ENCODE CSV", given, &["header", "without_header", "delimiter", "null"], &[])?;
    Ok(csv::Options {
        header: match (options.boolean("header")?, options.boolean("without_header")?) {
            (Some(_), Some(_)) => return Err(invalid("header and without_header are the same option")),
            (Some(header), None) => header,
            (None, Some(without)) => !without,
            (None, None) => header,
        },
        delimiter: options.text("delimiter").map_or(Ok(b','), delimiter_byte)?,
        null: options.text("null").unwrap_or_default().to_owned(),
    })
}

/// A delimiter's byte; a tab may be written `\t`.
fn delimiter_byte(text: &str) -> Result<u8> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r' | 0) => Ok(*byte),
        _ => Err(bad_value("delimiter", text, "one ASCII character, not a quote or a line end")),
    }
}
