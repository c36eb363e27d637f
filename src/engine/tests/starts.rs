//! Starts on what a process has left that ended in the midst of something.

use std::time::Duration;

use tempfile::TempDir;

use super::{Client, config, start};
use crate::checkpoint::MemoryObjects;
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
    let luck = Luck::default();
    let (disk, objects) = (MemoryDisk::with(luck.clone()), MemoryObjects::with(luck.clone()));
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = tokio.enter();
    let ask = |sql: &str| {
        let engine = start(&disk, &objects, config(1, Duration::from_secs(3600)), 1 << 20).unwrap();
        let mut client = Client::connect(&engine).unwrap();
        let rows = tokio.block_on(client.ask(sql)).unwrap_or_else(|error| panic!("{sql}: {error}"));
        luck.die();
        engine.shutdown();
        disk.kill();
        rows
    };
    for (made, sql, rows) in [
        ("CREATE TABLE t (n INT)", "SELECT count(*) FROM t", "0"),
        ("ALTER TABLE t ADD COLUMN m INT DEFAULT 7", "SELECT count(m) FROM t", "0"),
    ] {
        ask(made);
        for _ in 0..8 {
            cut_last_record(&disk);
            assert_eq!(ask(sql), [rows], "{made}");
        }
    }
}

/// The log has that a sink was created, and not the epoch with which it begins.
#[test]
fn a_sink_whose_first_epoch_was_lost_begins_at_the_next_start() {
    let (luck, folder) = (Luck::default(), TempDir::new().unwrap());
    let (disk, objects) = (MemoryDisk::with(luck.clone()), MemoryObjects::with(luck));
    let (out, hidden) = (folder.path().join("out"), folder.path().join("hidden"));
    let sink = format!(
        "CREATE SINK k FROM j WITH (connector = 'file', path = '{}', roll_interval = '1 h') \
         FORMAT PLAIN ENCODE CSV (header = 'false')",
        out.display()
    );
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let live = |statements: &[&str], is_killed: bool| {
        let _entered = tokio.enter();
        let engine = start(&disk, &objects, config(1, Duration::from_secs(3600)), 1 << 20).unwrap();
        let mut client = Client::connect(&engine).unwrap();
        for sql in statements {
            tokio.block_on(client.ask(sql)).unwrap();
        }
        if is_killed {
            disk.die();
            // Nothing of the sink was shown to anybody.
            std::fs::rename(&out, &hidden).unwrap();
        }
        engine.shutdown();
        disk.kill();
    };
    let written = || {
        let files = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "csv")).collect();
        files.sort();
        files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect::<String>()
    };
    live(&["CREATE TABLE j (n INT) APPEND ONLY", "INSERT INTO j VALUES (1), (2)", &sink], true);
    std::fs::rename(&hidden, &out).unwrap();
    cut_last_record(&disk);
    // It ends with a checkpoint.
    live(&["FLUSH"], false);
    assert_eq!(written(), "1\n2\n");
    live(&["INSERT INTO j VALUES (3)", "FLUSH"], false);
    assert_eq!(written(), "1\n2\n3\n");
}
