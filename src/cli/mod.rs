//! The command line: `serve`, `demo`, `check` and `bench`.
//!
//! Exit codes: 0 fine, 1 failure with one clear line, 2 bad usage.
//!
//! Uses: error, config, data, connectors, log, runtime, engine, server

mod bench;
mod check;
mod demo;
mod serve;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{DATA_DIR, HTTP_LISTEN, MEMORY_MIN, PG_LISTEN, ServeConfig, loopback};
use crate::error::{Error, Result};

/// Worker threads at most: state is in 256 buckets, and fewer than one for each makes no sense.
const MAX_WORKERS: usize = 256;

/// A SQL streaming query engine behind the PostgreSQL protocol.
#[derive(Parser)]
#[command(name = "highwater", version, about, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves clients until SIGTERM or SIGINT.
    Serve(Serve),
    /// Serves a running example: a generated auction stream, TUMBLE and HOP views, late rows.
    Demo(Listen),
    /// Reads a data directory through and says whether all of it is sound; changes nothing.
    Check {
        /// The data directory.
        #[arg(value_name = "DIR", default_value = DATA_DIR)]
        data_dir: PathBuf,
    },
    /// Measures this build on this machine, each case beside a baseline in the same run.
    Bench(bench::Bench),
}

#[derive(Args)]
struct Serve {
    /// Where everything is kept: a write is acknowledged when it is there for good.
    #[arg(long, value_name = "DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// Keep nothing on disk; --data-dir is ignored.
    #[arg(long)]
    in_memory: bool,
    /// Keep checkpoints there: s3://BUCKET/PREFIX (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL ..
    /// in the environment) or file:///FOLDER [default: where they were; in DIR at first]
    #[arg(long, value_name = "URL", conflicts_with = "in_memory")]
    checkpoint_url: Option<String>,
    /// If DIR is new and there is a checkpoint at --checkpoint-url, begin with it: what the lost input log had behind it is
    /// lost.
    #[arg(long, requires = "checkpoint_url")]
    restore: bool,
    #[command(flatten)]
    listen: Listen,
}

impl Serve {
    fn config(self) -> ServeConfig {
        let config = self.listen.config((!self.in_memory).then_some(self.data_dir));
        ServeConfig { checkpoint_url: self.checkpoint_url, restore: self.restore, ..config }
    }
}

#[derive(Args)]
struct Listen {
    /// Where psql and drivers connect; port 0 picks a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = PG_LISTEN, value_parser = address)]
    pg_listen: SocketAddr,
    /// Where /health, /metrics and /ingest/{table} are; port 0 picks a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = HTTP_LISTEN, value_parser = address)]
    http_listen: SocketAddr,
    /// Worker threads of views [default: number of cores]
    #[arg(long, value_name = "N", value_parser = workers)]
    workers: Option<usize>,
    /// Read and write files only below this directory.
    #[arg(long, value_name = "DIR", value_parser = directory)]
    file_root: Option<PathBuf>,
    /// Memory for states, rows, history and queries; what is beyond it goes to disk: 512MB, 4GiB, or 70% of the
    /// machine's [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory_limit: Option<usize>,
}

impl Listen {
    fn config(self, data_dir: Option<PathBuf>) -> ServeConfig {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        ServeConfig {
            pg_listen: self.pg_listen,
            http_listen: self.http_listen,
            workers: self.workers.unwrap_or(cores.min(MAX_WORKERS)),
            data_dir,
            checkpoint_url: None,
            restore: false,
            file_root: self.file_root,
            memory_limit: self.memory_limit,
        }
    }
}

/// Parses the arguments and runs the command. `memory_is_bounded`: called before a server starts under a memory limit, for
/// what the allocator is to do then.
pub fn main(memory_is_bounded: fn()) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let (config, script) = match cli.command {
        Command::Serve(serve) => (serve.config(), None),
        Command::Demo(listen) => (listen.config(None), Some(demo::SCRIPT)),
        Command::Check { data_dir } => return exit(check::run(&data_dir)),
        Command::Bench(bench) => return exit(bench::run(&bench)),
    };
    if config.memory_limit.is_some() {
        memory_is_bounded();
    }
    exit(serve::run(config, script))
}

fn exit(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error),
    }
}

/// One line: what failed and what to do about it.
fn failure(error: &Error) -> ExitCode {
    let parts = error.parts();
    let hint = parts.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let _ = writeln!(std::io::stderr(), "error: {}{hint}", parts.message);
    ExitCode::from(1)
}

fn address(text: &str) -> std::result::Result<SocketAddr, String> {
    loopback(text).map_err(|error| {
        let parts = error.parts();
        let hint = parts.hint.as_deref().unwrap_or_default();
        format!("{}: {hint}", parts.message)
    })
}

fn workers(text: &str) -> std::result::Result<usize, String> {
    let n = text.parse().ok().filter(|n| (1..=MAX_WORKERS).contains(n));
    n.ok_or_else(|| format!("must be a number from 1 to {MAX_WORKERS}"))
}

/// A size in bytes, in units of 1000 or 1024, or as a part of the machine's memory.
fn memory(text: &str) -> std::result::Result<usize, String> {
    let wrong = || "must be a size such as 512MB, 4GiB or 70%".to_owned();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let scale = match unit.trim().to_ascii_lowercase().as_str() {
        "%" if number <= 100.0 => machine_memory().ok_or("the machine does not say how much memory it has")? / 100.0,
        "b" | "" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "kib" | "k" => f64::from(1 << 10),
        "mib" | "m" => f64::from(1 << 20),
        "gib" | "g" => f64::from(1 << 30),
        _ => return Err(wrong()),
    };
    let bytes = number * scale;
    if bytes < MEMORY_MIN as f64 {
        return Err(format!("must be at least {} MiB", MEMORY_MIN >> 20));
    }
    Ok(bytes as usize)
}

/// Bytes of memory that the machine has, or this process' control group, if that is less.
fn machine_memory() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let all = line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()? * 1024.0;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse::<f64>().ok());
    Some(group.map_or(all, |group| group.min(all)))
}

fn directory(text: &str) -> std::result::Result<PathBuf, String> {
    let path = std::fs::canonicalize(text).map_err(|error| error.to_string())?;
    if path.is_dir() { Ok(path) } else { Err("not a directory".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> std::result::Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn flags() {
        let Ok(Cli { command: Command::Serve(serve) }) = parse("highwater serve --in-memory --pg-listen [::1]:0")
        else {
            panic!("serve")
        };
        assert!(serve.in_memory && serve.listen.workers.is_none());
        assert_eq!(serve.listen.http_listen.to_string(), HTTP_LISTEN);
        for bad in [
            "highwater",
            "highwater serve --pg-listen 0.0.0.0:7432",
            "highwater serve --workers 0",
            "highwater serve --workers 257",
            "highwater serve --file-root /nowhere/at/all",
            "highwater serve --restore",
            "highwater serve --in-memory --checkpoint-url s3://b/p",
            "highwater bench nothing",
            "highwater bench --rows 0",
        ] {
            let error = parse(bad).err().map(|e| e.exit_code());
            assert_eq!(error, Some(2), "{bad}");
        }
    }
}
