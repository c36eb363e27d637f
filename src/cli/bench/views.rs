//! `bench views`: what each epoch costs with 1, 10 and 100 views on one table.
//!
//! Measured: the server's CPU time over some hundred epochs of ten rows each, every one followed by FLUSH. The views
//! filter, so their own work is small beside what an epoch costs by itself; `cost` is times the CPU time of one view. The
//! three servers take turns.

use super::Bench;
use super::checksum::Checksum;
use super::child::Served;
use super::client::Client;
use super::measure::median;
use super::report::Figure;
use crate::error::Result;

const COUNTS: [(&str, u64); 3] = [("views_1", 1), ("views_10", 10), ("views_100", 100)];
const EPOCHS_MAX: u64 = 200;
const ROWS: u64 = 10;
/// Each view takes one row in so many.
const SHARE: u64 = 100;

/// A server with its views.
struct Case {
    name: &'static str,
    views: u64,
    server: Served,
    client: Client,
    /// CPU milliseconds per epoch, per run.
    cost: Vec<f64>,
}

/// Runs the cases that are wanted.
pub(super) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let epochs = (bench.rows / 1000).clamp(3, EPOCHS_MAX);
    let mut figures = Vec::new();
    for peers in bench.peers() {
        let wanted = COUNTS.into_iter().filter(|(name, _)| bench.wants(name));
        let mut cases = wanted.map(|(name, views)| Case::start(name, views, peers)).collect::<Result<Vec<_>>>()?;
        for round in 0..=bench.runs {
            for case in &mut cases {
                super::progress(&format!("{} with {peers} workers, run {round} of {}", case.name, bench.runs));
                let cost = case.run(u64::from(round) * epochs, epochs)?;
                if round > 0 {
                    case.cost.push(cost);
                }
            }
        }
        let one = cases.iter().find(|case| case.views == 1).map(|case| median(case.cost.iter().copied()));
        for mut case in cases {
            let rows = epochs * ROWS * (u64::from(bench.runs) + 1);
            let (ours, theirs) = (case.found()?, case.expected(rows));
            let cost = median(case.cost);
            figures.push(Figure {
                name: case.name.to_owned(),
                workers: peers,
                rows,
                views: Some(case.views),
                cpu_ms_per_epoch: Some(cost),
                cost: one.filter(|one| *one > 0.0).map(|one| cost / one),
                checksum: Some(ours.text()),
                baseline_checksum: Some(theirs.text()),
                ..Figure::default()
            });
            case.client.close();
        }
    }
    Ok(figures)
}

impl Case {
    fn start(name: &'static str, views: u64, peers: usize) -> Result<Self> {
        let server = Served::start(peers, None)?;
        let mut client = server.client()?;
        client.query("CREATE TABLE events (id BIGINT, kind BIGINT)")?;
        for view in 0..views {
            client.query(&format!(
                "CREATE MATERIALIZED VIEW of{view} AS SELECT id FROM events WHERE id % {SHARE} = {view}"
            ))?;
        }
        Ok(Self { name, views, server, client, cost: Vec::new() })
    }

    /// CPU milliseconds per epoch.
    fn run(&mut self, first: u64, epochs: u64) -> Result<f64> {
        let cpu = self.server.cpu_seconds();
        for epoch in first..first + epochs {
            let rows: Vec<_> = (epoch * ROWS..(epoch + 1) * ROWS).map(|id| format!("({id}, {epoch})")).collect();
            self.client.query(&format!("INSERT INTO events VALUES {}", rows.join(", ")))?;
            self.client.query("FLUSH")?;
        }
        Ok((self.server.cpu_seconds() - cpu) * 1000.0 / epochs as f64)
    }

    /// What the views hold.
    fn found(&mut self) -> Result<Checksum> {
        let mut sum = Checksum::default();
        for view in 0..self.views {
            for mut row in self.client.query(&format!("SELECT count(*) FROM of{view}"))? {
                row.push(Some(view.to_string()));
                sum.add_numbers(&row);
            }
        }
        Ok(sum)
    }

    /// What they should hold after so many rows.
    fn expected(&self, rows: u64) -> Checksum {
        let mut sum = Checksum::default();
        for view in 0..self.views {
            let count = (0..rows).filter(|id| id % SHARE == view).count();
            sum.add_numbers(&vec![Some(count.to_string()), Some(view.to_string())]);
        }
        sum
    }
}
