//! What a start says, and what `highwater check` does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use highwater::config::EngineConfig;
use libtest_mimic::Trial;
use regex::Regex;
use tempfile::TempDir;

use crate::buckets::{Server, checkpointed, said_in};
use crate::connection::Connection;
use crate::database::{Database, Mode};
use crate::trial;

type Result<T, E = String> = std::result::Result<T, E>;

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// All of them.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("starts::a_start_says_what_it_reads", what_a_start_says()),
        trial("starts::check_says_what_it_counts", what_check_says()),
        trial("starts::damage_is_told_with_file_and_byte", damage()),
    ]
}

/// A table with rows, some of them behind the newest of two checkpoints: until something else stops it, it is killed.
async fn data(folder: &Path, clean_stop: bool) -> Result<PathBuf> {
    let data = folder.join("data");
    let config = EngineConfig {
        workers: 2,
        data_dir: Some(data.clone()),
        checkpoint_interval: Duration::from_millis(20),
        last_checkpoint: clean_stop,
        ..EngineConfig::default()
    };
    let database = Database::with(Mode::One, config).await?;
    let connection = Connection::open(&database.uri(), None).await.map_err(text)?;
    for sql in ["CREATE TABLE t (n INT)", "INSERT INTO t SELECT generate_series(1, 1000)"] {
        connection.query(sql).await.map_err(text)?;
        checkpointed(&connection).await?;
    }
    // The one that is due is taken before the row comes.
    connection.query("ALTER SYSTEM SET checkpoint_interval = '1h'").await.map_err(text)?;
    connection.query("INSERT INTO t VALUES (1001)").await.map_err(text)?;
    database.stop().await;
    Ok(data)
}

fn matches(said: &str, wanted: &[&str]) -> Result<()> {
    let mut rest = said;
    for wanted in wanted {
        let regex = Regex::new(wanted).map_err(text)?;
        let found = regex.find(rest).ok_or_else(|| format!("wanted {wanted:?} in {said:?}, from {rest:?} on"))?;
        rest = &rest[found.end()..];
    }
    Ok(())
}

async fn what_a_start_says() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    data(folder.path(), true).await?;
    let checkpoint = r"reading checkpoint \d+ of epoch \d+ \(\d+ KiB\)\n";
    drop(Server::start(folder.path(), &[], &[]).await?);
    matches(&said_in(folder.path())?, &[checkpoint, r"recovered to epoch \d+ in \d+\.\d s\n"])?;
    // It was killed, and had written something.
    let server = Server::start(folder.path(), &[], &[]).await?;
    server.connect().await?.query("INSERT INTO t VALUES (0)").await.map_err(text)?;
    drop(server);
    drop(Server::start(folder.path(), &[], &[]).await?);
    let log = r"reading back \d+ KiB of the input log behind it\n";
    matches(&said_in(folder.path())?, &[checkpoint, log, r"recovered to epoch \d+ in"])
}

/// Its exit code, and what it says.
fn check(data: &Path) -> Result<(i32, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_highwater")).arg("check").arg(data).output().map_err(text)?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Ok((output.status.code().unwrap_or(-1), said))
}

async fn what_check_says() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let data = data(folder.path(), false).await?;
    let (code, said) = check(&data)?;
    let wanted = [
        r"^checkpoint \d+: epoch \d+, and \d+ KiB of the input log behind it: sound\n",
        r"^checkpoint \d+: epoch \d+, and \d+ KiB of the input log behind it: sound\n",
        r"^input log behind checkpoint \d+: \d+ records?, \d+ epochs?, up to epoch \d+, \d+ KiB: sound\n$",
    ];
    matches(&said, &wanted)?;
    // A clean stop leaves no log behind its checkpoint.
    let other = TempDir::new().map_err(text)?;
    let stopped = self::data(other.path(), true).await?;
    let wanted = [
        r"^checkpoint \d+: epoch \d+, and (nothing|\d+ KiB) of the input log behind it: sound\n",
        r"checkpoint \d+: epoch \d+, and nothing of the input log behind it: sound\n",
        r"input log behind checkpoint \d+: ",
    ];
    matches(&check(&stopped)?.1, &wanted)?;
    std::fs::remove_dir_all(data.join("checkpoints")).map_err(text)?;
    let (alone, said) = check(&data)?;
    matches(&said, &[r"^input log, all of it: \d+ records?, \d+ epochs?, up to epoch \d+, \d+ KiB: sound\n$"])?;
    if (code, alone) == (0, 0) { Ok(()) } else { Err(format!("exit codes {code} and {alone}")) }
}

async fn damage() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let data = data(folder.path(), false).await?;
    for (place, ending, words) in [
        ("log", ".log", r"\.log\x22 is damaged at byte \d+: "),
        ("checkpoints", ".checkpoint", r"\.checkpoint\x22 is damaged between bytes 0 and \d+: "),
        ("checkpoints", ".pack", r"\.pack\x22 is damaged (between bytes \d+ and \d+|at byte 0): "),
    ] {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(data.join(place)).map_err(text)?.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.to_string_lossy().ends_with(ending));
        let file = files.iter().max().ok_or_else(|| format!("no {ending}"))?;
        let whole = std::fs::read(file).map_err(text)?;
        let mut flipped = whole.clone();
        // The last record of the log, and the last part of a pack.
        let at = flipped.len() - 8;
        flipped[at] ^= 1;
        std::fs::write(file, &flipped).map_err(text)?;
        let (code, said) = check(&data)?;
        matches(&said, &[&format!("^error: \"[^\"]*{words}[^\n]*\n$")])?;
        std::fs::write(file, &whole).map_err(text)?;
        if code != 1 || check(&data)?.0 != 0 {
            return Err(format!("{ending}: exit code {code}"));
        }
    }
    Ok(())
}
