//! Starts on what a process has left that ended in the midst of something.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tempfile::TempDir;

use super::{Client, config, start};
use crate::checkpoint::MemoryObjects;
use crate::data::Epoch;
use crate::engine::Engine;
use crate::error::Result;
use crate::log::{Disk, Luck, MemoryDisk};

/// Cuts the last record off a log of one file, as a power failure does that came before its sync.
fn cut_last_record(disk: &MemoryDisk) {
    let name = disk.list().unwrap().into_iter().find(|name| name.ends_with(".log")).unwrap();
    disk.change(&name, |bytes| {
        let length = |at: usize| u32::from_le_bytes(bytes[at + 2..at + 6].try_into().unwrap()) as usize;
        let (mut at, mut last) = (28, 28);
        while at < bytes.len() {
            last = at;
            at += 10 + length(at);
        }
        bytes.truncate(last);
    });
    disk.change("synced", Vec::clear);
}

/// The log has that an object was created, or changed, and not the epoch that shows it: the first who asks waits for that.
#[test]
fn what_was_made_in_an_epoch_that_was_lost_can_be_read_at_once() {
    let place = Place::new();
    for (made, sql, rows) in [
        ("CREATE TABLE t (n INT)", "SELECT count(*) FROM t", "0"),
        ("ALTER TABLE t ADD COLUMN m INT DEFAULT 7", "SELECT count(m) FROM t", "0"),
    ] {
        place.live(&[made], true);
        for _ in 0..8 {
            cut_last_record(&place.disk);
            assert_eq!(place.live(&[sql], true), [rows], "{made}");
        }
    }
}

/// A database with a sink, and where it writes.
struct Place {
    luck: Luck,
    disk: MemoryDisk,
    objects: MemoryObjects,
    folder: TempDir,
    tokio: tokio::runtime::Runtime,
}

impl Place {
    fn new() -> Self {
        let luck = Luck::default();
        let (disk, objects) = (MemoryDisk::with(luck.clone()), MemoryObjects::with(luck.clone()));
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { luck, disk, objects, folder: TempDir::new().unwrap(), tokio }
    }

    fn start(&self) -> Result<Arc<Engine>> {
        let _entered = self.tokio.enter();
        start(&self.disk, &self.objects, config(1, Duration::from_secs(3600)), 1 << 20)
    }

    /// Runs statements, and gives the rows of all; then the process is killed, or stops.
    fn live(&self, statements: &[&str], is_killed: bool) -> Vec<String> {
        let engine = self.start().unwrap();
        let mut client = Client::connect(&engine).unwrap();
        let mut ask = async |sql: &&str| client.ask(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let rows = statements.iter().flat_map(|sql| self.tokio.block_on(ask(sql))).collect();
        let _entered = self.tokio.enter();
        if is_killed {
            self.luck.die();
        }
        engine.shutdown();
        self.disk.kill();
        rows
    }

    /// A table with a sink that has written nothing yet.
    fn with_sink() -> Self {
        let place = Self::new();
        let (out, hidden) = (place.folder.path().join("out"), place.folder.path().join("hidden"));
        let sink = format!(
            "CREATE SINK k FROM j WITH (connector = 'file', path = '{}', roll_interval = '1 h') \
             FORMAT PLAIN ENCODE CSV (header = 'false')",
            out.display()
        );
        let engine = place.start().unwrap();
        let mut client = Client::connect(&engine).unwrap();
        for sql in ["CREATE TABLE j (n INT) APPEND ONLY", "INSERT INTO j VALUES (1), (2)", &sink] {
            place.tokio.block_on(client.ask(sql)).unwrap();
        }
        std::fs::rename(&out, &hidden).unwrap();
        place.luck.die();
        let entered = place.tokio.enter();
        engine.shutdown();
        drop(entered);
        place.disk.kill();
        std::fs::rename(&hidden, &out).unwrap();
        place
    }

    fn written(&self) -> String {
        let files = std::fs::read_dir(self.folder.path().join("out")).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "csv")).collect();
        files.sort();
        files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }
}

/// The newest epoch of all is that in which a view joined which is not computed any more.
#[test]
fn a_start_does_not_go_back_behind_an_epoch_that_was_shown() {
    let place = Place::new();
    let view = "CREATE MATERIALIZED VIEW v AS SELECT n FROM t";
    place.live(&["CREATE TABLE t (n INT)", "INSERT INTO t VALUES (1)", view, "ALTER MATERIALIZED VIEW v PAUSE"], true);
    let engine = place.start().unwrap();
    // The table, its row, and the view.
    assert_eq!(engine.runtime.published(), Epoch(3));
    let _entered = place.tokio.enter();
    engine.shutdown();
}

/// The log has that a sink was created, and not the epoch with which it begins.
#[test]
fn a_sink_whose_first_epoch_was_lost_begins_at_the_next_start() {
    let place = Place::with_sink();
    cut_last_record(&place.disk);
    // It ends with a checkpoint.
    place.live(&["FLUSH"], false);
    assert_eq!(place.written(), "1\n2\n");
    place.live(&["INSERT INTO j VALUES (3)", "FLUSH"], false);
    assert_eq!(place.written(), "1\n2\n3\n");
}

/// A process was killed before it had synced its last epoch, the start after it fails, and then the power: what that start
/// let the sink write was in the log for good.
#[test]
fn a_start_that_fails_writes_nothing_outside_that_can_be_lost() {
    for operations in 1..24 {
        let place = Place::with_sink();
        let name = place.disk.list().unwrap().into_iter().find(|name| name.ends_with(".log")).unwrap();
        let whole = place.disk.read(&name).unwrap();
        cut_last_record(&place.disk);
        place.disk.open(&name).unwrap().sync().unwrap();
        place.disk.change(&name, |bytes| bytes.clone_from(&whole));
        place.luck.die_after(operations);
        if let Ok(engine) = place.start() {
            let _entered = place.tokio.enter();
            place.luck.die();
            engine.shutdown();
        }
        place.disk.lose_power(&mut SmallRng::seed_from_u64(u64::from(operations)));
        place.live(&["INSERT INTO j VALUES (3)", "FLUSH"], false);
        assert_eq!(place.written(), "1\n2\n3\n", "after {operations} operations");
    }
}
