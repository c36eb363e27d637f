//! `bench file`: files to a view, through a real server; and COPY FROM STDIN to a table.
//!
//! Measured: on a connection to `serve` in a process of its own, CREATE MATERIALIZED VIEW (TUMBLE of 10 s, count, sum and
//! max by auction) over a file source, and FLUSH, which returns when every row of the file is in the view. Reading the
//! view, whose rows are checksummed, is not part of it. A quarter of `--rows` rows.
//!
//! The baseline is DataFusion's batch run of the same query over the same file, from planning on, with as many partitions
//! and threads as there are workers. COPY is measured beside a PostgreSQL, into an unlogged table, when `--postgres` says
//! where one listens (any user, no password).

use std::fs::File;
use std::path::{Path, PathBuf};

use datafusion::prelude::{CsvReadOptions, JsonReadOptions, ParquetReadOptions, SessionConfig, SessionContext};
use parquet::arrow::ArrowWriter;
use tokio::runtime::Runtime;

use super::Bench;
use super::baseline;
use super::checksum::Checksum;
use super::child::Served;
use super::client::Client;
use super::folder::Folder;
use super::input::{self, Input};
use super::measure::{Stopwatch, Taken};
use super::report::{Figure, Runs};
use crate::error::{Error, Result};

pub(super) const COLUMNS: &str = "auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, date_time TIMESTAMP";
const VIEW: &str = "SELECT window_start, auction, count(*) AS n, sum(price) AS total, max(price) AS top
    FROM TUMBLE(bid, date_time, INTERVAL '10' SECOND) GROUP BY window_start, auction EMIT ON WINDOW CLOSE";
const BATCH: &str = "SELECT date_bin(INTERVAL '10 seconds', date_time), auction, count(*), sum(price), max(price)
    FROM bid GROUP BY 1, 2";
/// The view's rows, as whole numbers.
const ROWS: &str = "SELECT (extract(epoch FROM window_start) * 1000000)::BIGINT, auction, n, total, top FROM v";

/// How rows lie in a file.
#[derive(Clone, Copy)]
enum Format {
    Parquet,
    Csv,
    Json,
}

const FORMATS: [(&str, Format); 3] =
    [("file_parquet", Format::Parquet), ("file_csv", Format::Csv), ("file_json", Format::Json)];
const COPY: &str = "copy_text";

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }

    fn write(self, input: &Input, path: &Path) -> Result<()> {
        let file = File::create(path)?;
        match self {
            Self::Parquet => {
                let mut writer = ArrowWriter::try_new(file, input.spec.schema.clone(), None).map_err(io)?;
                input.batches.iter().try_for_each(|batch| writer.write(batch)).map_err(io)?;
                writer.close().map_err(io)?;
            }
            Self::Csv => {
                let mut writer = arrow::csv::Writer::new(file);
                input.batches.iter().try_for_each(|batch| writer.write(batch))?;
            }
            Self::Json => {
                let mut writer = arrow::json::LineDelimitedWriter::new(std::io::BufWriter::new(file));
                writer.write_batches(&input.batches.iter().collect::<Vec<_>>())?;
                writer.finish()?;
            }
        }
        Ok(())
    }

    async fn register(self, context: &SessionContext, input: &Input, path: &str) -> Result<()> {
        let schema = &input.spec.schema;
        match self {
            Self::Parquet => context.register_parquet("bid", path, ParquetReadOptions::default()).await?,
            Self::Csv => context.register_csv("bid", path, CsvReadOptions::new().schema(schema)).await?,
            Self::Json => context.register_json("bid", path, JsonReadOptions::default().schema(schema)).await?,
        }
        Ok(())
    }
}

fn io(error: parquet::errors::ParquetError) -> std::io::Error {
    std::io::Error::other(error)
}

/// Runs all cases that are wanted.
pub(super) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let formats: Vec<_> = FORMATS.into_iter().filter(|(name, _)| bench.wants(name)).collect();
    if formats.is_empty() && !bench.wants(COPY) {
        return Ok(Vec::new());
    }
    let folder = Folder::create()?;
    let input = bids(bench)?;
    let mut files = Vec::new();
    for (name, format) in formats {
        let path = folder.path().join(format!("bid.{}", format.name()));
        format.write(&input, &path)?;
        files.push((name, format, path));
    }
    let mut figures = Vec::new();
    for peers in bench.peers() {
        figures.extend(read_files(bench, &input, &files, folder.path(), peers)?);
    }
    if bench.wants(COPY) {
        figures.push(copy(bench, &input)?);
    }
    Ok(figures)
}

fn bids(bench: &Bench) -> Result<Input> {
    let script = input::sources(bench.rows / 4);
    let planned = super::blocking(input::plan(script, vec!["bid"], Vec::new()))??;
    let spec = planned.sources.first().ok_or_else(|| Error::internal("there is no source"))?;
    input::read(spec)
}

