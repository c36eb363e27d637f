//! ENCODE: how the bytes of a file are rows.

use crate::connectors::ConnectorSpec;
use crate::connectors::options::{Options, bad_value, invalid};
use crate::error::{Error, Result};
use crate::formats::csv;

/// How the bytes of a file are rows.
#[derive(Clone, Debug)]
pub(super) enum Encoding {
    Parquet,
    Csv(csv::Options),
    Json,
}

impl Encoding {
    pub(super) fn build(spec: &ConnectorSpec) -> Result<Self> {
        let Some(encode) = &spec.encode else {
            return Err(invalid("connector \"file\" needs ENCODE")
                .with_hint("Add FORMAT PLAIN ENCODE PARQUET, CSV or JSON behind WITH (..)."));
        };
        let options = |of: &'static str, known: &[&str]| Options::new(of, &spec.encode_options, known, &[]);
        match encode.to_ascii_uppercase().as_str() {
            "PARQUET" => options("ENCODE PARQUET", &[]).map(|_| Self::Parquet),
            "JSON" => options("ENCODE JSON", &[]).map(|_| Self::Json),
            "CSV" => {
                let options = options("ENCODE CSV", &["header", "without_header", "delimiter", "null"])?;
                Ok(Self::Csv(csv::Options {
                    header: match (options.boolean("header")?, options.boolean("without_header")?) {
                        (Some(_), Some(_)) => return Err(invalid("header and without_header are the same option")),
                        (header, without) => header.unwrap_or(!without.unwrap_or(false)),
                    },
                    delimiter: options.text("delimiter").map_or(Ok(b','), delimiter_byte)?,
                    null: options.text("null").unwrap_or_default().to_owned(),
                }))
            }
            other => Err(Error::unsupported(
                format!("ENCODE {other} of connector \"file\""),
                "Use ENCODE PARQUET, CSV or JSON.",
            )),
        }
    }
}

/// A delimiter's byte; a tab may be written `\t`.
fn delimiter_byte(text: &str) -> Result<u8> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r' | 0) => Ok(*byte),
        _ => Err(bad_value("delimiter", text, "one ASCII character, not a quote or a line end")),
    }
}
