//! The body of a request -> rows of its table, while it comes.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::super::pg::copy_in;
use super::Refusal;
use crate::data::text::TimeZone;
use crate::engine::Ingest;
use crate::engine::outcome::CopyFormat;
use crate::error::{Error, Result, SqlState};
use crate::formats::json::Json;
use crate::formats::{ArrayCutter, BATCH_RECORDS_MAX, Cut, Cutter, Decoder, Records, csv};

/// How a body is rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One JSON object per line.
    JsonLines,
    /// An array of JSON objects, or one.
    JsonArray,
    /// CSV, with or without the columns' names.
    Csv { header: bool },
}

impl Kind {
    /// What a Content-Type says.
    pub(super) fn of(content_type: &str) -> Option<Self> {
        let mut parts = content_type.split(';').map(|part| part.trim().to_ascii_lowercase());
        match parts.next()?.as_str() {
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Self::JsonLines),
            "application/json" => Some(Self::JsonArray),
            "text/csv" => Some(Self::Csv { header: !parts.any(|part| part == "header=absent") }),
            _ => None,
        }
    }
}

/// The rows of a body.
pub(super) struct Rows<'a> {
    ingest: Ingest<'a>,
    body: Body,
}

enum Body {
    JsonLines(Cutter),
    JsonArray(ArrayCutter),
    /// CSV, of which the header has not come yet.
    Header(Cutter),
    Csv(Csv),
}

/// CSV behind its header.
struct Csv {
    decoder: copy_in::Decoder,
    columns: Vec<usize>,
}

/// COPY's own CSV.
fn format() -> CopyFormat {
    CopyFormat {
        csv: true,
        binary: false,
        delimiter: b',',
        null: String::new(),
        header: false,
        quote: b'"',
        escape: b'"',
    }
}

impl<'a> Rows<'a> {
    pub(super) fn new(ingest: Ingest<'a>, kind: Kind) -> Self {
        let body = match kind {
            Kind::JsonLines => Body::JsonLines(Cutter::new(Cut::Lines)),
            Kind::JsonArray => Body::JsonArray(ArrayCutter::default()),
            Kind::Csv { header: true } => Body::Header(Cutter::new(Cut::Csv { delimiter: b',' })),
            Kind::Csv { header: false } => {
                let columns: Vec<usize> = (0..ingest.table().schema.fields().len()).collect();
                Body::Csv(Csv::new(&ingest, columns, 0))
            }
        };
        Self { ingest, body }
    }

    /// More bytes of the body.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        match &mut self.body {
            Body::JsonLines(cutter) => {
                cutter.fill(|buffer| buffer.extend_from_slice(bytes));
                lines(&mut self.ingest, cutter)
            }
            Body::JsonArray(cutter) => {
                let mut records = Records::default();
                let pushed = cutter.push(bytes, &mut records);
                objects(&mut self.ingest, &records)?;
                pushed.map_err(|error| Refusal { line: Some(cutter.line()), ..error.into() })
            }
            Body::Header(cutter) => {
                cutter.fill(|buffer| buffer.extend_from_slice(bytes));
                self.header()
            }
            Body::Csv(csv) => csv.push(&mut self.ingest, bytes),
        }
    }

    /// Nothing more comes.
    pub(super) fn finish(mut self) -> Result<Ingest<'a>, Refusal> {
        if let Body::Header(cutter) = &mut self.body {
            cutter.end();
            self.header()?;
        }
        match &mut self.body {
            Body::JsonLines(cutter) => {
                cutter.end();
                lines(&mut self.ingest, cutter)?;
            }
            Body::JsonArray(cutter) => {
                cutter.end().map_err(|error| Refusal { line: Some(cutter.line()), ..error.into() })?;
            }
            Body::Header(_) => {
                let error = Error::new(SqlState::BAD_COPY_FILE_FORMAT, "the body has no first line with column names");
                return Err(error.with_hint("Name the columns there, or send text/csv; header=absent.").into());
            }
            Body::Csv(csv) => {
                csv.decoder.end();
                csv.hand_on(&mut self.ingest)?;
            }
        }
        Ok(self.ingest)
    }

    /// Reads the header, once it is there.
    fn header(&mut self) -> Result<(), Refusal> {
        let Body::Header(cutter) = &mut self.body else { return Ok(()) };
        let mut records = Records::default();
        cutter.cut(&mut records, 1);
        if records.is_empty() {
            return Ok(());
        }
        let line = records.line(0);
        let refused = |error: Error| Refusal { line: Some(line), ..error.into() };
        let mut columns = Vec::new();
        for name in csv::Options::default().fields(records.get(0)) {
            let column = self.ingest.column(name.trim()).map_err(refused)?;
            if columns.contains(&column) {
                let message = format!("column \"{}\" specified more than once", name.trim());
                return Err(refused(Error::new(SqlState::DUPLICATE_COLUMN, message)));
            }
            columns.push(column);
        }
        let rest = cutter.rest().to_vec();
        let mut csv = Csv::new(&self.ingest, columns, cutter.next_line() - 1);
        csv.push(&mut self.ingest, &rest)?;
        self.body = Body::Csv(csv);
        Ok(())
    }
}

