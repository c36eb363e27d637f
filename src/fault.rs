//! Seeded faults: single, named mistakes that tests switch on to see that they are noticed.
//!
//! In builds without debug assertions [`on`] is `false` at compile time.
//!
//! Uses: nothing

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// A filter loses retractions.
    LostRetraction = 1,
    /// A window closes one microsecond late: `>` for `>=`.
    ClosesLate,
    /// Rows on an edge are divided by a bucket that is not their key's.
    WrongBucket,
    /// Windows are closed by the watermark of the epoch before.
    StaleWatermark,
    /// min and max keep a value that was taken back.
    ExtremeKept,
    /// avg does not take values back.
    AverageKept,
    /// A change is accepted although its window is final.
    FinalAccepted,
    /// A final window's state is kept.
    WindowKept,
    /// A window's rows are sent again with every change after it closed, without taking the old ones back.
    EmittedTwice,
    /// A join forgets what meets within one epoch.
    JoinForgetsEpoch,
    /// A join matches NULL keys.
    JoinMatchesNull,
    /// UNION ALL loses its second input.
    UnionDrops,
    /// DISTINCT sends a row for each of its copies.
    DistinctRepeats,
    /// HOP leaves out a row's last window.
    HopMissesLast,
    /// Window starts are rounded towards zero.
    FloorTowardsZero,
    /// A failing row's error stays when the row is taken back.
    ErrorKept,
    /// A snapshot lacks a bucket.
    SnapshotLacksBucket,
    /// A group that became empty is not taken back.
    EmptyGroupKept,
    /// sum ignores diffs.
    SumIgnoresDiff,
    /// A failing row takes its whole batch with it.
    BatchFails,
}

/// All faults, by the names that [`set`] takes.
pub const ALL: [(&str, Fault); 20] = [
    ("lost_retraction", Fault::LostRetraction),
    ("closes_late", Fault::ClosesLate),
    ("wrong_bucket", Fault::WrongBucket),
    ("stale_watermark", Fault::StaleWatermark),
    ("extreme_kept", Fault::ExtremeKept),
    ("average_kept", Fault::AverageKept),
    ("final_accepted", Fault::FinalAccepted),
    ("window_kept", Fault::WindowKept),
    ("emitted_twice", Fault::EmittedTwice),
    ("join_forgets_epoch", Fault::JoinForgetsEpoch),
    ("join_matches_null", Fault::JoinMatchesNull),
    ("union_drops", Fault::UnionDrops),
    ("distinct_repeats", Fault::DistinctRepeats),
    ("hop_misses_last", Fault::HopMissesLast),
    ("floor_towards_zero", Fault::FloorTowardsZero),
    ("error_kept", Fault::ErrorKept),
    ("snapshot_lacks_bucket", Fault::SnapshotLacksBucket),
    ("empty_group_kept", Fault::EmptyGroupKept),
    ("sum_ignores_diff", Fault::SumIgnoresDiff),
    ("batch_fails", Fault::BatchFails),
];

static PROCESS: AtomicU8 = AtomicU8::new(0);

thread_local! {
    static THREAD: Cell<u8> = const { Cell::new(0) };
}

/// Switches one fault on in the whole process, by name, or all off. False when there is no such fault.
pub fn set(name: Option<&str>) -> bool {
    let found = name.map(|name| ALL.iter().find(|(n, _)| *n == name));
    PROCESS.store(found.flatten().map_or(0, |(_, fault)| *fault as u8), Ordering::Relaxed);
    !matches!(found, Some(None))
}

/// Switches one fault on in this thread only, or off.
pub fn set_in_thread(fault: Option<Fault>) {
    THREAD.set(fault.map_or(0, |f| f as u8));
}

/// Whether a fault is on.
#[inline(always)]
pub fn on(fault: Fault) -> bool {
    cfg!(debug_assertions) && (PROCESS.load(Ordering::Relaxed) == fault as u8 || THREAD.get() == fault as u8)
}
