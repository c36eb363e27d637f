//! Twenty faults, put into the operators one at a time: the random test must catch each.
//!
//! A fault is switched on for a whole process, so each is hunted in a child process of this binary. That takes minutes:
//! these trials are there with `HIGHWATER_HUNT=1`; operators' own tests hunt the same faults in every run.

use std::process::Command;

use highwater::operators::fault;
use libtest_mimic::{Failed, Trial};

/// Names the fault to a child process.
pub const VARIABLE: &str = "HIGHWATER_TEST_FAULT";
/// Seeds that are tried before a fault counts as not caught.
const SEEDS: std::ops::Range<u64> = 0..60;

/// One trial per fault.
pub fn trials() -> Vec<Trial> {
    if std::env::var_os("HIGHWATER_HUNT").is_none() {
        return Vec::new();
    }
    let trial = |name: &'static str| Trial::test(format!("faults::{name}"), move || caught(name));
    fault::ALL.iter().map(|(name, _)| trial(name)).collect()
}

fn caught(name: &str) -> Result<(), Failed> {
    let this = std::env::current_exe()?;
    let output = Command::new(this).env(VARIABLE, name).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        // The fault shows: by a difference, or by an assertion that ends the process.
        Some(1) | None => Ok(()),
        code => Err(format!("seeds {SEEDS:?} did not catch it ({code:?}): {text}").into()),
    }
}

/// What a child process does: exit code 1 when the fault shows.
pub fn hunt(name: &str) -> i32 {
    if !fault::set(Some(name)) {
        println!("there is no fault {name}");
        return 2;
    }
    match crate::runtime().block_on(crate::random::hunt(SEEDS)) {
        Some((seed, _)) => {
            println!("caught by seed {seed}");
            1
        }
        None => 0,
    }
}
