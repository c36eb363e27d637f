//! A server to be measured: this program's own `serve`, as a child process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::client::Client;
use super::measure;
use crate::error::{Error, Result};

/// A running server; dropping it ends the process.
pub(super) struct Served {
    child: Child,
    address: SocketAddr,
    /// From the start of the process until it listened.
    pub(super) seconds_to_ready: f64,
}

impl Served {
    /// Starts one that keeps nothing.
    pub(super) fn start(workers: usize, file_root: Option<&Path>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--in-memory"]);
        if let Some(root) = file_root {
            command.arg("--file-root").arg(root);
        }
        Self::run(workers, command)
    }

    /// Starts one that keeps everything below a folder.
    pub(super) fn durable(workers: usize, folder: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--data-dir"]).arg(folder.join("data"));
        // What it says of reading back is not for whoever reads the figures.
        command.env("HIGHWATER_LOG", "error");
        Self::run(workers, command)
    }

    /// On ports of its own.
    fn run(workers: usize, mut command: Command) -> Result<Self> {
        let start = Instant::now();
        command.args(["--pg-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
        command.args(["--workers", &workers.to_string()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or_else(|| Error::internal("no output"))?).lines();
        let mut found = None;
        for line in lines.map_while(std::io::Result::ok) {
            let url = line.strip_prefix("listening on postgres://").and_then(|rest| rest.split('/').next());
            if let Some(address) = url.and_then(|address| address.parse().ok()) {
                found = Some(address);
                break;
            }
        }
        let seconds_to_ready = start.elapsed().as_secs_f64();
        match found {
            Some(address) => Ok(Self { child, address, seconds_to_ready }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                Err(Error::internal("the server did not start"))
            }
        }
    }

    /// A new connection.
    pub(super) fn client(&self) -> Result<Client> {
        Client::connect(self.address, "bench", "highwater")
    }

    /// CPU time that the server has used so far.
    pub(super) fn cpu_seconds(&self) -> f64 {
        measure::cpu_seconds_of(&self.child.id().to_string())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
