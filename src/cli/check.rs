//! `check`: reads a data directory through.

use std::io::Write;
use std::path::Path;

use crate::engine::DataDir;
use crate::error::Result;
use crate::log::{LogPlace, LogReader, Record, Wanted, size};

/// Says what is in the directory. Errors: `XX001` with file and byte where it is damaged.
pub fn run(data_dir: &Path) -> Result<()> {
    let (log, checkpoints) = DataDir::inspect(data_dir)?;
    let (mut records, mut epochs, mut last) = (0u64, 0u64, None);
    for record in log.records(Wanted::All) {
        let record = record?;
        records += 1;
        // The others speak of an epoch that was still open.
        if let Record::Epoch(_) | Record::Join(_) = &record {
            epochs += 1;
            last = last.max(Some(record.epoch().0));
        }
    }
    let mut out = std::io::stdout();
    for (number, epoch, place) in &checkpoints {
        let behind = match log.bytes_from(*place) {
            0 => "nothing".to_owned(),
            bytes => size(bytes),
        };
        writeln!(out, "checkpoint {number}: epoch {epoch}, and {behind} of the input log behind it: sound")?;
    }
    let place = checkpoints.iter().map(|(_, _, place)| *place).min().unwrap_or(LogPlace::START);
    let (from, empty) = match checkpoints.first() {
        Some((number, ..)) => (format!("input log behind checkpoint {number}"), "empty, the checkpoint has everything"),
        None => ("input log, all of it".to_owned(), "empty"),
    };
    match (records, last) {
        (0, _) => writeln!(out, "{from}: {empty}: sound")?,
        (_, None) => {
            writeln!(out, "{from}: {}, no epoch, {}: sound", counted(records, "record"), size(log.bytes_from(place)))?
        }
        (_, Some(last)) => {
            let (records, epochs) = (counted(records, "record"), counted(epochs, "epoch"));
            writeln!(out, "{from}: {records}, {epochs}, up to epoch {last}, {}: sound", size(log.bytes_from(place)))?;
        }
    }
    if log.cut > 0 {
        writeln!(out, "{} bytes at its end were being written, and are cut off by the next start", log.cut)?;
    }
    Ok(())
}

/// `1 record`, `2 records`.
fn counted(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