impl Csv {
    fn new(ingest: &Ingest<'_>, columns: Vec<usize>, lines: u64) -> Self {
        let decoder = copy_in::Decoder::new(ingest.schema(&columns), format(), TimeZone::utc());
        Self { decoder: decoder.behind(lines), columns }
    }

    fn push(&mut self, ingest: &mut Ingest<'_>, bytes: &[u8]) -> Result<(), Refusal> {
        self.decoder.push(bytes);
        self.hand_on(ingest)
    }

    fn hand_on(&mut self, ingest: &mut Ingest<'_>) -> Result<(), Refusal> {
        loop {
            let batch = self.decoder.batch();
            let batch = batch.map_err(|error| Refusal { line: Some(self.decoder.line()), ..error.into() })?;
            let Some(batch) = batch else { return Ok(()) };
            let before = self.decoder.line() - batch.num_rows() as u64;
            ingest.take(&self.columns, &batch).map_err(|error| {
                let wrong = |row: &usize| ingest.take(&self.columns, &batch.slice(*row, 1)).is_err();
                let row = (0..batch.num_rows()).find(wrong);
                Refusal { line: row.map(|row| before + row as u64 + 1), ..error.into() }
            })?;
        }
    }
}

/// Hands on the whole lines that have come.
fn lines(ingest: &mut Ingest<'_>, cutter: &mut Cutter) -> Result<(), Refusal> {
    loop {
        let mut records = Records::default();
        cutter.cut(&mut records, BATCH_RECORDS_MAX);
        if records.is_empty() {
            return Ok(());
        }
        objects(ingest, &records)?;
    }
}

/// Takes JSON objects: runs of objects with the same keys together, where a key that is missing means a default.
fn objects(ingest: &mut Ingest<'_>, records: &Records) -> Result<(), Refusal> {
    let all: Vec<usize> = (0..ingest.table().schema.fields().len()).collect();
    let defaults = ingest.has_defaults();
    let mut known = BTreeMap::new();
    let mut run = Records::default();
    let mut columns = Vec::new();
    for at in 0..records.len() {
        let refused = |error: Error| Refusal { line: Some(records.line(at)), ..error.into() };
        let keys = match keys(ingest, records.get(at), &mut known).map_err(refused)? {
            Some(keys) if defaults => keys,
            // What is wrong with one that is no object the decoder says.
            Some(_) | None => all.clone(),
        };
        if keys != columns && !run.is_empty() {
            decode(ingest, &columns, &std::mem::take(&mut run))?;
        }
        columns = keys;
        run.push(records.get(at), records.line(at));
    }
    if run.is_empty() { Ok(()) } else { decode(ingest, &columns, &run) }
}

fn decode(ingest: &mut Ingest<'_>, columns: &[usize], records: &Records) -> Result<(), Refusal> {
    let decoded = Json::new(ingest.schema(columns)).decode(records, "body")?;
    if let Some(bad) = decoded.bad.into_iter().next() {
        // `body:line: why`
        let mut parts = bad.message.splitn(3, ':');
        let line = parts.nth(1).and_then(|line| line.parse().ok());
        let why = parts.next().map_or(bad.message.as_str(), str::trim);
        return Err(Refusal { line, ..Error::new(bad.code, why).into() });
    }
    ingest.take(columns, &decoded.rows).map_err(|error| {
        let wrong = |row: &usize| ingest.take(columns, &decoded.rows.slice(*row, 1)).is_err();
        let line = (0..records.len()).find(wrong).map(|row| records.line(row));
        Refusal { line, ..error.into() }
    })
}

/// The columns that an object names, ascending; `None` when it is no object.
///
/// Errors: `42703` a key that is no column.
fn keys(ingest: &Ingest<'_>, object: &[u8], known: &mut BTreeMap<String, usize>) -> Result<Option<Vec<usize>>> {
    let mut found = Vec::new();
    let mut failed = None;
    let mut json = serde_json::Deserializer::from_slice(object);
    let each = |key: &str| {
        let column = match known.get(key) {
            Some(column) => Ok(*column),
            None => ingest.column(key),
        };
        match column {
            Ok(column) => {
                known.entry(key.to_owned()).or_insert(column);
                found.push(column);
            }
            Err(error) => failed = failed.take().or(Some(error)),
        }
    };
    let is_object = Keys(each).deserialize(&mut json).is_ok() && json.end().is_ok();
    match failed.filter(|_| is_object) {
        Some(error) => Err(error),
        None => {
            found.sort_unstable();
            found.dedup();
            Ok(is_object.then_some(found))
        }
    }
}

/// Visits the keys of an object, and nothing else.
struct Keys<F>(F);

impl<'de, F: FnMut(&str)> DeserializeSeed<'de> for Keys<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&str)> Visitor<'de> for Keys<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            (self.0)(&key);
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}
