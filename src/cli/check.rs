//! `check`: reads a data directory through.

use std::io::Write;
use std::path::Path;

use crate::engine::DataDir;
use crate::error::Result;
use crate::log::{LogReader, Record, Wanted};

/// Says what is in the directory. Errors: `XX001` with file and byte where it is damaged.
pub fn run(data_dir: &Path) -> Result<()> {
    let (log, checkpoints) = DataDir::inspect(data_dir)?;
    let (mut records, mut epochs, mut last) = (0u64, 0u64, 0u64);
    for record in log.records(Wanted::All) {
        let record = record?;
        records += 1;
        // The others speak of an epoch that was still open.
        if let Record::Epoch(_) | Record::Join(_) = &record {
            epochs += 1;
            last = last.max(record.epoch().0);
        }
    }
    let mut out = std::io::stdout();
    for (number, epoch) in checkpoints {
        writeln!(out, "checkpoint {number}: epoch {epoch}: sound")?;
    }
    let kib = log.bytes().div_ceil(1 << 10);
    writeln!(out, "input log: {records} records, {epochs} epochs, up to epoch {last}, {kib} KiB: sound")?;
    if log.cut > 0 {
        writeln!(out, "{} bytes at its end were being written, and are cut off by the next start", log.cut)?;
    }
    Ok(())
}
