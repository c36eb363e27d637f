//! Everything that is tested through SQL, in one binary: see README.md beside this file.

use std::sync::OnceLock;

use libtest_mimic::{Arguments, Failed, Trial};

mod alone;
mod archives;
mod bag;
mod bench;
mod buckets;
mod clients;
mod connection;
mod consistency;
mod crash;
mod database;
mod done;
mod examples;
mod faults;
mod flights;
mod many;
mod net;
mod oracle;
mod past;
mod plans;
mod poison;
mod protocol;
mod random;
mod recovery;
mod sinks;
mod slt;
mod sources;
mod starts;
mod tidy;

/// The one tokio runtime that all servers and clients of the tests share.
pub fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().expect("a runtime")
    })
}

/// A test that runs a future.
pub fn trial(name: impl Into<String>, test: impl Future<Output = Result<(), String>> + Send + 'static) -> Trial {
    Trial::test(name, move || runtime().block_on(test).map_err(Failed::from))
}

fn main() {
    if let Ok(fault) = std::env::var(faults::VARIABLE) {
        std::process::exit(faults::hunt(&fault));
    }
    if let Ok(seeds) = std::env::var(crash::VARIABLE) {
        std::process::exit(crash::run(&seeds));
    }
    if let Ok(folder) = std::env::var(poison::VARIABLE) {
        std::process::exit(poison::live(&folder));
    }
    if let Ok(scale) = std::env::var(many::VARIABLE) {
        std::process::exit(many::run(&scale));
    }
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    trials.extend(tidy::trials());
    trials.extend(slt::trials());
    trials.extend(past::trials());
    trials.extend(plans::trials());
    trials.extend(protocol::trials());
    trials.extend(alone::trials());
    trials.extend(clients::trials());
    trials.extend(consistency::trials());
    trials.extend(crash::trials());
    trials.extend(archives::trials());
    trials.extend(examples::trials());
    trials.extend(flights::trials());
    trials.extend(many::trials());
    trials.extend(sources::trials());
    trials.extend(sinks::trials());
    trials.extend(random::trials());
    trials.extend(recovery::trials());
    trials.extend(buckets::trials());
    trials.extend(starts::trials());
    trials.extend(poison::trials());
    trials.extend(bench::trials());
    trials.extend(faults::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

/// The seeds that `HIGHWATER_SEEDS=10..20` names, or these.
fn seeds_or(few: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let named = std::env::var("HIGHWATER_SEEDS").ok().and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    named.unwrap_or(few)
}
