//! `check`: reads a data directory through.

use std::io::Write;
use std::path::Path;

use crate::engine::DataDir;
use crate::error::Result;
use crate::log::{LogReader, Record, Wanted};

/// Says what is in the directory. Errors: `XX001` with file and byte where it is damaged.
pub fn run(data_dir: &Path) -> Result<()> {
    let log = DataDir::inspect(data_dir)?;
    let (mut records, mut epochs, mut last) = (0u64, 0u64, 0u64);
    for record in log.records(Wanted::All) {
        let record = record?;
        records += 1;
        epochs += u64::from(matches!(record, Record::Epoch(_)));
        last = last.max(record.epoch().0);
    }
    let mut out = std::io::stdout();
    let mib = log.bytes() as f64 / f64::from(1 << 20);
    writeln!(out, "input log: {records} records, {epochs} epochs with rows, up to epoch {last}, {mib:.1} MiB: sound")?;
    if log.cut > 0 {
        writeln!(out, "{} bytes at its end were being written, and are cut off by the next start", log.cut)?;
    }
    Ok(())
}
