//! Twenty faults, put into the operators one at a time: the random test must catch each.
//!
//! A fault is switched on for a whole process, so each is hunted in a child process of this binary. An ordinary run tries
//! the seed that is known to show it, and then those of `random.rs`; `HIGHWATER_HUNT=1 cargo test --test sql -- faults::`
//! tries all seeds from 0 on, and says which one showed it first: for when the histories of `random.rs` have changed.

use std::process::Command;

use highwater::operators::fault;
use libtest_mimic::{Failed, Trial};

/// Names the fault to a child process, and the seeds.
pub const VARIABLE: &str = "HIGHWATER_TEST_FAULT";
/// Seeds that are tried before a fault counts as not caught.
const SEEDS: std::ops::Range<u64> = 0..60;

/// A seed that shows a fault: tried first, and then all seeds of an ordinary run, which pass without the fault.
const KNOWN: [(&str, u64); 20] = [
    ("lost_retraction", 3),
    ("closes_late", 31),
    ("wrong_bucket", 0),
    ("stale_watermark", 5),
    ("extreme_kept", 2),
    ("average_kept", 0),
    ("final_accepted", 1),
    ("window_kept", 1),
    ("emitted_twice", 5),
    ("join_forgets_epoch", 0),
    ("join_matches_null", 0),
    ("union_drops", 1),
    ("distinct_repeats", 2),
    ("hop_misses_last", 1),
    ("floor_towards_zero", 1),
    ("error_kept", 8),
    ("snapshot_lacks_bucket", 1),
    ("empty_group_kept", 0),
    ("sum_ignores_diff", 0),
    ("batch_fails", 10),
];

/// One trial per fault.
pub fn trials() -> Vec<Trial> {
    let hunting = std::env::var_os("HIGHWATER_HUNT").is_some();
    let seeds = |name: &str| -> Vec<u64> {
        let known = KNOWN.iter().filter(|(n, _)| *n == name).map(|(_, seed)| *seed);
        if hunting { SEEDS.collect() } else { known.chain(crate::random::SEEDS).collect() }
    };
    let trial = |name: &'static str| {
        let seeds = seeds(name);
        Trial::test(format!("faults::{name}"), move || caught(name, &seeds, hunting))
    };
    fault::ALL.iter().map(|(name, _)| trial(name)).collect()
}

fn caught(name: &str, seeds: &[u64], hunting: bool) -> Result<(), Failed> {
    let this = std::env::current_exe()?;
    let list: Vec<String> = seeds.iter().map(u64::to_string).collect();
    let output = Command::new(this).env(VARIABLE, format!("{name} {}", list.join(" "))).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        // The fault shows: by a difference, or by an assertion that ends the process.
        Some(1) | None => {
            let seed = text.lines().last().unwrap_or_default();
            if hunting {
                println!("{name}: {seed}");
            }
            Ok(())
        }
        code => Err(format!("seeds {seeds:?} did not show it ({code:?}): {text}").into()),
    }
}

/// What a child process does: exit code 1 when the fault shows.
pub fn hunt(order: &str) -> i32 {
    let mut words = order.split_whitespace();
    let name = words.next().unwrap_or_default();
    if !fault::set(Some(name)) {
        println!("there is no fault {name}");
        return 2;
    }
    for seed in words.filter_map(|seed| seed.parse().ok()) {
        println!("seed {seed}");
        if let Err(error) = crate::runtime().block_on(crate::random::run(seed)) {
            println!("{}", error.lines().next().unwrap_or_default());
            println!("caught by seed {seed}");
            return 1;
        }
    }
    0
}