fn read_files(
    bench: &Bench,
    input: &Input,
    files: &[(&'static str, Format, PathBuf)],
    root: &Path,
    peers: usize,
) -> Result<Vec<Figure>> {
    let tokio = baseline::tokio(peers)?;
    let server = Served::start(peers, Some(root))?;
    let mut client = server.client()?;
    let mut runs: Vec<Runs> = files.iter().map(|_| Runs::default()).collect();
    for round in 0..=bench.runs {
        for ((name, format, path), runs) in files.iter().zip(&mut runs) {
            super::progress(&format!("{name} with {peers} workers, run {round} of {}", bench.runs));
            let ours = engine(&server, &mut client, *format, path)?;
            let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(peers));
            tokio.block_on(format.register(&context, input, &path.to_string_lossy()))?;
            runs.push(round, ours, batch(&tokio, &context)?);
        }
    }
    client.close();
    let figure = |((name, ..), runs): (&(&str, Format, PathBuf), &Runs)| runs.figure(name, peers, input.rows());
    Ok(files.iter().zip(&runs).map(figure).collect())
}

fn engine(server: &Served, client: &mut Client, format: Format, path: &Path) -> Result<(Taken, Checksum)> {
    client.query(&format!(
        "CREATE SOURCE bid ({COLUMNS}, WATERMARK FOR date_time AS date_time - INTERVAL '4' SECOND)
         WITH (connector = 'file', path = '{}') FORMAT PLAIN ENCODE {}",
        path.display(),
        format.name()
    ))?;
    let (watch, cpu) = (Stopwatch::start(), server.cpu_seconds());
    client.query(&format!("CREATE MATERIALIZED VIEW v AS {VIEW}"))?;
    client.query("FLUSH")?;
    let taken = Taken { cpu_seconds: server.cpu_seconds() - cpu, ..watch.taken() };
    let mut sum = Checksum::default();
    for row in client.query(ROWS)? {
        sum.add_numbers(&row);
    }
    client.query("DROP MATERIALIZED VIEW v; DROP SOURCE bid")?;
    Ok((taken, sum))
}

fn batch(tokio: &Runtime, context: &SessionContext) -> Result<(Taken, Checksum)> {
    let watch = Stopwatch::start();
    let plan = baseline::plan(tokio, context, BATCH)?;
    let sum = baseline::run(tokio, context, &plan)?;
    Ok((watch.taken(), sum))
}

/// COPY FROM STDIN of all rows as text.
/// Bids as COPY FROM STDIN takes them, and how many.
pub(super) fn lines(bench: &Bench) -> Result<(Vec<u8>, u64)> {
    let input = bids(bench)?;
    Ok((text(&input)?, input.rows()))
}

fn text(input: &Input) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    for batch in &input.batches {
        let options = arrow::csv::WriterBuilder::new().with_header(false).with_delimiter(b'\t');
        options.build(&mut text).write(batch)?;
    }
    Ok(text)
}

fn copy(bench: &Bench, input: &Input) -> Result<Figure> {
    let text = text(input)?;
    let server = Served::start(1, None)?;
    let mut ours = server.client()?;
    ours.query(&format!("CREATE TABLE copied ({COLUMNS})"))?;
    let mut theirs = bench.postgres.map(|address| Client::connect(address, "postgres", "postgres")).transpose()?;
    if let Some(theirs) = &mut theirs {
        theirs.query(&format!(
            "DROP TABLE IF EXISTS highwater_bench; CREATE UNLOGGED TABLE highwater_bench ({COLUMNS})"
        ))?;
    }
    let mut runs = Runs::default();
    for round in 0..=bench.runs {
        super::progress(&format!("{COPY}, run {round} of {}", bench.runs));
        let ours = copy_once(&mut ours, "copied", &text)?;
        let theirs = theirs.as_mut().map(|theirs| copy_once(theirs, "highwater_bench", &text)).transpose()?;
        runs.push_if(round, ours, theirs);
    }
    if let Some(mut theirs) = theirs {
        theirs.query("DROP TABLE highwater_bench")?;
        theirs.close();
    }
    ours.close();
    // The CPU time of a PostgreSQL is not ours to see.
    Ok(Figure { cpu_ratio: None, ..runs.figure(COPY, 1, input.rows()) })
}

pub(super) fn copy_once(client: &mut Client, table: &str, text: &[u8]) -> Result<(Taken, Checksum)> {
    let watch = Stopwatch::start();
    client.copy_in(&format!("COPY {table} FROM STDIN"), text)?;
    let taken = watch.taken();
    let mut sum = Checksum::default();
    let totals = "count(*), sum(auction), sum(bidder), sum(price),
        sum(length(channel)), sum((extract(epoch FROM date_time) * 1000000)::BIGINT)";
    for row in client.query(&format!("SELECT {totals} FROM {table}"))? {
        sum.add_numbers(&row);
    }
    client.query(&format!("TRUNCATE {table}"))?;
    Ok((taken, sum))
}
