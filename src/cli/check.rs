//! `check`: reads a data directory through.

use std::io::Write;
use std::path::Path;

use crate::engine::DataDir;
use crate::error::Result;
use crate::log::{LogReader, Record, Wanted};

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
    let kib = |bytes: u64| bytes.div_ceil(1 << 10);
    for (number, epoch, place) in &checkpoints {
        let behind = kib(log.bytes_from(*place));
        writeln!(out, "checkpoint {number}: epoch {epoch}, and {behind} KiB of the input log behind it: sound")?;
    }
    let from = match checkpoints.first() {
        Some((number, ..)) => format!("input log behind checkpoint {number}"),
        None => "input log, all of it".to_owned(),
    };
    let until = last.map_or_else(String::new, |last| format!(", {epochs} epochs, up to epoch {last}"));
    writeln!(out, "{from}: {records} records{until}, {} KiB: sound", kib(log.bytes()))?;
    if log.cut > 0 {
        writeln!(out, "{} bytes at its end were being written, and are cut off by the next start", log.cut)?;
    }
    Ok(())
}
