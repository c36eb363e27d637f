//! A sink's thread: takes what is due, writes it as one part, tries again when the disk refuses.

use std::fs::File;
use std::io::BufWriter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::Item;
use super::feed::{Queued, Sink, Work};
use super::folder::Folder;
use super::part::Part;
use crate::config::{BATCH_ROWS, SINK_RETRY, SINK_RETRY_MAX};
use crate::data::{Changes, Epoch, ObjectId};
use crate::error::{Error, Result, SqlState};
use crate::formats::RowWriter;
use crate::store::Version;

/// Starts a sink's thread.
pub(super) fn start(sink: &Arc<Sink>) -> Result<()> {
    let (sink, ObjectId(id)) = (Arc::clone(sink), sink.id);
    let its = Arc::clone(&sink);
    let thread = std::thread::Builder::new().name(format!("sink {id}")).spawn(move || {
        let run = catch_unwind(AssertUnwindSafe(|| run(&its)));
        if run.is_err() {
            its.fail(Error::internal("the sink's thread panicked"));
        }
        its.has_ended();
    })?;
    sink.runs_on(thread);
    Ok(())
}

fn run(sink: &Sink) {
    if let Some(folder) = opened(sink) {
        write_parts(sink, folder);
    }
    // A failed sink is there until it is dropped, or the server stops.
    sink.wait_for_end();
}

/// Opens the folder; `None`: the sink ends before, or has failed.
fn opened(sink: &Sink) -> Option<Folder> {
    if let Some(why) = &sink.description.refused {
        sink.put_off(why.clone());
        return None;
    }
    let mut pause = SINK_RETRY;
    let folder = loop {
        match sink.description.place.open() {
            Ok(folder) => break folder,
            Err(error) if is_of_disk(&error) => {
                if sink.refused(&error, next(&mut pause)) {
                    return None;
                }
            }
            Err(error) => {
                sink.fail(error);
                return None;
            }
        }
    };
    sink.opened(&folder.manifest).map_err(|error| sink.fail(error)).ok().map(|()| folder)
}

fn write_parts(sink: &Sink, mut folder: Folder) {
    let mut pause = SINK_RETRY;
    while let Work::Write(items) = sink.next() {
        let last = items.last().map_or(Epoch(0), |queued| queued.epoch);
        match write(sink, &mut folder, &items) {
            Ok(()) => {
                sink.wrote(&folder.manifest, last);
                pause = SINK_RETRY;
            }
            Err(error) if is_of_disk(&error) => {
                if sink.refused(&error, next(&mut pause)) {
                    return;
                }
            }
            Err(error) => return sink.fail(error),
        }
    }
}

fn next(pause: &mut Duration) -> Duration {
    let now = *pause;
    *pause = (now * 2).min(SINK_RETRY_MAX);
    now
}

/// Whether it may mend itself, or be mended: no space, no folder, no permission.
fn is_of_disk(error: &Error) -> bool {
    let of_disk = [SqlState::IO_ERROR, SqlState::DISK_FULL, SqlState::UNDEFINED_FILE, SqlState::INSUFFICIENT_PRIVILEGE];
    of_disk.contains(&error.code())
}

/// Writes one part, unless that was done up to giving it its name.
fn write(sink: &Sink, folder: &mut Folder, items: &[Queued]) -> Result<()> {
    folder.finish()?;
    let is_new = |queued: &&Queued| folder.written().is_none_or(|written| queued.epoch > written);
    let items: Vec<&Queued> = items.iter().filter(is_new).collect();
    let (Some(first), Some(last)) = (items.first(), items.last()) else { return Ok(()) };
    let written = folder.written();
    folder.add(Part { first: first.epoch, last: last.epoch }, |file| {
        let shape = &sink.description.shape;
        let mut writer = RowWriter::new(&sink.description.encoding, &shape.output, BufWriter::new(file))?;
        let mut count = 0;
        for Queued { epoch, item, .. } in items {
            each(item, written, |changes| {
                let is_snapshot = item.is_snapshot();
                for rows in shape.rows(*epoch, changes, is_snapshot)? {
                    count += rows.num_rows() as u64;
                    for from in (0..rows.num_rows()).step_by(BATCH_ROWS) {
                        writer.write(&rows.slice(from, BATCH_ROWS.min(rows.num_rows() - from)))?;
                    }
                }
                Ok(())
            })?;
        }
        let file: File = writer.finish()?.into_inner().map_err(|e| Error::from(e.into_error()))?;
        Ok((file, count))
    })
}

impl Item {
    /// Its changes, and whether they are rows that were there at the beginning.
    ///
    /// Errors: reading rows.
    pub fn changes(&self) -> Result<(bool, Vec<Changes>)> {
        let mut all = Vec::new();
        each(self, None, |changes| {
            all.extend(changes);
            Ok(())
        })?;
        Ok((self.is_snapshot(), all))
    }
}

/// Gives an item's changes: what may cancel out all at once, others piece by piece.
fn each(item: &Item, written: Option<Epoch>, mut give: impl FnMut(Vec<Changes>) -> Result<()>) -> Result<()> {
    match item {
        Item::Changes(changes) | Item::Rows(changes) => give(changes.clone()),
        Item::Stored(stored) => give(stored.read()?),
        Item::Snapshot(version) => insertions(version, |rows| give(vec![rows])),
        Item::Difference { since, .. } if written.is_some_and(|written| written > *since) => {
            let message =
                format!("the relation is filled anew from epoch {since} on, and later changes are written already");
            Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                .with_hint("DROP the sink, and create it anew in another folder."))
        }
        Item::Difference { old: None, new, .. } => insertions(new, |rows| give(vec![rows])),
        Item::Difference { old: Some(old), new, .. } => give(match new.since(old)? {
            Some(changes) => changes,
            None => {
                let mut all = Vec::new();
                insertions(old, |rows| {
                    all.push(rows.negated());
                    Ok(())
                })?;
                insertions(new, |rows| {
                    all.push(rows);
                    Ok(())
                })?;
                all
            }
        }),
    }
}

fn insertions(version: &Version, mut give: impl FnMut(Changes) -> Result<()>) -> Result<()> {
    for chunk in 0..version.chunks() {
        if let Some(rows) = version.batch(chunk)? {
            give(Changes::insertions(rows))?;
        }
    }
    Ok(())
}
